"""Heatmaps, as many as it takes, on one shared scale; those of another quantity have their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.depths import depth_marks
from interp.figures.resolution import NOT_COMPUTED, Blocks, Span, missing_traces, pool
from interp.figures.scales import Scale
from interp.figures.template import (
    EDGE_COLOUR,
    LEAST_WIDTH,
    MARK_COLOUR,
    make_figure,
    title_of,
    wrapped,
)

_BETWEEN: Final = "#eceef3"
"""Colour of the gaps between cells."""
_GAPS_UP_TO: Final = 2000
"""Cells of a panel up to which there are gaps between them."""
_WEBGL_FROM: Final = 4000
"""Points of the transparent scatter from which WebGL draws them."""
_GAP: Final = 46
_ROW: Final = 18
_LOW_ROW: Final = 11
"""Height of a row in pixels, where there are more than :data:`_ROWS_HIGH` of them in all."""
_ROWS_HIGH: Final = 80
_LEFT: Final = 78
_RIGHT: Final = 96
_LEGEND: Final = 26
"""Height of the legend, where something was not computed."""
_FIT, _THINNED = 8, 12
"""Pixels of a column from which all are labelled; and from label to label where not all are."""
_BESIDE: Final = 40
"""Pixels between panels in a row."""
_BOLD: Final = 7.0
"""Width of a letter of a panel's title, on average, in pixels."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One heatmap.

    values: float [row, column], NaN where nothing was measured. hover: text of every cell.
    sites: int [row, column], what a click on a cell means to the caller, -1 where there is nothing.
    depths: of every column, or empty; dotted lines stand where it changes. missing: what the legend calls cells of NaN.
    scale: of another quantity than that of the figure.
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
    missing: str = NOT_COMPUTED
    scale: Scale | None = None


def draw(
    panels: Sequence[Panel],
    title: str,
    reading: str,
    scale: Scale,
    selectable: bool,
    width: int,
) -> go.Figure:
    """The panels, filled from left to right and top to bottom, ``reading`` as a sentence under the title.

    Where there are more columns than pixels, a block of them has the colour of its cell of the largest magnitude,
    which the hover names. What is NaN is hatched.

    scale: of all panels without their own.
    selectable: with a transparent scatter ``cells`` over every heatmap, customdata [row, column, ``Panel.sites``, sites
        of the block, or of the cell alone].
    """
    inner = width - _LEFT - _RIGHT
    per_line = _per_line(panels, min(width, LEAST_WIDTH) - _LEFT - _RIGHT)
    blocks = [_blocks(panel, width, per_line) for panel in panels]
    reading += _pooled(panels, blocks)
    gap = _GAP + 15 * max(_titled(panel, per_line, width).count("<br>") for panel in panels)
    lines = [panels[start : start + per_line] for start in range(0, len(panels), per_line)]
    below = [_labels_height(line) if _needs_labels(lines, number) else 8 for number, line in enumerate(lines)]
    n_rows = sum(max(len(panel.rows) for panel in line) for line in lines)
    row_height = _ROW if n_rows <= _ROWS_HIGH else _LOW_ROW
    heights = [row_height * max(len(panel.rows) for panel in line) for line in lines]
    text = wrapped(reading, width)
    top = 60 + 16 * text.count("<br>")
    total = sum(heights) + sum(below) + gap * len(lines)
    scales = list(dict.fromkeys([panel.scale or scale for panel in panels])) or [scale]
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": top + total,
        "width": width,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": top, "b": 0},
        "title": title_of(title, text),
        "plot_bgcolor": _BETWEEN,
        "shapes": [],
        "annotations": [],
    }
    for place, one in enumerate(scales):
        own = [panel.values for panel in panels if (panel.scale or scale) == one]
        layout[_coloraxis(place)] = one.axis(own, place, len(scales), total)
    if any(np.isnan(one.values).any() for one in blocks):
        layout["height"] += _LEGEND
        layout["margin"]["b"] = _LEGEND
        layout["legend"] = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"}
    y = 0.0
    number = 0
    for line, height, room in zip(lines, heights, below, strict=True):
        y += gap
        for place, panel in enumerate(line):
            number += 1
            pitch = 1 / per_line
            domain = [place * pitch, place * pitch + (pitch - _BESIDE / inner if per_line > 1 else 1.0)]
            own = height * len(panel.rows) / max(len(other.rows) for other in line)
            vertical = [1 - (y + own) / total, 1 - y / total]
            title_text = _titled(panel, per_line, width)
            _add(
                traces, layout, panel, blocks[number - 1], number, title_text, domain, vertical,
                _span(width, per_line), row_height, room > 8, selectable,
                _coloraxis(scales.index(panel.scale or scale)),
            )  # fmt: skip
        y += height + room
    return make_figure(traces, layout)


def _coloraxis(place: int) -> str:
    return f"coloraxis{place + 1 if place else ''}"


def _per_line(panels: Sequence[Panel], inner: int) -> int:
    """Panels beside each other: as many as have room for their columns and for their titles on two lines."""
    widest = max(len(panel.columns) for panel in panels)
    if widest > 16:
        return 1
    title = max(_BOLD * _halved(panel.title) for panel in panels) - 24
    return max(1, min(len(panels), int(inner / max(24 * widest + 60, title + 60))))


def _halved(title: str) -> int:
    """Letters of the longer of two lines of a title."""
    words = title.split()
    return min(
        (max(len(" ".join(words[:n])), len(" ".join(words[n:]))) for n in range(1, len(words) + 1)), default=0
    )


def _titled(panel: Panel, per_line: int, width: int) -> str:
    """The panel's title on one line or more, to fit its room at the width at which figures are at their narrowest."""
    room = (min(width, LEAST_WIDTH) - _LEFT - _RIGHT) / per_line
    letters = int((room - 8) / _BOLD) if per_line > 1 else 200
    return "<br>".join(wrap(panel.title, max(8, letters))) or panel.title


def _blocks(panel: Panel, width: int, per_line: int) -> Blocks:
    return pool(panel.values, len(panel.rows), _span(width, per_line).most)


def _span(width: int, per_line: int) -> Span:
    """Pixels of the x axis of a panel."""
    return Span.across(width, _LEFT + _RIGHT + (_BESIDE * per_line if per_line > 1 else 0), 1 / per_line)


def _pooled(panels: Sequence[Panel], blocks: Sequence[Blocks]) -> str:
    """What the reading says about columns that were put together."""
    together = [int(np.diff(one.column_edges).max()) for one in blocks if one.pooled]
    if not together:
        return ""
    return (
        f" There is no room for every column: {max(together)} are one block, in the colour of the strongest."
    )


def _needs_labels(lines: Sequence[Sequence[Panel]], number: int) -> bool:
    """Whether a line shows the labels of its columns: the last of those that have the same."""
    after = lines[number + 1] if number + 1 < len(lines) else None
    return after is None or len(lines) <= 4 or after[0].columns != lines[number][0].columns


def _labels_height(line: Sequence[Panel]) -> int:
    longest = max(len(label) for panel in line for label in panel.columns)
    return 34 if longest <= 3 and len(line[0].columns) <= 16 else 30 + 7 * longest


def _add(
    traces: list[dict[str, Any]],
    layout: dict[str, Any],
    panel: Panel,
    blocks: Blocks,
    number: int,
    title: str,
    domain: Sequence[float],
    vertical: Sequence[float],
    span: Span,
    row_height: int,
    labels: bool,
    selectable: bool,
    coloraxis: str,
) -> None:
    suffix = "" if number == 1 else str(number)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    n_rows, n_columns = panel.values.shape
    gap = span.gap(n_columns) if n_rows * n_columns <= _GAPS_UP_TO else 0
    heatmap: dict[str, Any] = {
        "type": "heatmap",
        "name": panel.title,
        "z": [[value if np.isfinite(value) else None for value in line] for line in blocks.values.tolist()],
        "coloraxis": coloraxis,
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
        **blocks.placed,
        **axes,
    }
    hover = _hover(panel, blocks)
    if selectable:
        points = _scatter(panel, blocks, hover, row_height - 2)
        traces += [heatmap | {"hoverinfo": "skip"}, points | axes]
    else:
        traces.append(heatmap | {"text": hover, "hoverinfo": "text"})
    first = not any(trace["name"] == panel.missing for trace in traces)
    traces += [trace | axes for trace in missing_traces(blocks, first, panel.missing)]
    pitch = span.least / n_columns
    each = 1 if pitch >= _FIT else int(np.ceil(_THINNED / pitch))
    size = max(7.0, min(11.0, pitch * each - 1))
    ticks = list(range(0, n_columns, each))
    plain = {"showgrid": False, "showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    title_font = {"size": 12}
    column_title = panel.column_title + (f" (one in {each} is labelled)" if each > 1 else "")
    layout[f"xaxis{suffix}"] = plain | {
        "domain": list(domain),
        "anchor": axes["yaxis"],
        "range": [-0.5, n_columns - 0.5],
        "tickvals": ticks,
        "ticktext": [panel.columns[tick] for tick in ticks],
        "tickangle": 0 if max(map(len, panel.columns)) * size * 0.62 < pitch else -90,
        "tickfont": {"size": size},
        "showticklabels": labels,
        "title": {"text": column_title if labels else "", "standoff": 4, "font": title_font},
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
            "text": f"<b>{title}</b>",
            "align": "left",
            "xref": f"{axes['xaxis']} domain",
            "yref": f"{axes['yaxis']} domain",
            "x": 0,
            "y": 1,
            "yshift": 14 if panel.depths else 1,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12},
        }
    )
    if panel.depths:
        shapes, notes = depth_marks(panel.depths, n_rows, pitch * n_columns)
        refs = {"xref": axes["xaxis"], "yref": axes["yaxis"]}
        layout["shapes"] += [shape | refs for shape in shapes]
        layout["annotations"] += [note | refs for note in notes]


def _hover(panel: Panel, blocks: Blocks) -> list[list[str]]:
    """The texts of the cells, or of the strongest of every block, with what the block has."""
    if not blocks.pooled:
        return panel.hover
    first = (blocks.column_edges + 0.5).astype(int).tolist()
    texts: list[list[str]] = []
    for rows, columns in zip(blocks.rows.tolist(), blocks.columns.tolist(), strict=True):
        texts.append(
            [
                f"{panel.hover[row][column]}<br>the strongest of {end - begin} columns, {panel.columns[begin]} to "
                f"{panel.columns[end - 1]}"
                for row, column, begin, end in zip(rows, columns, first[:-1], first[1:], strict=True)
            ]
        )
    return texts


def _scatter(panel: Panel, blocks: Blocks, hover: list[list[str]], size: int) -> dict[str, Any]:
    """A transparent point in every cell that was measured; of blocks ``meta`` has the sites of all cells of each."""
    shown = panel.sites[blocks.rows, blocks.columns]
    rows, columns = np.nonzero(shown >= 0)
    points = [
        (int(blocks.rows[at]), int(blocks.columns[at]), int(shown[at]))
        for at in zip(rows, columns, strict=True)
    ]
    x, y = ((edges[:-1] + edges[1:]) / 2 for edges in (blocks.column_edges, blocks.row_edges))
    clear = {"opacity": 0}
    begins, ends = ((part + 0.5).astype(int) for part in (blocks.column_edges[:-1], blocks.column_edges[1:]))
    held = [
        panel.sites[row, begins[column] : ends[column]].tolist()
        for row, column in zip(rows, columns, strict=True)
    ]
    return {
        "type": "scattergl" if len(points) >= _WEBGL_FROM else "scatter",
        "name": "cells",
        "mode": "markers",
        "x": x[columns].tolist(),
        "y": y[rows].tolist(),
        "customdata": [list(point) for point in points],
        "meta": held if blocks.pooled else None,
        "marker": {"symbol": "square", "size": size, "color": MARK_COLOUR, "opacity": 0},
        "selected": {"marker": {"opacity": 0.35}},
        "unselected": {"marker": clear},
        "hovertext": [hover[row][column] for row, column in zip(rows, columns, strict=True)],
        "hoverinfo": "text",
        "showlegend": False,
    }
