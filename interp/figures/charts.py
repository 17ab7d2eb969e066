"""Line charts: a few pairs of axes in rows, under one title and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.captioned import captioned
from interp.figures.template import EDGE_COLOUR, LEAST_WIDTH, legend_below, make_figure

_HEIGHT: Final = 250
_GAP: Final = (76, 74)
"""Between charts, across and down, in pixels; across at the width at which figures are at their narrowest, where there
has to be room for numbers and a title."""
_NARROWEST: Final = 160
"""Pixels of a chart below which the words under it do not fit."""
_BESIDE_GAP: Final = 0.4
"""Share of the room of a place that stays free where marks stand beside each other."""
_STATED: Final = 4
"""Marks beside each other up to which there is room for their numbers."""
_LEFT: Final = 74
_RIGHT: Final = 20
_NOTHING: Final[dict[str, Any]] = {"type": "scatter", "x": [None], "y": [None], "showlegend": False}
"""What an empty chart holds: plotly leaves out axes that nothing lies on, and titles would lie over each other."""


@dataclass(frozen=True)
class Chart:
    """One pair of axes; ``note`` stands in the middle where there is nothing to draw, and axes then have no numbers.

    beside: whether marks of one place stand beside each other, with their numbers where there is one place alone; they
        would cover each other where they are equal.
    """

    title: str
    x_title: str
    y_title: str
    traces: list[dict[str, Any]]
    x_axis: dict[str, Any]
    y_axis: dict[str, Any]
    note: str = ""
    beside: bool = False


def draw_charts(charts: Sequence[Chart], title: str, reading: str, per_line: int, width: int) -> go.Figure:
    """The charts from left to right and top to bottom, ``reading`` as a sentence under the title, the legend below."""
    lines = -(-len(charts) // per_line)
    least = max(LEAST_WIDTH, _LEFT + _RIGHT + _NARROWEST * per_line + _GAP[0] * (per_line - 1))
    across, down = _GAP[0] * (width - _LEFT - _RIGHT) / (min(width, least) - _LEFT - _RIGHT), _GAP[1]
    inner_width, inner_height = width - _LEFT - _RIGHT, _HEIGHT * lines + down * (lines - 1)
    chart_width = (inner_width - across * (per_line - 1)) / per_line
    traces: list[dict[str, Any]] = []
    entries = [str(one["name"]) for chart in charts for one in chart.traces if one.get("showlegend", True)]
    legend, below = legend_below(entries, width, 60)
    layout = captioned(title, reading, width, inner_height, _LEFT, _RIGHT, bottom=below)
    layout["margin"]["t"] += 14
    layout["height"] += 14
    layout |= {"legend": legend, "annotations": []}
    if any(chart.beside for chart in charts):
        layout |= {"scattermode": "group", "scattergap": _BESIDE_GAP}
    for number, chart in enumerate(charts):
        suffix = "" if number == 0 else str(number + 1)
        line, place = divmod(number, per_line)
        begin = place * (chart_width + across) / inner_width
        high = 1 - line * (_HEIGHT + down) / inner_height
        framed = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
        if chart.note:
            framed["showticklabels"] = False
        layout[f"xaxis{suffix}"] = (
            framed
            | chart.x_axis
            | {
                "domain": [begin, begin + chart_width / inner_width],
                "anchor": f"y{suffix}",
                "title": {"text": chart.x_title, "standoff": 6, "font": {"size": 12}},
            }
        )
        layout[f"yaxis{suffix}"] = (
            framed
            | chart.y_axis
            | {
                "domain": [high - _HEIGHT / inner_height, high],
                "anchor": f"x{suffix}",
                "title": {"text": chart.y_title, "standoff": 6, "font": {"size": 12}},
            }
        )
        layout["annotations"].append(_label(f"<b>{chart.title}</b>", suffix, 0, 1, "left", 10))
        if chart.note:
            layout["annotations"].append(_label(chart.note, suffix, 0.5, 0.5, "center", 0))
        drawn = _beside(chart.traces, chart.beside) or [_NOTHING]
        traces += [trace | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"} for trace in drawn]
    return make_figure(traces, layout, least)


def _beside(traces: Sequence[dict[str, Any]], beside: bool) -> list[dict[str, Any]]:
    """The traces, those of points in one group or each in its own; with numbers in percent where all have one place."""
    points = [trace for trace in traces if trace["type"] == "scatter"]
    stated = beside and len(points) <= _STATED and len({x for trace in points for x in trace["x"]}) == 1
    made: list[dict[str, Any]] = []
    for number, trace in enumerate(traces):
        if trace["type"] == "scatter":
            trace = trace | {"offsetgroup": str(number) if beside else "one"}
            if stated:
                numbers = {"text": [f"{y:.1%}" for y in trace["y"]], "textposition": "middle right"}
                trace |= numbers | {"mode": "markers+text", "textfont": {"size": 11}}
        made.append(trace)
    return made


def _label(text: str, suffix: str, x: float, y: float, anchor: str, shift: int) -> dict[str, Any]:
    return {
        "text": text,
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix} domain",
        "x": x,
        "y": y,
        "xanchor": anchor,
        "yanchor": "middle",
        "yshift": shift,
        "showarrow": False,
        "font": {"size": 12},
    }


def step_axis(last: int) -> dict[str, Any]:
    """Whole numbers 0..last, as many labels as there is room for."""
    every = max(1, -(-(last + 1) // 16))
    return {"range": [-0.5, last + 0.5], "tickvals": list(range(0, last + 1, every))}


def log_axis(floor: float, most: float) -> dict[str, Any]:
    """A logarithmic axis: decades, and ``floor``, where zeros are drawn, as 0."""
    low, high = round(np.log10(floor)), int(np.ceil(np.log10(most)))
    every = max(1, (high - low) // 6)
    decades = list(range(low + 1, high + 1, every))
    return {
        "type": "log",
        "range": [low - 0.15, max(high, low + 1) + 0.1],
        "tickvals": [floor, *(10.0**decade for decade in decades)],
        "ticktext": ["0", *(f"{10.0**decade:g}" for decade in decades)],
    }


def share_axis(most: float = 1.0) -> dict[str, Any]:
    """Shares from 0 to ``most``, in percent, with room for marks at both ends."""
    return {"range": [-0.04 * most, 1.06 * most], "tickformat": ".0%"}


def with_intervals(
    name: str,
    x: Sequence[Any],
    points: Sequence[tuple[float, float, float]],
    hover: Sequence[str],
    colour: str,
    group: str = "",
    shown: bool = True,
    **line: Any,
) -> dict[str, Any]:
    """A line with marks and their intervals.

    points: value, low, high. group: the entry of the legend that it belongs to. line: more of the line.
    """
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": group or name,
        "showlegend": shown,
        "x": list(x),
        "y": [value for value, _, _ in points],
        "error_y": {
            "array": [max(high - value, 0) for value, _, high in points],
            "arrayminus": [max(value - low, 0) for value, low, _ in points],
            "thickness": 1,
            "width": 3,
        },
        "line": {"color": colour, "width": 2} | line,
        "marker": {"size": 6},
        "hovertext": list(hover),
        "hoverinfo": "text",
    }
