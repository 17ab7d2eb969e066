"""What a heatmap can show in the pixels it has: gaps where cells are wide, blocks of cells where they are too narrow.

A browser leaves out cells that are narrower than a pixel, and a gap of a pixel eats those that are hardly wider. So
cells are put together where there is no room for them, and a block shows its strongest cell, whatever its sign. What
was not computed is hatched, so that it does not look like a cell without effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp.figures.template import EDGE_COLOUR, LEAST_WIDTH, UNSOLVED_COLOUR

NARROWEST: Final = 310
"""Width in pixels of a figure on a screen that is 390 pixels wide."""
_CELL: Final = 3.0
"""Pixels of a cell, at the width a figure is drawn for, from which on it is drawn by itself."""
HATCHED_COLOUR: Final = "#f4f5f8"
"""Under the hatching of what is missing, which must not outshine pale cells."""
NOT_COMPUTED: Final = "not computed"


@dataclass(frozen=True)
class Span:
    """Pixels of an axis: at the width the figure is drawn for, at its least on a page, and on the narrowest screen."""

    wide: float
    least: float
    narrow: float

    @classmethod
    def across(cls, width: float, taken: float, share: float = 1.0, narrowest: float = NARROWEST) -> Span:
        """Of an axis that has a share of what is left of a figure's width; taken: by margins and gaps, in pixels.

        narrowest: width below which the figure is never drawn, where its margins alone need more than a phone has.
        """
        widths = (width, min(width, LEAST_WIDTH), min(width, narrowest))
        return cls(*(max(1.0, (one - taken) * share) for one in widths))

    @property
    def most(self) -> int:
        """Cells that there is room for: 3 pixels each at the full width, and one on the narrowest screen."""
        return max(1, int(min(self.wide / _CELL, self.narrow)))

    def gap(self, n: int) -> int:
        """Pixels between ``n`` cells: 1, or 0 where it would eat them."""
        return int(self.wide / n >= _CELL and self.narrow / n >= 2)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A heatmap whose cells were put together.

    values: float [block row, block column], the cell of the largest magnitude, NaN where no cell has a value.
    rows, columns: int, as ``values``: which cell that is. row_edges, column_edges: where blocks begin and end, on the
    axes of the cells (cell 0 from -0.5 to 0.5), one more than blocks.
    """

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    row_edges: NDArray[np.float64]
    column_edges: NDArray[np.float64]

    @property
    def pooled(self) -> bool:
        """Whether a block has more than one cell."""
        return len(self.row_edges) <= int(self.row_edges[-1]) + 1 or len(self.column_edges) <= int(
            self.column_edges[-1]
        ) + 1  # fmt: skip

    @property
    def placed(self) -> dict[str, Any]:
        """``x`` and ``y`` of a plotly heatmap: the edges of its blocks, nothing where every cell is its own."""
        return {"x": self.column_edges.tolist(), "y": self.row_edges.tolist()} if self.pooled else {}

    def size(self, row: int, column: int) -> tuple[int, int]:
        """Rows and columns of the cells of a block."""
        down, across = np.diff(self.row_edges), np.diff(self.column_edges)
        return int(down[row]), int(across[column])


def pool(values: NDArray[np.floating[Any]], most_rows: int, most_columns: int) -> Blocks:
    """The cells of ``values`` [row, column] in at most so many blocks, each as its cell of the largest magnitude.

    Blocks have equally many rows and columns, or one more.
    """
    cells = np.asarray(values, np.float64)
    starts = [_starts(n, most) for n, most in zip(cells.shape, (most_rows, most_columns), strict=True)]
    ends = [[*first[1:], n][: len(first)] for first, n in zip(starts, cells.shape, strict=True)]
    shape = len(starts[0]), len(starts[1])
    rows, columns = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    size = np.where(np.isnan(cells), -1.0, np.abs(cells))
    for row, (top, bottom) in enumerate(zip(starts[0], ends[0], strict=True)):
        for column, (left, right) in enumerate(zip(starts[1], ends[1], strict=True)):
            down, across = divmod(int(size[top:bottom, left:right].argmax()), right - left)
            rows[row, column], columns[row, column] = top + down, left + across
    edges = [np.array([*first, n]) - 0.5 for first, n in zip(starts, cells.shape, strict=True)]
    return Blocks(cells[rows, columns], rows, columns, edges[0], edges[1])


def each(values: NDArray[np.floating[Any]]) -> Blocks:
    """Every cell of ``values`` [row, column] as a block of its own."""
    return pool(values, *values.shape)


def missing_traces(blocks: Blocks, shown: bool = True, name: str = NOT_COMPUTED) -> list[dict[str, Any]]:
    """Hatched areas over the blocks without a value, in one trace; no trace where all have one.

    shown: in the legend. Several panels of one figure share one entry, which the first that is shown has.
    """
    x: list[float | None] = []
    y: list[float | None] = []
    for top, bottom, left, right in _rectangles(np.isnan(blocks.values)):
        x0, x1 = float(blocks.column_edges[left]), float(blocks.column_edges[right])
        y0, y1 = float(blocks.row_edges[top]), float(blocks.row_edges[bottom])
        x += [x0, x1, x1, x0, x0, None]
        y += [y0, y0, y1, y1, y0, None]
    if not x:
        return []
    hatch = {"shape": "/", "size": 6, "solidity": 0.25, "fgcolor": EDGE_COLOUR, "bgcolor": HATCHED_COLOUR}
    return [
        {
            "type": "scatter",
            "name": name,
            "legendgroup": name,
            "showlegend": shown,
            "x": x,
            "y": y,
            "mode": "lines",
            "line": {"width": 0, "color": UNSOLVED_COLOUR},
            "fill": "toself",
            "fillpattern": hatch,
            "hoverinfo": "skip",
        }
    ]


def _starts(n: int, most: int) -> list[int]:
    """First cells of blocks of ``n`` cells: none is smaller than what divides all into ``most`` blocks."""
    count = n // -(-n // most) if n else 0
    return [place * n // count for place in range(count)]


def _rectangles(missing: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """(top, bottom, left, right), ends excluded, that together cover what is missing."""
    done: list[tuple[int, int, int, int]] = []
    open_at: dict[tuple[int, int], int] = {}
    for row in range(missing.shape[0] + 1):
        runs: set[tuple[int, int]] = set()
        if row < missing.shape[0]:
            steps = np.diff(np.concatenate([[0], missing[row].astype(np.int64), [0]]))
            runs = set(
                zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True)
            )
        done.extend((open_at.pop(run), row, *run) for run in [run for run in open_at if run not in runs])
        for run in runs:
            open_at.setdefault(run, row)
    return sorted(done)
