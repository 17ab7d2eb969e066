"""The recovery atlas: outcomes by kind of edit beside the algorithm's, and recovery times by step and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, WRONG_COLOUR
from interp.recovery.outcomes import CYCLE, ELSEWHERE, OUTCOMES, RECOVERS, UNSETTLED
from interp.statistics.counted import counted

if TYPE_CHECKING:
    from interp.recovery.atlas import RecoveryAtlas

COLOURS: Final = {
    RECOVERS: "#1e8769",
    ELSEWHERE: "#e1862d",
    CYCLE: "#784bc3",
    UNSETTLED: UNSOLVED_COLOUR,
}
_STEPS: Final = Scale("steps", signed=False)
_NONE: Final = "no value tried recovers, or none was tried"
_WORDS: Final = {
    "value": "value of a node",
    "leaf": "number of a leaf",
    "operand": "operand",
    "operation": "operation",
}
"""Kinds of edits, in the order in which they are drawn, and what they are called."""


def times_figure(atlas: RecoveryAtlas, width: int = 1000) -> go.Figure:
    """Steps until the run has settled, by kind of edit, beside the algorithm's; and outcomes by kind."""
    present = set(atlas.column("kind").tolist())
    kinds = [kind for kind in _WORDS if kind in present]
    made, time, expected = (atlas.column(name) for name in ("kind", "time", "expected_time"))
    charts: list[Chart] = []
    longest = int(max(time.max(), expected.max(), 1))
    for kind in kinds:
        chosen = made == kind
        n = int(chosen.sum())
        traces: list[dict[str, Any]] = [
            _bars("observed", time[chosen], longest, MARK_COLOUR, n, kind == kinds[0]),
            _bars("the algorithm", expected[chosen], longest, UNSOLVED_COLOUR, n, kind == kinds[0]),
        ]
        never = int((time[chosen] < 0).sum())
        title = f"{_WORDS[kind]}: {counted(n, 'edit')}" + (f", {never} unsettled" if never else "")
        axis = {"range": [-0.5, longest + 0.5], "dtick": max(1, longest // 10)}
        charts.append(Chart(title, "steps", "share of edits", traces, axis, share_axis()))
    charts.append(_outcomes(atlas, kinds))
    runs = "the run of 1 graph" if len(atlas.graphs) == 1 else f"the runs of {len(atlas.graphs)} graphs"
    extent = "all" if atlas.exhaustive else f"a random sample of {len(atlas)} of {sum(atlas.all_edits)}"
    reading = (
        f"Edits of one code in {runs}: {extent}. Bars: steps until the run is back where it would be without the "
        "edit, or at rest elsewhere. As the algorithm predicts, in outcome, time and end: "
        f"{atlas.as_predicted}; brackets: 95 % interval."
    )
    return draw_charts(charts, "Recovery atlas", reading, 2, width)


def _bars(name: str, times: Any, longest: int, colour: str, n: int, shown: bool) -> dict[str, Any]:
    steps = list(range(longest + 1))
    counts = [int((times == step).sum()) for step in steps]
    return {
        "type": "bar",
        "name": name,
        "legendgroup": name,
        "showlegend": shown,
        "x": steps,
        "y": [count / n for count in counts],
        "marker": {"color": colour},
        "hovertext": [
            f"{name}: {count} of {n} edits settle after {s} steps"
            for s, count in zip(steps, counts, strict=True)
        ],
        "hoverinfo": "text",
    }


def _outcomes(atlas: RecoveryAtlas, kinds: list[str]) -> Chart:
    """Observed outcomes of every kind of edit, and the share that is as predicted."""
    made, outcome, right = (atlas.column(name) for name in ("kind", "outcome", "as_predicted"))
    traces: list[dict[str, Any]] = []
    for name in OUTCOMES:
        for as_predicted in (True, False):
            counts = [
                int(((made == kind) & (outcome == name) & (right == as_predicted)).sum()) for kind in kinds
            ]
            if not sum(counts):
                continue
            totals = [int((made == kind).sum()) for kind in kinds]
            label = name if as_predicted else f"{name}, not as predicted"
            pattern = {} if as_predicted else {"pattern": {"shape": "/", "fgcolor": WRONG_COLOUR, "size": 6}}
            traces.append(
                {
                    "type": "bar",
                    "name": label,
                    "x": kinds,
                    "y": [count / total for count, total in zip(counts, totals, strict=True)],
                    "marker": {"color": COLOURS[name], "line": {"color": "#ffffff", "width": 1}} | pattern,
                    "hovertext": [
                        f"{kind}: {count} of {total} {label}"
                        for kind, count, total in zip(kinds, counts, totals, strict=True)
                    ],
                    "hoverinfo": "text",
                    "offsetgroup": "outcome",
                    "base": None,
                }
            )
    low = np.zeros(len(kinds))
    for trace in traces:
        trace["base"] = low.tolist()
        low = low + np.array(trace["y"])
    return Chart(
        "outcomes observed", "kind of edit", "share of edits", traces, {"type": "category"}, share_axis()
    )


def map_figure(atlas: RecoveryAtlas, graph: int = 0, width: int = 1000) -> go.Figure:
    """Step x node: mean steps until a wrong value at the node's right-hand side is gone, observed and by the algorithm.

    Raises:
        ValueError: a graph that is not in the atlas.
    """
    if not 0 <= graph < len(atlas.graphs):
        raise ValueError(f"there is no graph {graph}; there are 0..{len(atlas.graphs) - 1}")
    names = [node.name for node in atlas.graphs[graph].nodes]
    depths = atlas.graphs[graph].depths_by_node
    order = sorted(range(len(names)), key=lambda node: (depths[node], node))
    steps = range(atlas.steps[graph])
    chosen = (atlas.column("graph") == graph) & (atlas.column("kind") == "value")
    step, node = atlas.column("step"), atlas.column("node")
    panels: list[Panel] = []
    for title, column, outcome in (
        ("observed", "time", "outcome"),
        ("the algorithm", "expected_time", "expected"),
    ):
        time, back = atlas.column(column), atlas.column(outcome) == RECOVERS
        values = np.full((len(steps), len(names)), np.nan)
        hover = [["not sampled"] * len(names) for _ in steps]
        for row in steps:
            for place, index in enumerate(order):
                cell = chosen & (step == row) & (node == index)
                if not cell.any():
                    continue
                recovered = cell & back
                values[row, place] = float(time[recovered].mean()) if recovered.any() else np.nan
                hover[row][place] = (
                    f"<b>{names[index]}, state entering step {row}</b><br>{int(recovered.sum())} of {int(cell.sum())} "
                    f"wrong values recover, after {values[row, place]:.2f} steps on average"
                )
        panels.append(
            Panel(
                title, tuple(map(str, steps)), tuple(names[index] for index in order), "step", "node", values, hover,
                np.full(values.shape, -1), tuple(depths[index] for index in order), _NONE,
            )
        )  # fmt: skip
    reading = (
        "Mean number of steps until the run is back where it would have been, after another value was put in at a "
        "node's right-hand side in the state that enters a step. Nodes by depth. "
        f"Hatched: {_NONE}."
    )
    return draw(
        panels,
        "How long a wrong value lives",
        reading,
        _STEPS,
        selectable=False,
        width=width,
    )
