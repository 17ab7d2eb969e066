"""The lens by step: layer points x steps averaged by status, the nodes of one graph, the tuned lens beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.data.labels import STATUSES
from interp.figures.depths import depth_marks
from interp.figures.resolution import Span, each, missing_traces
from interp.figures.scales import DIVERGING
from interp.figures.template import EDGE_COLOUR, INK, LEAST_WIDTH, make_figure, title_of, wrapped
from interp.lenses.lens import METRICS

if TYPE_CHECKING:
    from interp.lenses.lens import StepLens
    from interp.lenses.tuned_lens import TunedLens

MEANINGS: Final = {
    "best": "share of nodes whose true symbol has the largest logit",
    "content_best": "share of nodes whose true symbol has the largest logit, N/A and EMPTY left out",
    "written_best": "share of nodes in which the symbol that the step writes has the largest logit",
    "rank": "rank of the true symbol, 1 the largest logit",
    "content_rank": "rank of the true symbol, N/A and EMPTY left out",
    "prob": "probability of the true symbol",
    "kl": "KL divergence from the step's own readout, in nats",
}
_UNITS: Final = {"rank": "rank", "content_rank": "rank", "prob": "probability", "kl": "nats"}
_ABSENT: Final = "#eceef3"
_LEFT: Final = 92
_RIGHT: Final = 104
_ROW: Final = 22
_COLUMN: Final = 8
"""Pixels of a node's column, below which a figure scrolls."""


@dataclass(frozen=True)
class _Map:
    """One heatmap, rows downwards; NaN where there is nothing. hover: text of every cell."""

    title: str
    values: NDArray[np.float64]
    hover: list[list[str]]


def lens_figure(lens: StepLens, metric: str = "content_best", width: int = 1000) -> go.Figure:
    """Layer point x step, a heatmap per status; colour: ``metric``, averaged over the nodes that have the status there.

    Raises:
        ValueError: an unknown metric.
    """
    check_metric(metric)
    frame = cast(Any, lens.summary(by_step=True))
    maps: list[_Map] = []
    for status in STATUSES:
        values = np.full((len(lens.points), lens.n_steps), np.nan)
        hover = [[""] * lens.n_steps for _ in lens.points]
        for record in frame[frame["status"] == status].to_dict("records"):
            row, column = lens.points.index(record["point"]), record["step"]
            values[row, column] = record[metric]
            hover[row][column] = _mean_hover(record)
        maps.append(_Map(f"{status} nodes", values, hover))
    reading = (
        f"Every residual state read as the {lens.factor} that the step would write; {MEANINGS[metric]}; mean over the "
        f"nodes of {len(lens.graphs)} graph{'s' * (len(lens.graphs) != 1)}. Down: layer by layer through a step; "
        f"{_points(lens.points)}."
    )
    scale = _scale(metric, len(lens.symbols), maps)
    return _by_step(maps, lens.points, f"Lens on the {lens.factor}, by step and layer", reading, scale, width)


def tuned_lens_figure(tuned: TunedLens, width: int = 1000) -> go.Figure:
    """Layer point x step on one scale: mean KL divergence in nats of the plain and of the tuned lens, held-out rows."""
    points = tuned.plain.points
    maps = [
        _Map(
            title,
            kl.T,
            [
                [
                    f"<b>step {step}, {point}</b><br>plain lens {plain[step, index]:.4g} nats<br>"
                    f"tuned lens {fitted[step, index]:.4g} nats"
                    for step in range(tuned.n_steps)
                ]
                for index, point in enumerate(points)
            ],
        )
        for plain, fitted in [tuned.kl_by_step()]
        for title, kl in (("plain lens", plain), ("tuned lens", fitted))
    ]
    reading = (
        "KL divergence of what a lens reads from what the step's own readout says, in nats: 0 is the same. Translators "
        f"fitted on {len(tuned.fitted_on)} graphs, {len(tuned.held_out)} others read. Down: {_points(points)}."
    )
    scale = _scale("kl", len(tuned.plain.symbols), maps)
    return _by_step(maps, points, f"Tuned lens on the {tuned.plain.factor}", reading, scale, width)


def lens_graph_figure(lens: StepLens, graph: int = 0, metric: str = "rank", width: int = 1000) -> go.Figure:
    """(Step, layer point) downwards x the nodes of one graph, by depth; boxes: the step that has to write the value.

    metric: ``rank``, ``content_rank``, ``prob`` or ``kl``.

    Raises:
        ValueError: an unknown metric, a graph that was not read, a lens with other rows than one per node.
    """
    check_metric(metric, ("rank", "content_rank", "prob", "kl"))
    labels = cast(Any, lens.labels)
    rows = np.flatnonzero(labels["graph"].to_numpy() == graph)
    if not len(rows):
        raise ValueError(f"graph {graph} was not read; those that were: 0 to {len(lens.graphs) - 1}")
    nodes, depths = (labels[name].to_numpy()[rows] for name in ("node", "depth"))
    if len(set(nodes.tolist())) < len(rows):
        raise ValueError("a node has several rows; allowed is a lens read at positions 'rhs'")
    order = np.lexsort((nodes, depths))
    rows, depths = rows[order], [int(depth) for depth in depths[order]]
    chosen: list[int] = nodes[order].tolist()
    n_points, n_rows = len(lens.points), lens.n_steps * len(lens.points)
    values = np.asarray(getattr(lens, metric), dtype=np.float64)[..., rows].reshape(n_rows, -1)
    drawn = lens.graphs[graph]
    equations: list[str] = [drawn.equations[node] for node in chosen]
    names: list[str] = [str(drawn.nodes[node].name) for node in chosen]
    hover = [
        [_node_hover(lens, index // n_points, index % n_points, row, equation)
         for row, equation in zip(rows.tolist(), equations, strict=True)]
        for index in range(n_rows)
    ]  # fmt: skip
    row_height = 13 if n_rows <= 80 else 10
    inner = width - _LEFT - _RIGHT
    shapes, notes = depth_marks(depths, n_rows, inner)
    outline = {"type": "rect", "line": {"color": INK, "width": 1.5}}
    shapes += [
        outline
        | {"x0": column - 0.5, "x1": column + 0.5}
        | {"y0": depth * n_points - 0.5, "y1": (depth + 1) * n_points - 0.5}
        for column, depth in enumerate(depths)
        if depth < lens.n_steps
    ]
    line = {"type": "line", "x0": -0.5, "x1": len(rows) - 0.5, "line": {"color": "#ffffff", "width": 2}}
    borders = [step * n_points - 0.5 for step in range(1, lens.n_steps)]
    shapes = [line | {"y0": border, "y1": border} for border in borders] + shapes
    middle = {"xref": "x domain", "x": 0, "xshift": -64, "showarrow": False, "xanchor": "right"}
    notes += [
        middle | {"text": f"step {step}", "y": (step + 0.5) * n_points - 0.5, "font": {"size": 11}}
        for step in range(lens.n_steps)
    ]
    reading = (
        f"Every residual state of every step read as the {lens.factor} that the step would write: {MEANINGS[metric]}. "
        f"Down: steps, and layer by layer within a step; {_points(lens.points)}. Across: nodes by depth. Box: the "
        "step whose number is the node's depth, which has to write its value."
    )
    layout = _layout(f"Lens on the {lens.factor} of every node", reading, width, n_rows * row_height + 90)
    layout["margin"] |= {"b": 70, "t": layout["margin"]["t"] + 20}
    layout["xaxis"] = _axis(names, "node", inner)
    layout["yaxis"] = {
        "range": [n_rows - 0.5, -0.5],
        "tickvals": list(range(n_rows)),
        "ticktext": list(lens.points) * lens.n_steps,
        "tickfont": {"size": row_height - 3},
        "showgrid": False,
    }
    layout["coloraxis"] = _scale(metric, len(lens.symbols), [_Map("", values, hover)])
    layout |= {"shapes": shapes, "annotations": notes}
    gap = Span.across(width, _LEFT + 30 + _RIGHT).gap(len(rows)) if row_height > 10 else 0
    found = _Map("lens", values, hover)
    return make_figure(
        [_heatmap(found, gap), *missing_traces(each(values))],
        layout,
        _LEFT + 30 + _RIGHT + _COLUMN * len(rows),
    )


def _points(points: Sequence[str]) -> str:
    """What the names of layer points mean, those that there are."""
    meanings = {
        "_pre": "before a layer",
        "_mid": "after a layer's attention",
        "final_post": "after the last layer",
    }
    said: list[str] = []
    for end, meaning in meanings.items():
        first = next((point for point in points if point.endswith(end)), "")
        if first:
            layer = first.removesuffix(end)
            said.append(f"{first}: {meaning.replace('a layer', f'layer {layer}')}")
    return ", ".join(said)


def check_metric(metric: str, allowed: Sequence[str] = METRICS) -> None:
    """Raises ValueError for a metric that is not among the allowed."""
    if metric not in allowed:
        raise ValueError(f"metric is {metric!r}; allowed are {', '.join(allowed)}")


def _by_step(
    maps: Sequence[_Map], points: Sequence[str], title: str, reading: str, scale: dict[str, Any], width: int
) -> go.Figure:
    """Heatmaps one under another, layer points x steps."""
    inner, height, gap = width - _LEFT - _RIGHT, _ROW * len(points), 34
    total = len(maps) * (height + gap) + 40
    layout = _layout(title, reading, width, total)
    layout["coloraxis"] = scale
    n_steps = maps[0].values.shape[1]
    span = Span.across(width, _LEFT + 30 + _RIGHT)
    written = span.least / n_steps > 34
    traces: list[dict[str, Any]] = []
    hatched: list[dict[str, Any]] = []
    for number, one in enumerate(maps):
        suffix = "" if number == 0 else str(number + 1)
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        top = gap + number * (height + gap)
        traces.append(_heatmap(one, span.gap(n_steps), written) | axes)
        hatched += [trace | axes for trace in missing_traces(each(one.values), not hatched, "no node")]
        last = number == len(maps) - 1
        steps = [str(step) for step in range(n_steps)]
        layout[f"xaxis{suffix}"] = _axis(steps, "step" if last else "", inner) | {
            "anchor": f"y{suffix}",
            "showticklabels": last,
        }
        layout[f"yaxis{suffix}"] = {
            "domain": [1 - (top + height) / total, 1 - top / total],
            "range": [len(points) - 0.5, -0.5],
            "tickvals": list(range(len(points))),
            "ticktext": list(points),
            "showgrid": False,
            "title": {"text": "layer point", "standoff": 6, "font": {"size": 12}},
        }
        layout["annotations"].append(
            {
                "text": f"<b>{one.title}</b>",
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "x": 0,
                "y": 1,
                "yshift": 3,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 12},
            }
        )
    if hatched:
        layout["height"] += 26
        layout["margin"]["b"] += 26
        layout["legend"] = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"}
    return make_figure([*traces, *hatched], layout)


def _layout(title: str, reading: str, width: int, inner_height: int) -> dict[str, Any]:
    text = wrapped(reading, width)
    top = 68 + 16 * text.count("<br>")
    return {
        "width": width,
        "height": top + inner_height,
        "margin": {"l": _LEFT + 30, "r": _RIGHT, "t": top, "b": 0},
        "title": title_of(title, text),
        "plot_bgcolor": _ABSENT,
        "annotations": [],
    }


def _axis(names: Sequence[str], title: str, inner: int) -> dict[str, Any]:
    pitch = inner * (LEAST_WIDTH / (inner + _LEFT + _RIGHT) if inner > LEAST_WIDTH else 1) / len(names)
    upright = max(map(len, names)) * 6.5 > pitch
    every = max(1, int(np.ceil(9 / pitch)))
    return {
        "range": [-0.5, len(names) - 0.5],
        "tickvals": list(range(0, len(names), every)),
        "ticktext": list(names[::every]),
        "tickangle": -90 if upright else 0,
        "tickfont": {"size": max(7, min(11, pitch - 2))},
        "showgrid": False,
        "linecolor": EDGE_COLOUR,
        "title": {"text": title, "standoff": 4, "font": {"size": 12}},
    }


def _heatmap(one: _Map, gap: int, written: bool = False) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap",
        "name": one.title,
        "z": [[value if np.isfinite(value) else None for value in line] for line in one.values.tolist()],
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
        "hovertext": one.hover,
        "hoverinfo": "text",
    }
    return trace | ({"texttemplate": "%{z:.2~f}", "textfont": {"size": 10}} if written else {})


def _scale(metric: str, n_symbols: int, maps: Sequence[_Map]) -> dict[str, Any]:
    """Blue is what is read well. Ranks are white where a readout that says nothing has them, orange where worse."""
    blue = [[2 * place - 1, colour] for place, colour in DIVERGING[2:]]
    ends: dict[str, Any] = {"colorscale": blue, "cmin": 0, "cmax": 1}
    if metric in ("rank", "content_rank"):
        n = (
            n_symbols
            if metric == "rank"
            else int(max([2.0, *(float(np.nanmax(one.values)) for one in maps)]))
        )
        backwards = [[1 - place, colour] for place, colour in reversed(DIVERGING)]
        ends = {"colorscale": backwards, "cmin": 1, "cmid": (n + 1) / 2, "cmax": n}
    if metric == "kl":
        largest = max(float(np.nanmax(one.values)) for one in maps)
        ends = {"colorscale": blue, "cmin": 0, "cmax": max(largest, 1e-6)}
    title = {"text": _UNITS.get(metric, "share"), "font": {"size": 12}}
    return ends | {
        "colorbar": {
            "title": title,
            "thickness": 14,
            "len": 240,
            "lenmode": "pixels",
            "y": 1,
            "yanchor": "top",
        }
    }


def _mean_hover(record: dict[str, Any]) -> str:
    shuffled = "" if np.isnan(record["shuffled"]) else f" (labels shuffled: {record['shuffled']:.1%})"
    return (
        f"<b>step {record['step']}, {record['point']}: {record['n']} {record['status']} nodes</b><br>"
        f"true symbol best: {record['best']:.1%}; among content symbols {record['content_best']:.1%}{shuffled}<br>"
        f"mean rank {record['rank']:.2f}, among content symbols {record['content_rank']:.2f}<br>"
        f"mean probability {record['prob']:.4f}; symbol that is written best: {record['written_best']:.1%}<br>"
        f"KL from the step's readout {record['kl']:.4g} nats"
    )


def _node_hover(lens: StepLens, step: int, index: int, row: int, equation: str) -> str:
    where = step, index, row
    read = int(lens.content_read[where])
    best = "several" if read < 0 else lens.symbols[read]
    status = STATUSES[int(lens.status[step, row])]
    return (
        f"<b>{equation}</b>, step {step}, {lens.points[index]} ({status})<br>"
        f"true {lens.factor} {lens.symbols[int(lens.true[row])]}: rank {lens.rank[where]:g}, "
        f"probability {np.exp(lens.log_prob[where]):.4f}<br>"
        f"best content symbol: {best}; the step writes {lens.symbols[int(lens.written[step, row])]}<br>"
        f"KL from the step's readout {lens.kl[where]:.4g} nats"
    )
