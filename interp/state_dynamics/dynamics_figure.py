"""How the state moves: residual, angle, acceleration and distance by step; the frontier; drift over long runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.data.labels import STATUSES
from interp.figures.charts import Chart, draw_charts, log_axis, step_axis
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR

if TYPE_CHECKING:
    from interp.state_dynamics.drift import Drift
    from interp.state_dynamics.dynamics import Dynamics
    from interp.state_dynamics.frontier import Frontier

STATUS_COLOURS: Final = dict(zip(STATUSES, (UNSOLVED_COLOUR, "#e1862d", MARK_COLOUR), strict=True))
MODEL_COLOURS: Final = (MARK_COLOUR, "#e1862d", "#1e8769", "#963c5a", "#5a781e", "#784bc3")


def motion_figure(run: Dynamics, last_step: int | None = None, width: int = 1000) -> go.Figure:
    """Relative residual, angle, acceleration and distance to the limit by step, one line per status.

    Lines: the median over nodes; bands: 10th to 90th percentile. Logarithmic where sizes are compared; what is 0
    exactly lies on the line marked 0.

    Raises:
        ValueError: a last step that was not run.
    """
    last = run.n_steps - 1 if last_step is None else last_step
    if not 0 < last < run.n_steps:
        raise ValueError(f"last_step is {last}; allowed are 1..{run.n_steps - 1}")
    rows = [row for row in _records(run.summary()) if row["step"] <= last]
    parts = {
        "relative": ("relative residual", "‖h(t+1) − h(t)‖ / ‖h(t)‖", True),
        "angle": ("angle between successive updates", "degrees", False),
        "acceleration": ("acceleration", "‖h(t+1) − 2h(t) + h(t−1)‖", True),
        "to_limit": ("distance to the last state", "‖h(t) − h(last)‖", True),
    }
    charts = [_motion_chart(rows, last, name, *part) for name, part in parts.items()]
    kind = "snapped to symbols between steps" if run.discrete else "passed on as it is"
    reading = (
        f"h(t) enters step t at the right-hand sides of {int(run.exists.sum())} nodes of {len(run.graphs)} graphs; the "
        f"state is {kind}. Line: median over nodes, band: 10 to 90 %. A node waits before the step equal to its depth, "
        f"is computed in it, and is done after it. Last state: after {run.n_steps} steps."
    )
    return draw_charts(charts, "Dynamics of the state, by step", reading, 2, width)


def _motion_chart(
    rows: list[dict[str, Any]], last: int, measure: str, title: str, unit: str, log: bool
) -> Chart:
    rows = [row for row in rows if not np.isnan(row[f"{measure}_median"])]
    numbers = [row[f"{measure}_{name}"] for row in rows for name in ("low", "median", "high")]
    positive = [number for number in numbers if number > 0] or [1.0]
    floor = 10.0 ** (np.floor(np.log10(min(positive))) - 1) if log else 0.0
    traces: list[dict[str, Any]] = []
    for status, colour in STATUS_COLOURS.items():
        part = [row for row in rows if row["status"] == status]
        steps = [row["step"] for row in part]
        low, median, high = (
            [max(row[f"{measure}_{name}"], floor) for row in part] for name in ("low", "median", "high")
        )
        common = {"type": "scatter", "name": status, "legendgroup": status}
        band = {"fill": "toself", "fillcolor": colour, "opacity": 0.18, "mode": "none", "hoverinfo": "skip"}
        line = {"mode": "lines+markers", "line": {"color": colour, "width": 2}, "marker": {"size": 6}}
        hover = [_motion_hover(row, measure, title) for row in part]
        traces.append(common | band | {"x": steps + steps[::-1], "y": high + low[::-1], "showlegend": False})
        traces.append(
            common
            | line
            | {"x": steps, "y": median, "hovertext": hover, "hoverinfo": "text"}
            | {"showlegend": measure == "relative"}
        )
    y_axis: dict[str, Any] = {"range": [-5, 185], "tickvals": [0, 45, 90, 135, 180]}
    if log:
        y_axis = log_axis(floor, max(positive))
    note = "" if rows else "no node is updated in two steps running"
    return Chart(title, "step t", unit, traces, step_axis(last), y_axis, note)


def _motion_hover(row: Mapping[str, Any], measure: str, title: str) -> str:
    numbers = ", ".join(
        f"{name} {row[f'{measure}_{name}']:.4g}" for name in ("mean", "median", "low", "high")
    )
    return (
        f"<b>step {row['step']}, {row['status']}</b><br>{title}: {numbers}<br>{row['nodes']} nodes, "
        f"{row['unmoved']:.1%} of them not moved at all, {row['right']:.1%} right after the step"
    )


def frontier_figure(runs: Mapping[str, Frontier], width: int = 1000) -> go.Figure:
    """Levels solved by step, beside one level per step; and the speed by depth of the graph, with 95 % intervals.

    runs: name of the model -> its frontier. Left: over the graphs that are at least as deep as the step, so that no
    solved graph holds the mean down.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("there is no run to draw; allowed is one or more")
    deepest = max(int(frontier.depth.max()) for frontier in runs.values())
    steps = list(range(deepest + 1))
    schedule = {
        "type": "scatter",
        "mode": "lines",
        "name": "1 level per step",
        "x": steps,
        "y": [step + 1 for step in steps],
        "line": {"color": INK, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    left: list[dict[str, Any]] = []
    right = [_level_line(deepest)]
    for (name, frontier), colour in zip(runs.items(), _colours(len(runs)), strict=True):
        left.append(_frontier_line(name or "measured", frontier, colour))
        right.append(_speed_points(name or "measured", frontier, colour))
    left.append(schedule)
    fastest = max([1.0, *(max(trace["y"], default=0) for trace in right)])
    speeds = "; ".join(f"{name + ': ' if name else ''}{frontier.speed()}" for name, frontier in runs.items())
    reading = (
        "A level is the nodes of one depth; it is solved when it and all before it show their true values. Left: mean "
        "over the graphs at least as deep as the step (bars: 10 to 90 %). Speed: slope over the steps that a graph "
        f"needs, all graphs together: {speeds} levels per step."
    )
    top = max(deepest + 1, 2)
    charts = [
        Chart(
            "levels solved",
            "after step t",
            "levels",
            left,
            step_axis(deepest),
            {"range": [-0.3, top + 0.5]},
        ),
        Chart(
            "speed by depth of the graph",
            "depth of the graph",
            "levels per step",
            right,
            step_axis(deepest),
            {"range": [-0.06 * fastest, 1.12 * fastest]},
        ),
    ]
    return draw_charts(charts, "Frontier: how fast a graph is solved", reading, 2, width)


def _frontier_line(name: str, frontier: Frontier, colour: str) -> dict[str, Any]:
    steps: list[int] = []
    mean: list[float] = []
    above: list[float] = []
    below: list[float] = []
    hover: list[str] = []
    for step in range(min(frontier.n_steps, int(frontier.depth.max()) + 1)):
        levels = frontier.levels[step, frontier.depth >= step]
        low, high = np.quantile(levels, [0.1, 0.9])
        steps.append(step)
        mean.append(float(levels.mean()))
        above.append(max(float(high) - mean[-1], 0))
        below.append(max(mean[-1] - float(low), 0))
        hover.append(
            f"<b>{name}, after step {step}</b><br>{mean[-1]:.3f} levels solved on average, {int(levels.min())} to "
            f"{int(levels.max())}<br>{len(levels)} graphs of depth {step} or more"
        )
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": steps,
        "y": mean,
        "error_y": {"array": above, "arrayminus": below, "thickness": 1, "width": 3},
        "line": {"color": colour, "width": 2},
        "hovertext": hover,
        "hoverinfo": "text",
    }


def _speed_points(name: str, frontier: Frontier, colour: str) -> dict[str, Any]:
    rows = cast(
        "list[dict[str, Any]]", cast(Any, frontier.by_depth().dropna(subset=["speed"])).to_dict("records")
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": False,
        "x": [row["depth"] for row in rows],
        "y": [row["speed"] for row in rows],
        "error_y": {
            "array": [_or_zero(row["high"] - row["speed"]) for row in rows],
            "arrayminus": [_or_zero(row["speed"] - row["low"]) for row in rows],
            "thickness": 1,
            "width": 3,
        },
        "marker": {"color": colour, "size": 8},
        "hovertext": [
            f"<b>{name}, graphs of depth {row['depth']}</b><br>{row['speed']:.4f} levels per step"
            f"{_interval(row['low'], row['high'])}<br>{row['n_graphs']} graphs, {row['complete']:.1%} solved at the end"
            for row in rows
        ],
        "hoverinfo": "text",
    }


def drift_figure(runs: Mapping[str, Drift], width: int = 1000) -> go.Figure:
    """Accuracy, changed symbols and distance after multiples of the steps a graph needs, one line per model.

    Bars: 95 % intervals by resampling graphs.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("there is no run to draw; allowed is one or more")
    multiples = sorted({multiple for drift in runs.values() for multiple in drift.multiples})
    first = multiples[0]
    parts = {
        "accuracy": ("nodes right", "share of nodes"),
        "lost": (f"right after {first}×, wrong later", f"share of the nodes right after {first}×"),
        "changed": (f"other symbol than after {first}×", "share of nodes"),
        "distance": (f"hidden state moved since {first}×", f"‖h − h({first}×)‖ / ‖h({first}×)‖"),
    }
    axis = {
        "type": "log",
        "tickvals": multiples,
        "ticktext": [f"{multiple}×" for multiple in multiples],
        "range": [np.log10(first) - 0.06, np.log10(multiples[-1]) + 0.06],
    }
    charts: list[Chart] = []
    for number, (column, (title, unit)) in enumerate(parts.items()):
        traces = [
            _drift_line(name, drift, column, title, colour, number == 0)
            for (name, drift), colour in zip(runs.items(), _colours(len(runs)), strict=True)
        ]
        most = max(max(trace["y"]) + max(trace["error_y"]["array"]) for trace in traces)
        y_axis = {"range": [-0.04, 1.04] if column != "distance" else [-0.04 * most, max(1.08 * most, 0.1)]}
        charts.append(Chart(title, "steps, in multiples of depth + 1", unit, traces, axis, y_axis))
    reading = (
        "After depth + 1 steps nothing has to change any more. Every graph is read after multiples of that, and "
        f"compared with itself after {first}×: a line that stays flat is a state that stays where it is. Bars: 95 % "
        "intervals over graphs."
    )
    return draw_charts(charts, "Drift over long runs", reading, 2, width)


def _drift_line(
    name: str, drift: Drift, column: str, title: str, colour: str, legend: bool
) -> dict[str, Any]:
    rows = _records(drift.summary())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "showlegend": legend,
        "x": [row["multiple"] for row in rows],
        "y": [_or_zero(row[column]) for row in rows],
        "error_y": {
            "array": [_or_zero(row[f"{column}_high"] - row[column]) for row in rows],
            "arrayminus": [_or_zero(row[column] - row[f"{column}_low"]) for row in rows],
            "thickness": 1,
            "width": 3,
        },
        "line": {"color": colour, "width": 2},
        "marker": {"size": 7},
        "hovertext": [
            f"<b>{name}, {int(row['multiple'])}× the steps needed</b><br>{title}: {row[column]:.4f}"
            f"{_interval(row[f'{column}_low'], row[f'{column}_high'])}<br>graphs fully solved: {row['solved']:.1%}, "
            f"nodes that are no leaves right: {row['computed']:.1%}"
            for row in rows
        ],
        "hoverinfo": "text",
    }


def _level_line(deepest: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [-0.5, deepest + 0.5],
        "y": [1, 1],
        "line": {"color": INK, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _interval(low: float, high: float) -> str:
    return "" if np.isnan(low) else f" (95 %: {low:.4f} to {high:.4f})"


def _or_zero(number: float) -> float:
    return 0.0 if np.isnan(number) else max(number, 0.0)


def _colours(n: int) -> list[str]:
    return [MODEL_COLOURS[index % len(MODEL_COLOURS)] for index in range(n)]


def _records(frame: Any) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", frame.to_dict("records"))
