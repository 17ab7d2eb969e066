"""Heatmaps of a signed effect, as many as it takes, on one shared diverging scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.depths import depth_marks
from interp.figures.template import EDGE_COLOUR, MARK_COLOUR, make_figure, title_of

DIVERGING: Final = (
    (0.0, "#8a3d00"), (0.25, "#e1862d"), (0.5, "#ffffff"), (0.75, "#7f9bea"), (1.0, "#1f36a0")
)  # fmt: skip
"""Orange below 0, white at 0, blue above; red stays what is wrong."""

_MISSING: Final = "#eceef3"
_WEBGL_FROM: Final = 4000
"""Points of the transparent scatter from which WebGL draws them."""
_GAP: Final = 46
_ROW: Final = 18
_LOW_ROW: Final = 11
"""Height of a row in pixels, where there are more than :data:`_ROWS_HIGH` of them in all."""
_ROWS_HIGH: Final = 80
_LEFT: Final = 78
_RIGHT: Final = 96


@dataclass(frozen=True, eq=False)
class Panel:
    """One heatmap.

    values: float [row, column], NaN where nothing was measured. hover: text of every cell.
    sites: int [row, column], what a click on a cell means to the caller, -1 where there is nothing.
    depths: of every column, or empty; dotted lines stand where it changes.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_title: str
    column_title: str
    values: NDArray[np.float64]
    hover: list[list[str]]
    sites: NDArray[np.int64]
    depths: tuple[int, ...] = ()


def colour_limit(panels: Sequence[Panel]) -> float:
    """End of the shared scale: the largest magnitude in any panel, and at least 1."""
    finite = [panel.values[np.isfinite(panel.values)] for panel in panels]
    return max([1.0, *(float(np.abs(values).max()) for values in finite if values.size)])


def draw(
    panels: Sequence[Panel], title: str, reading: str, unit: str, selectable: bool, width: int
) -> go.Figure:
    """The panels, filled from left to right and top to bottom, ``reading`` as a sentence under the title.

    selectable: with a transparent scatter ``cells`` over every heatmap, customdata [row, column, ``Panel.sites``].
    """
    inner = width - _LEFT - _RIGHT
    per_line = _per_line(panels, inner)
    lines = [panels[start : start + per_line] for start in range(0, len(panels), per_line)]
    below = [_labels_height(line) if _needs_labels(lines, number) else 8 for number, line in enumerate(lines)]
    n_rows = sum(max(len(panel.rows) for panel in line) for line in lines)
    row_height = _ROW if n_rows <= _ROWS_HIGH else _LOW_ROW
    heights = [row_height * max(len(panel.rows) for panel in line) for line in lines]
    top = 60 + 16 * _wrapped(reading, inner).count("<br>")
    total = sum(heights) + sum(below) + _GAP * len(lines)
    limit = colour_limit(panels)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": top + total,
        "width": width,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": top, "b": 0},
        "title": title_of(title, _wrapped(reading, inner)),
        "coloraxis": {
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -limit,
            "cmid": 0,
            "cmax": limit,
            "colorbar": {
                "title": {"text": f"{unit}<br> "},
                "thickness": 14,
                "len": min(1.0, 320 / total),
                "y": 1,
                "yanchor": "top",
            },
        },
        "plot_bgcolor": _MISSING,
        "shapes": [],
        "annotations": [],
    }
    y = 0.0
    number = 0
    for line, height, room in zip(lines, heights, below, strict=True):
        y += _GAP
        for place, panel in enumerate(line):
            number += 1
            pitch = 1 / per_line
            domain = [place * pitch, place * pitch + (pitch - 40 / inner if per_line > 1 else 1.0)]
            own = height * len(panel.rows) / max(len(other.rows) for other in line)
            vertical = [1 - (y + own) / total, 1 - y / total]
            _add(traces, layout, panel, number, domain, vertical, inner, row_height, room > 8, selectable)
        y += height + room
    return make_figure(traces, layout)


def _per_line(panels: Sequence[Panel], inner: int) -> int:
    widest = max(len(panel.columns) for panel in panels)
    return max(1, min(len(panels), inner // (24 * widest + 60))) if widest <= 16 else 1


def _needs_labels(lines: Sequence[Sequence[Panel]], number: int) -> bool:
    """Whether a line shows the labels of its columns: the last of those that have the same."""
    after = lines[number + 1] if number + 1 < len(lines) else None
    return after is None or len(lines) <= 4 or after[0].columns != lines[number][0].columns


def _labels_height(line: Sequence[Panel]) -> int:
    longest = max(len(label) for panel in line for label in panel.columns)
    return 34 if longest <= 3 and len(line[0].columns) <= 16 else 30 + 7 * longest


def _wrapped(text: str, inner: int) -> str:
    """The text broken so that 12-pixel letters fit the width."""
    at_most = int(inner / 5)
    lines: list[str] = []
    for paragraph in text.split("<br>"):
        line = ""
        for word in paragraph.split():
            if line and len(line) + 1 + len(word) > at_most:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    return "<br>".join(lines)


def _add(
    traces: list[dict[str, Any]],
    layout: dict[str, Any],
    panel: Panel,
    number: int,
    domain: Sequence[float],
    vertical: Sequence[float],
    inner: int,
    row_height: int,
    labels: bool,
    selectable: bool,
) -> None:
    suffix = "" if number == 1 else str(number)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    n_rows, n_columns = panel.values.shape
    crowded = n_rows * n_columns > 2000
    heatmap: dict[str, Any] = {
        "type": "heatmap",
        "name": panel.title,
        "z": [[value if np.isfinite(value) else None for value in line] for line in panel.values.tolist()],
        "coloraxis": "coloraxis",
        "xgap": 0 if crowded else 1,
        "ygap": 0 if crowded else 1,
        "hoverongaps": False,
        **axes,
    }
    if selectable:
        traces += [heatmap | {"hoverinfo": "skip"}, _scatter(panel, row_height - 2) | axes]
    else:
        traces.append(heatmap | {"text": panel.hover, "hoverinfo": "text"})
    pitch = inner * (domain[1] - domain[0]) / n_columns
    size = max(7.0, min(11.0, pitch - 1))
    ticks = _ticks(panel, pitch)
    plain = {"showgrid": False, "showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    title_font = {"size": 12}
    layout[f"xaxis{suffix}"] = plain | {
        "domain": list(domain),
        "anchor": axes["yaxis"],
        "range": [-0.5, n_columns - 0.5],
        "tickvals": ticks,
        "ticktext": [panel.columns[tick] for tick in ticks],
        "tickangle": 0 if max(map(len, panel.columns)) * size * 0.62 < pitch else -90,
        "tickfont": {"size": size},
        "showticklabels": labels,
        "title": {"text": panel.column_title if labels else "", "standoff": 4, "font": title_font},
    }
    every = max(1, -(-n_rows // 40))
    layout[f"yaxis{suffix}"] = plain | {
        "domain": list(vertical),
        "anchor": axes["xaxis"],
        "range": [n_rows - 0.5, -0.5],
        "tickvals": list(range(0, n_rows, every)),
        "ticktext": list(panel.rows[::every]),
        "tickfont": {"size": min(11, row_height - 2)},
        "title": {"text": panel.row_title if domain[0] == 0 else "", "standoff": 6, "font": title_font},
    }
    layout["annotations"].append(
        {
            "text": f"<b>{panel.title}</b>",
            "xref": f"{axes['xaxis']} domain",
            "yref": f"{axes['yaxis']} domain",
            "x": 0,
            "y": 1,
            "yshift": 22 if panel.depths else 9,
            "xanchor": "left",
            "yanchor": "middle",
            "showarrow": False,
            "font": {"size": 12},
        }
    )
    if panel.depths:
        shapes, notes = depth_marks(panel.depths, n_rows, pitch * n_columns)
        refs = {"xref": axes["xaxis"], "yref": axes["yaxis"]}
        layout["shapes"] += [shape | refs for shape in shapes]
        layout["annotations"] += [note | refs for note in notes]


def _ticks(panel: Panel, pitch: float) -> list[int]:
    """Which columns are labelled: all, or as many as there is room for."""
    every = max(1, int(np.ceil(8 / pitch)))
    return list(range(0, len(panel.columns), every))


def _scatter(panel: Panel, size: int) -> dict[str, Any]:
    """A transparent point in every cell that was measured."""
    rows, columns = np.nonzero(panel.sites >= 0)
    sites = panel.sites[rows, columns]
    points = list(zip(rows.tolist(), columns.tolist(), sites.tolist(), strict=True))
    clear = {"opacity": 0}
    return {
        "type": "scattergl" if len(points) >= _WEBGL_FROM else "scatter",
        "name": "cells",
        "mode": "markers",
        "x": columns.tolist(),
        "y": rows.tolist(),
        "customdata": [list(point) for point in points],
        "marker": {"symbol": "square", "size": size, "color": MARK_COLOUR, "opacity": 0},
        "selected": {"marker": {"opacity": 0.35}},
        "unselected": {"marker": clear},
        "hovertext": [panel.hover[row][column] for row, column, _ in points],
        "hoverinfo": "text",
        "showlegend": False,
    }
