"""What stands in the cells of a step x node heatmap: values as text, and frames around cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.resolution import NARROWEST
from interp.figures.template import text_colour

COLUMN: Final = 15
"""Pixels of a column that has room for a number of two digits; a figure with more columns is wider, and scrolls."""
_ALL_UP_TO: Final = 4000
"""Cells up to which each has its number."""
_EVERY: Final = 8
"""Rows after which a number that stays the same stands again, where there are more cells."""


def columns_width(n: int, sides: float) -> int:
    """Pixels of a figure with ``n`` columns of numbers; sides: of its margins."""
    return max(NARROWEST, round(COLUMN * n + sides))


def number_traces(
    cells: list[list[int]], signs: Sequence[str], colours: Sequence[str]
) -> list[dict[str, Any]]:
    """The value in every cell, dark or light as its colour needs; one trace per ink.

    Of more than 4000 cells those have a number whose value is another than in the row above, and every eighth row.
    """
    every = 1 if sum(map(len, cells)) <= _ALL_UP_TO else _EVERY
    inks = [text_colour(colour) for colour in colours]
    traces: list[dict[str, Any]] = []
    for ink in sorted(set(inks)):
        inside = [
            (node, step, signs[code])
            for step, line in enumerate(cells)
            for node, code in enumerate(line)
            if inks[code] == ink and signs[code]
            if step % every == 0 or cells[step - 1][node] != code
        ]
        traces.append(
            {
                "type": "scatter",
                "x": [node for node, _, _ in inside],
                "y": [step for _, step, _ in inside],
                "text": [sign for _, _, sign in inside],
                "mode": "text",
                "textfont": {"size": 10 if every > 1 else 11, "color": ink},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def frame_traces(
    cells: Iterable[tuple[int, int]], colour: str, name: str, half: float
) -> list[dict[str, Any]]:
    """A frame in each cell (step, node), all in one trace; no trace without a cell."""
    x: list[float | None] = []
    y: list[float | None] = []
    for step, node in cells:
        x += [node - half, node + half, node + half, node - half, node - half, None]
        y += [step - half, step - half, step + half, step + half, step - half, None]
    if not x:
        return []
    line = {"color": colour, "width": 2}
    frame = {"type": "scatter", "name": name, "x": x, "y": y, "mode": "lines", "line": line}
    return [frame | {"hoverinfo": "skip"}]


def with_cells(figure: go.Figure, size: int = 18) -> go.Figure:
    """The figure of a heatmap with a transparent point in every cell, which can be selected; a heatmap's own cells
    cannot. It has the hover of the cell.

    size: of a point, in pixels.
    """
    drawn: Any = figure
    heatmap: Any = next(drawn.select_traces(selector={"type": "heatmap"}))
    rows, columns = len(heatmap.z), len(heatmap.z[0])
    clear = {"marker": {"opacity": 0}}
    points: dict[str, Any] = {
        "type": "scatter" if rows * columns < 1500 else "scattergl",
        "name": "cells",
        "mode": "markers",
        "x": list(range(columns)) * rows,
        "y": [row for row in range(rows) for _ in range(columns)],
        "marker": {"symbol": "square", "size": size, "opacity": 0},
        "selected": clear,
        "unselected": clear,
        "hovertext": [text for line in heatmap.text for text in line],
        "hoverinfo": "text",
        "showlegend": False,
    }
    return drawn.add_trace(points)
