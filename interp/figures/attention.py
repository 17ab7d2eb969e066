"""Attention from right-hand sides at one step: on the tokens, of all heads at once, on the graph, and by role."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.attention_roles import ROLES
from interp.figures.captioned import captioned
from interp.figures.heads import SHARE
from interp.figures.layout import curve, layer
from interp.figures.template import EDGE_COLOUR, INK, UNSOLVED_COLOUR, make_figure
from interp.labels import STATUSES

if TYPE_CHECKING:
    from interp.attention_roles import AttentionTargets
    from interp.rhs_patterns import RhsPattern

Floats32 = NDArray[np.float32]
CLASSES: Final = (
    (0.05, 1.5, "#b9c6f2"),
    (0.25, 2.2, "#7f9bea"),
    (0.5, 3.2, "#3f5fc9"),
    (0.75, 4.4, "#1f36a0"),
)
"""Lowest attention of a class of edges, width of its lines in pixels, colour."""
OTHER_COLOUR: Final = "#e1692d"
"""Edges to a node that is not an operand."""
_FILL: Final = {"waiting": "#ffffff", "computing": "#f0b42d", "done": "#eceef3"}
_LETTERS: Final = 8.0
"""Width of a column in pixels from which every token has its label; of narrower ones only right-hand sides have."""
_SMALL: Final = 1200
"""Cells of one small heat map up to which hover texts are made for it."""


def pattern_figure(pattern: RhsPattern, layer: int, head: int, width: int = 1000) -> go.Figure:
    """One head: node (its right-hand side) x token; rings stand at the operands' right-hand sides.

    Raises:
        ValueError: a layer or head that the model does not have.
    """
    values = pattern.of(layer, head)
    n_nodes, n_pos = values.shape
    row = 20 if n_nodes <= 24 else 12
    labels = _equations(pattern)
    names = {int(pos): node.name for pos, node in zip(pattern.rhs, pattern.graph.nodes, strict=True)}
    left = min(300, 30 + 7 * max(map(len, labels)))
    layout = captioned(
        f"Head {layer}.{head} at step {pattern.step}: where right-hand sides look",
        "A row is a node's right-hand side, the symbol it shows as the step is entered after the colon; a column is a "
        "token of the text. Every row sums to 1. Rings: right-hand sides of the node's operands; crosses: its own.",
        width,
        row * n_nodes,
        left=left,
        right=96,
        bottom=70,
    )
    pitch = (width - left - 96) / n_pos
    all_labelled = pitch >= _LETTERS
    ticks = list(range(n_pos)) if all_labelled else [int(pos) for pos in pattern.rhs]
    ticks = ticks[:: max(1, -(-len(ticks) // 60))] if not all_labelled else ticks
    layout |= _colours(row * n_nodes) | {
        "showlegend": False,
        "xaxis": {
            "tickvals": ticks,
            "ticktext": [pattern.tokens[pos] if all_labelled else names.get(pos, str(pos)) for pos in ticks],
            "tickangle": -90,
            "tickfont": {"size": max(8.0, min(11.0, pitch)) if all_labelled else 9},
            "title": {
                "text": "token" if all_labelled else "token (right-hand sides are named)",
                "standoff": 6,
                "font": {"size": 12},
            },
            "range": [-0.5, n_pos - 0.5],
            "showgrid": False,
        },
        "yaxis": {
            "tickvals": list(range(n_nodes)),
            "ticktext": labels,
            "tickfont": {"size": 11 if n_nodes <= 24 else 8},
            "range": [n_nodes - 0.5, -0.5],
            "showgrid": False,
        },
    }
    operands = [
        (int(pattern.rhs[operand]), node)
        for node, one in enumerate(pattern.graph.nodes)
        for operand in one.operands
    ]
    size = max(6.0, min(11.0, 0.8 * row, 1.5 * pitch))
    marks = [
        _marks(operands, "circle-open", size),
        _marks([(int(pos), node) for node, pos in enumerate(pattern.rhs)], "x-thin-open", size - 2),
    ]
    return make_figure([_heatmap(values, _hover(pattern, values)), *marks], layout)


def all_heads_figure(pattern: RhsPattern, width: int = 1000) -> go.Figure:
    """Every head small, a row of heat maps a layer: node x token, as :func:`pattern_figure`."""
    n_layers, n_heads, n_nodes, _ = pattern.pattern.shape
    per_line = min(n_heads, 8)
    lines = n_layers * -(-n_heads // per_line)
    left, right, gap = 34, 96, 30
    inner = width - left - right
    high = float(np.clip(5.5 * n_nodes, 70, 170))
    total = lines * high + (lines - 1) * gap
    layout = captioned(
        f"All heads at step {pattern.step}: where right-hand sides look",
        "A small heat map a head (layer.head): a row is a node's right-hand side, a column a token, both in text "
        "order. A dark diagonal is attention to what stands a fixed distance back; scattered dark cells are lookups.",
        width,
        int(total),
        left=left,
        right=right,
        bottom=34,
    )
    layout |= _colours(total) | {"annotations": [], "showlegend": False}
    layout["margin"]["t"] += 14
    layout["height"] += 14
    traces: list[dict[str, Any]] = []
    for number, (block, head) in enumerate(np.ndindex(n_layers, n_heads)):
        line, place = block * -(-n_heads // per_line) + head // per_line, head % per_line
        suffix = "" if number == 0 else str(number + 1)
        top = line * (high + gap)
        begin = place / per_line
        layout[f"xaxis{suffix}"] = _bare(f"y{suffix}") | {
            "domain": [begin, begin + 1 / per_line - 12 / inner],
            "title": {"text": "token" if line == lines - 1 else "", "standoff": 2, "font": {"size": 11}},
        }
        layout[f"yaxis{suffix}"] = _bare(f"x{suffix}") | {
            "domain": [max(0.0, 1 - (top + high) / total), 1 - top / total],
            "autorange": "reversed",
            "title": {"text": "node" if place == 0 else "", "standoff": 2, "font": {"size": 11}},
        }
        layout["annotations"].append(
            {
                "text": f"<b>{block}.{head}</b>",
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
            }
        )
        values = pattern.pattern[block, head]
        hover = _hover(pattern, values) if values.size <= _SMALL else None
        traces.append(_heatmap(values, hover, 0) | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"})
    return make_figure(traces, layout)


def attention_graph_figure(
    pattern: RhsPattern, block: int | None = None, head: int | None = None, width: int = 1000
) -> go.Figure:
    """The graph, an edge from operand to node as strong as the node's attention to the operand's right-hand side.

    block, head: whose attention; None: the largest of all layers, of all heads. Of one head also edges to nodes
    that are no operands are drawn, in another colour and dotted.

    Raises:
        ValueError: a layer or head that the model does not have.
    """
    chosen = pattern.between_nodes
    heads = list(range(pattern.n_heads)) if head is None else [head]
    blocks = list(range(pattern.n_layers)) if block is None else [block]
    if not (set(heads) <= set(range(pattern.n_heads)) and set(blocks) <= set(range(pattern.n_layers))):
        raise ValueError(
            f"layer {block} and head {head}; allowed: 0..{pattern.n_layers - 1} and 0..{pattern.n_heads - 1}"
        )
    chosen = chosen[np.ix_(blocks, heads)].reshape(-1, *chosen.shape[2:])
    names = [f"{b}.{h}" for b in blocks for h in heads]
    weight, best = chosen.max(0), chosen.argmax(0)
    graph, places = pattern.graph, layer(pattern.graph)
    n_columns = max(graph.depths_by_node) + 1
    n_rows = max(3.0, 2 * max(abs(y) for _, y in places) + 1)
    crowded = n_rows > 11
    plain = [(node, operand) for node in range(len(graph)) for operand in graph.nodes[node].operands]
    others = [
        (node, other)
        for node, other in product(range(len(graph)), repeat=2)
        if len(names) == 1 and node != other and weight[node, other] >= CLASSES[0][0]
        if other not in graph.nodes[node].operands
    ]
    traces = [_edges(places, plain, EDGE_COLOUR, 1.0) | {"showlegend": False}]
    traces += _weighted(places, plain, weight)
    traces += _weighted(places, others, weight, other=True)
    spots = [(node, o) for node, o in [*plain, *others] if weight[node, o] >= CLASSES[0][0]]
    traces.append(_midpoints(pattern, places, spots, weight, best, names))
    traces += _nodes(pattern, places, crowded)
    whose = f"head {names[0]}" if len(names) == 1 else f"the strongest of {len(names)} heads"
    whose += f" of layer {block}" if head is None and block is not None else ""
    layout = captioned(
        f"Attention on the graph at step {pattern.step}, {whose}",
        "An edge from operand to node is as strong as the attention from the node's right-hand side to the operand's "
        "right-hand side, where its value is; faint where there is none. A node's number is what it shows as the step "
        "is entered, its filling says whether it waits, is computed in this step, or is done.",
        width,
        int((26 if crowded else 46) * n_rows) + 20,
        left=12,
        right=12,
        bottom=72,
    )
    layout |= {
        "legend": {"orientation": "h", "y": 0.005, "yref": "container", "yanchor": "bottom", "x": 0},
        "xaxis": {
            "range": [-0.6, n_columns - 0.4],
            "tickvals": list(range(n_columns)),
            "ticktext": [f"depth {depth}" for depth in range(n_columns)],
            "showgrid": False,
        },
        "yaxis": {"range": [-n_rows / 2 - 0.1, n_rows / 2 + 0.1], "visible": False},
    }
    return make_figure(traces, layout)


def targets_figure(targets: AttentionTargets, step: int, width: int = 1000) -> go.Figure:
    """Role x head at one step, a panel a status that some node has: mean attention from the right-hand sides.

    Raises:
        ValueError: a step that was not run.
    """
    if not 0 <= step < targets.n_steps:
        raise ValueError(f"step is {step}; allowed: 0..{targets.n_steps - 1}")
    present = [s for s in range(len(STATUSES)) if targets.nodes[s, step]]
    n_layers, n_heads = targets.mass.shape[3:]
    names = [f"{block}.{head}" for block, head in np.ndindex(n_layers, n_heads)]
    height, left, gap = 19 * len(ROLES), 130, 0.04
    layout = captioned(
        f"What stands where heads look, at step {step}",
        "Mean attention from right-hand sides by what stands there, a panel a status of the node as the step is "
        "entered; operands are counted from the end of the left-hand side. Grey: no node has that role.",
        width,
        height,
        left=left,
        right=96,
        bottom=64,
    )
    layout |= _colours(height) | {"plot_bgcolor": "#eceef3", "annotations": []}
    layout["margin"]["t"] += 16
    layout["height"] += 16
    share = (1 + gap) / len(present)
    traces: list[dict[str, Any]] = []
    for number, s in enumerate(present):
        suffix = "" if number == 0 else str(number + 1)
        values = targets.mass[s, step].reshape(len(ROLES), -1)
        chance = targets.chance[s, step]
        hover = [
            [
                f"<b>head {name}, {role}</b><br>attention {cell:.3f}, chance {alike:.3f}"
                for name, cell in zip(names, line, strict=True)
            ]
            for role, line, alike in zip(ROLES, values, chance, strict=True)
        ]
        traces.append(
            _heatmap(values, hover)
            | {"x": names, "y": list(ROLES), "xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        )
        layout[f"xaxis{suffix}"] = {
            "type": "category",
            "domain": [number * share, min(1.0, (number + 1) * share - gap)],
            "anchor": f"y{suffix}",
            "showgrid": False,
            "tickangle": -90,
            "tickfont": {"size": 10},
            "title": {"text": "head (layer.head)", "standoff": 4, "font": {"size": 12}},
        }
        layout[f"yaxis{suffix}"] = {
            "type": "category",
            "anchor": f"x{suffix}",
            "autorange": "reversed",
            "showgrid": False,
            "showticklabels": number == 0,
            "tickfont": {"size": 11},
        }
        count = int(targets.nodes[s, step])
        layout["annotations"].append(
            {
                "text": f"<b>{STATUSES[s]}</b>, {count} node{'s' * (count != 1)}",
                "xref": f"x{suffix} domain",
                "yref": "paper",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
    return make_figure(traces, layout)


def _colours(height: float) -> dict[str, Any]:
    bar = {"title": {"text": "attention<br> "}, "thickness": 14, "len": min(1.0, 240 / height)}
    axis = {"colorscale": [list(stop) for stop in SHARE], "cmin": 0, "cmax": 1}
    return {"coloraxis": axis | {"colorbar": bar | {"y": 1, "yanchor": "top"}}}


def _heatmap(values: NDArray[Any], hover: list[list[str]] | None, gap: int = 1) -> dict[str, Any]:
    told = {"hoverinfo": "skip"} if hover is None else {"text": hover, "hoverinfo": "text"}
    return {
        "type": "heatmap",
        # Four digits are what a colour can show, and a fifth of the bytes that go to the browser.
        "z": np.round(np.asarray(values, np.float64), 4),
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        **told,
    }


def _bare(anchor: str) -> dict[str, Any]:
    line = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    return line | {"anchor": anchor, "showgrid": False, "showticklabels": False}


def _equations(pattern: RhsPattern) -> list[str]:
    return [f"{pattern.graph.equation(node)} : {shown}" for node, shown in enumerate(pattern.shown)]


def _hover(pattern: RhsPattern, values: Floats32) -> list[list[str]]:
    names = [node.name for node in pattern.graph.nodes]
    return [
        [
            f"<b>{name} looks at {token}</b> (position {pos})<br>attention {cell:.3f}"
            for pos, (token, cell) in enumerate(zip(pattern.tokens, line, strict=True))
        ]
        for name, line in zip(names, values.tolist(), strict=True)
    ]


def _marks(points: Sequence[tuple[int, int]], symbol: str, size: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "marker": {"symbol": symbol, "size": size, "color": OTHER_COLOUR, "line": {"width": 1.3}},
        "hoverinfo": "skip",
    }


def _edges(
    places: Sequence[tuple[float, float]], pairs: Sequence[tuple[int, int]], colour: str, width: float
) -> dict[str, Any]:
    """One line per (node, operand)."""
    curves = [curve(places[operand], places[node]) for node, operand in pairs]
    return {
        "type": "scatter",
        "x": [x for along, _ in curves for x in along],
        "y": [y for _, up in curves for y in up],
        "mode": "lines",
        "line": {"color": colour, "width": width, "shape": "spline", "smoothing": 0.8},
        "hoverinfo": "skip",
    }


def _weighted(
    places: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[int, int]],
    weight: Floats32,
    other: bool = False,
) -> list[dict[str, Any]]:
    """A trace a class of attention; with a legend entry each, or one where the node is not an operand."""
    bounds = [*(low for low, _, _ in CLASSES), np.inf]
    traces: list[dict[str, Any]] = []
    for number, (low, width, colour) in enumerate(CLASSES):
        mine = [pair for pair in pairs if low <= weight[pair] < bounds[number + 1]]
        upper = 1 if number == len(CLASSES) - 1 else bounds[number + 1]
        trace = _edges(places, mine, OTHER_COLOUR if other else colour, width)
        if other:
            trace["line"]["dash"] = "dot"
        named = "to a node that is no operand" if other else f"{low:g} to {upper:g}"
        if mine:
            shown = not other or not any(one["showlegend"] for one in traces)
            traces.append(trace | {"name": named, "showlegend": shown})
    return traces


def _midpoints(
    pattern: RhsPattern,
    places: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[int, int]],
    weight: Floats32,
    best: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Invisible points half-way along edges, for hovering."""
    x: list[float] = []
    y: list[float] = []
    for node, operand in pairs:
        along, up = (np.array(part[:-1], float) for part in curve(places[operand], places[node]))
        x.append(float(along.mean()))
        y.append(float(up[1:-1].mean()))
    nodes = pattern.graph.nodes
    return {
        "type": "scatter",
        "name": "attention",
        "mode": "markers",
        "x": x,
        "y": y,
        "marker": {"size": 12, "opacity": 0},
        "hovertext": [
            f"<b>{nodes[node].name} looks at {nodes[other].name}'s right-hand side</b><br>"
            f"attention {weight[node, other]:.3f}, head {names[int(best[node, other])]}"
            for node, other in pairs
        ],
        "customdata": [round(float(weight[pair]), 4) for pair in pairs],
        "hoverinfo": "text",
        "showlegend": False,
    }


def _nodes(pattern: RhsPattern, places: Sequence[tuple[float, float]], crowded: bool) -> list[dict[str, Any]]:
    """A trace a status, with what the nodes show inside, and the names."""
    diameter = 21 if crowded else 26
    status = pattern.status
    common: dict[str, Any] = {"type": "scatter", "mode": "markers+text"}
    traces: list[dict[str, Any]] = []
    for name, fill in _FILL.items():
        mine = [node for node, own in enumerate(status) if own == name]
        if mine:
            traces.append(
                common
                | {
                    "name": f"{name} node",
                    "x": [places[node][0] for node in mine],
                    "y": [places[node][1] for node in mine],
                    "text": [pattern.shown[node] if pattern.shown[node].isdigit() else "•" for node in mine],
                    "textfont": {"size": 12, "color": INK},
                    "hovertext": [f"<b>{pattern.graph.equation(node)}</b><br>{name}" for node in mine],
                    "hoverinfo": "text",
                    "marker": {
                        "size": diameter,
                        "color": fill,
                        "opacity": 1,
                        "line": {"color": UNSOLVED_COLOUR, "width": 2},
                    },
                }
            )
    labels = common | {
        "name": "names",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "text": [node.name for node in pattern.graph.nodes],
        "textposition": "middle right" if crowded else "top center",
        "textfont": {"size": 10},
        "marker": {"size": diameter, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [*traces, labels]
