"""Why other runs fail: a hidden state that drifts, a text that loses its place, a depth that is out of reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis, step_axis, with_intervals
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR, WRONG_COLOUR, step_colours

if TYPE_CHECKING:
    from interp.failures.drifting import Drifting
    from interp.failures.losing_place import LostPlace
    from interp.failures.reaching import Reaching
    from interp.failures.snapping import Snapping

DISTANCES: Final = {
    "rhs_distance": ("right-hand sides", MARK_COLOUR, "solid"),
    "rhs_own": ("the same, as read", MARK_COLOUR, "dot"),
    "text_distance": ("other tokens", "#e1862d", "solid"),
    "text_own": ("the same, as read ", "#e1862d", "dot"),
}
FACTORS: Final = {
    "syntax": "#5a781e",
    "variable": "#e1862d",
    "operation": "#784bc3",
    "given": "#963c5a",
    "value": MARK_COLOUR,
}
MOMENTS: Final = {
    "on_time": ("at depth + 1", MARK_COLOUR),
    "best": ("at the best step", UNSOLVED_COLOUR),
    "late": ("late", "#e1862d"),
}
KIND_LABELS: Final = {"opening": "open", "operator": "op", "equals": "=", "separator": "[sep]"}
"""What stands on an axis for kinds of tokens whose names are long."""
OUTCOME_COLOURS: Final = {"copy": "#e1862d", "value": MARK_COLOUR, "end": "#963c5a", "other": UNSOLVED_COLOUR}


def drifting_figure(found: Drifting, width: int = 1000) -> go.Figure:
    """By step, a row per size: distance of the hidden state to embeddings, and tokens read right by factor."""
    charts: list[Chart] = []
    for size in found.measures:
        last = len(found.measures[size]) - 1
        states = list(range(last + 1))
        left = [
            _line(name, states, found.of(measure, size).tolist(), colour, ".2f", not charts, dash)
            for measure, (name, colour, dash) in DISTANCES.items()
        ]
        yardstick = [found.another[size]] * len(states)
        left.append(_line("another node", states, yardstick, INK, ".2f", not charts, "dash"))
        most = max(max(trace["y"]) for trace in left)
        right = [
            _line(
                f"{factor} right",
                states,
                found.of(f"{factor}_right", size).tolist(),
                colour,
                ".1%",
                not charts,
            )
            for factor, colour in FACTORS.items()
        ]
        done = {
            "type": "scatter", "mode": "lines", "name": "all levels due", "x": [found.needed[size]] * 2,
            "line": {"color": INK, "width": 1}, "hoverinfo": "skip",
        }  # fmt: skip
        left.append(done | {"y": [0, most], "showlegend": not charts})
        right.append(done | {"y": [0, 1], "showlegend": False})
        axis = step_axis(last)
        charts += [
            Chart(f"{size} nodes: distance", "entering step", "share of the length", left, axis,
                  {"range": [-0.04 * most, 1.06 * most]}),
            Chart(f"{size} nodes: read right", "entering step", "tokens", right, axis, share_axis()),
        ]  # fmt: skip
    graphs = ", ".join(f"{n} graphs of {size} nodes" for size, n in found.n_graphs.items())
    reading = (
        "The hidden state beside the state that a perfect run would be in. Distance: from the embedding of the right "
        "symbols, and of those that it is read as (dotted), as a share of the embedding's length; dashed, of another "
        f"node. Given: the leaves' numbers. Value: at right-hand sides, EMPTY before it is due. {graphs}."
    )
    return draw_charts(charts, "Drift from the right state", reading, 2, width)


def _line(
    name: str, x: list[Any], y: list[float], colour: str, form: str, shown: bool, dash: str = "solid"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": shown,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": f"entering step %{{x}}: %{{y:{form}}}<extra>{name}</extra>",
    }


def snapping_figure(found: Snapping, width: int = 1000) -> go.Figure:
    """Graphs solved by how often the state is snapped, a chart per size: on time, at the best step, and late."""
    from interp.failures.snapping import LATE

    charts: list[Chart] = []
    kinds = list(found.solved)
    for size in sorted(set(found.sizes.tolist())):
        traces: list[dict[str, Any]] = []
        for moment, (name, colour) in MOMENTS.items():
            shares = [found.share(kind, moment, size) for kind in kinds]
            hover = [
                f"<b>{size} nodes, snapped: {kind}</b><br>{name}: {share} solved"
                + (f"<br>after step {found.best_step(kind, size)}" if moment == "best" else "")
                for kind, share in zip(kinds, shares, strict=True)
            ]
            traces.append(
                {
                    "type": "bar",
                    "name": f"{name} ({LATE} times that)" if moment == "late" else name,
                    "showlegend": not charts,
                    "x": kinds,
                    "y": [share.value for share in shares],
                    "error_y": {
                        "array": [share.interval[1] - share.value for share in shares],
                        "arrayminus": [share.value - share.interval[0] for share in shares],
                        "thickness": 1,
                        "width": 3,
                    },
                    "marker": {"color": colour},
                    "hovertext": hover,
                    "hoverinfo": "text",
                }
            )
        charts.append(
            Chart(
                f"{size} nodes", "snapped every", "graphs solved", traces, {"type": "category"}, share_axis()
            )
        )
    reading = (
        "Every so many steps the hidden state is replaced by the embedding of its own most likely symbols. Placebo: "
        "moved as far in a random direction, after every step. The best step is chosen after the fact, for each kind "
        "of run. Bars are 95 % Wilson intervals."
    )
    return draw_charts(charts, "Does snapping heal it?", reading, min(len(charts), 3), width)


def losing_figure(found: LostPlace, width: int = 1000) -> go.Figure:
    """Errors by kind of token and quarter of the solution, first mistakes beside random ones, and what is written."""
    from interp.failures.losing_place import KINDS

    colours = dict(zip(found.sizes, step_colours(len(found.sizes)), strict=True))
    charts: list[Chart] = []
    for by, title, x_title in (
        ("kind", "error rate by kind of token", "kind"),
        ("quarter", "error rate by place", "quarter of the solution"),
    ):
        table: Any = found.by(by)
        traces: list[dict[str, Any]] = []
        for size, colour in colours.items():
            part = table[table["nodes"] == size].dropna(subset=["rate"])
            hover = [
                f"<b>{size} nodes, {group}</b><br>{wrong} of {total} tokens wrong, given the right text before them"
                for group, wrong, total in zip(part["group"], part["wrong"], part["total"], strict=True)
            ]
            points = list(zip(*(part[column].tolist() for column in ("rate", "low", "high")), strict=True))
            groups = [KIND_LABELS.get(group, str(group)) for group in part["group"]]
            trace = with_intervals(f"{size} nodes", groups, points, hover, colour, str(size), by == "kind")
            traces.append(
                trace
                | ({"mode": "markers"} if by == "kind" else {})
                | {"marker": {"color": colour, "size": 8}}
            )
        most = max([0.02, *(float(high) for high in table.dropna(subset=["rate"])["high"])])
        axis: dict[str, Any] = {"type": "category"}
        if by == "kind":
            axis |= {
                "categoryorder": "array",
                "categoryarray": [KIND_LABELS.get(kind, kind) for kind in KINDS],
            }
        y_axis = {"range": [-0.05 * most, 1.05 * most], "tickformat": ".1%" if most < 0.1 else ".0%"}
        charts.append(Chart(title, x_title, "tokens that are wrong", traces, axis, y_axis))
    charts += [_first_chart(found), _outcome_chart(found)]
    reading = (
        "Every token of the written-out solutions, given the right text before it; bars are 95 % Wilson intervals. "
        "First mistakes: where greedy decoding leaves the solution; grey, the share of all tokens that are of the "
        "kind, where random mistakes would be. Copy: the token continues another equation of the question."
    )
    return draw_charts(charts, "Where the text loses its place", reading, 2, width)


def _first_chart(found: LostPlace) -> Chart:
    from interp.failures.losing_place import KINDS

    by_kind: Any = found.by("kind")
    table = by_kind.groupby("group", sort=False)[["first", "total"]].sum().reindex(list(KINDS))
    n = max(int(table["first"].sum()), 1)
    bars = {
        "first mistakes": ((table["first"] / n).tolist(), WRONG_COLOUR),
        "random mistakes": ((table["total"] / table["total"].sum()).tolist(), UNSOLVED_COLOUR),
    }
    labels = [KIND_LABELS.get(kind, kind) for kind in KINDS]
    traces = [
        {
            "type": "bar", "name": name, "x": labels, "y": shares, "marker": {"color": colour},
            "hovertemplate": "%{x}: %{y:.1%}<extra>" + name + "</extra>",
        }
        for name, (shares, colour) in bars.items()
    ]  # fmt: skip
    note = "" if len(found.mistakes) else "no mistakes"
    axis = {"type": "category"}
    return Chart("first mistakes, all sizes", "kind", "share", traces, axis, share_axis(), note)


def _outcome_chart(found: LostPlace) -> Chart:
    sizes = found.sizes
    by_size = [found.outcomes(size) for size in sizes]
    traces = [
        {
            "type": "bar", "name": f"wrote: {outcome}", "x": [str(size) for size in sizes],
            "y": [shares[outcome].value if shares[outcome].total else 0.0 for shares in by_size],
            "marker": {"color": colour},
            "hovertext": [f"<b>{size} nodes</b><br>{outcome}: {shares[outcome]}"
                          for size, shares in zip(sizes, by_size, strict=True)],
            "hoverinfo": "text",
        }
        for outcome, colour in OUTCOME_COLOURS.items()
    ]  # fmt: skip
    note = "" if len(found.mistakes) else "no mistakes"
    return Chart(
        "what is written instead", "nodes", "first mistakes", traces, {"type": "category"}, share_axis(), note
    )


def reaching_figure(found: Reaching, width: int = 1000) -> go.Figure:
    """Nodes right by depth, a line per size; and by step, where there are several."""
    from interp.failures.reaching import LEAST

    colours = dict(zip(found.sizes, step_colours(len(found.sizes)), strict=True))
    by_depth: list[dict[str, Any]] = []
    for size, colour in colours.items():
        depths = found.depths(size)
        shares = [found.share(depth, size) for depth in depths]
        by_depth.append(
            with_intervals(
                f"{size} nodes", depths, [share.point for share in shares],
                [f"<b>{size} nodes, depth {depth}</b><br>{share} right"
                 for depth, share in zip(depths, shares, strict=True)], colour, str(size),
            )
        )  # fmt: skip
    deepest = max(1, *(depth for trace in by_depth for depth in [0, *trace["x"]]))
    by_depth.append(
        {
            "type": "scatter", "mode": "lines", "name": "chance", "x": [0, deepest], "y": [found.chance] * 2,
            "line": {"color": INK, "width": 1, "dash": "dot"}, "hoverinfo": "skip",
        }
    )  # fmt: skip
    charts = [
        Chart(
            "nodes right, by depth", "depth of the node", "nodes", by_depth, step_axis(deepest), share_axis()
        )
    ]
    n_steps = len(found.by_step)
    if n_steps > 1:
        steps = list(range(1, n_steps + 1))
        by_step: list[dict[str, Any]] = []
        for size, colour in colours.items():
            shares = [found.step_share(step, size) for step in steps]
            by_step.append(
                with_intervals(
                    f"{size} nodes", steps, [share.point for share in shares],
                    [f"<b>{size} nodes, step {step}</b><br>{share} right; graphs solved "
                     f"{found.step_share(step, size, True)}" for step, share in zip(steps, shares, strict=True)],
                    colour, str(size), shown=False,
                )
            )  # fmt: skip
        by_step.append(
            {
                "type": "scatter", "mode": "lines", "name": "its own number of steps", "x": [found.n_steps] * 2,
                "y": [0, 1], "line": {"color": INK, "width": 1}, "hoverinfo": "skip",
            }
        )  # fmt: skip
        axis = {"range": [0.5, n_steps + 0.5], "dtick": max(1, n_steps // 8)}
        charts.append(
            Chart("nodes right, by step", "after step (from 1)", "nodes", by_step, axis, share_axis())
        )
    reading = (
        f"{found.n_layers} layers, {found.n_steps} step{'s' if found.n_steps > 1 else ''}. Depths with at least "
        f"{LEAST} nodes; bars are 95 % Wilson intervals. Chance: the share of the most common value."
    )
    return draw_charts(charts, "How deep it gets", reading, len(charts), width)
