"""Axes of a heatmap of a run: a column per node, by its name, and a row per state, as the step that wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from interp.figures.template import state_label

NAME_SIZE: Final = 11
"""Size of a node's name in pixels."""
_LETTER: Final = 0.62
"""Width of a letter of a name, as a share of its size."""
_ROW: Final = 24
"""Pixels of a row, where there are few."""
_LOW_ROW: Final = 13
"""Pixels of a row that has room for a number."""
_ALL: Final = 560
"""Pixels that many rows may take together, unless they would be too low."""
_LABEL: Final = 16
"""Pixels that the label of a row needs."""


def row_height(n_states: int) -> int:
    """Pixels of a row."""
    return _ROW if n_states <= 24 else max(_LOW_ROW, _ALL // n_states)


def room_below(names: Sequence[str]) -> int:
    """Pixels that names of nodes need below a heatmap, where they stand upright."""
    return int(14 + NAME_SIZE * _LETTER * max(map(len, names), default=0))


def node_axis(names: Sequence[str]) -> dict[str, Any]:
    """The x axis: names of nodes, upright."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "tickangle": -90,
        "tickfont": {"size": NAME_SIZE},
        "showgrid": False,
        "range": [-0.5, len(names) - 0.5],
    }


def state_axis(n_states: int, first: int = 0, height: float | None = None) -> dict[str, Any]:
    """The y axis: states from top to bottom, each by the step that wrote it, as many as have room.

    first: what state of the run the first row is. height: pixels of a row; default :func:`row_height`.
    """
    every = -(-_LABEL // int(row_height(n_states) if height is None else height))
    rows = list(range(0, n_states, every))
    return {
        "tickvals": rows,
        "ticktext": [state_label(first + row) for row in rows],
        "title": {"text": "step", "standoff": 4},
        "range": [n_states - 0.5, -0.5],
        "showgrid": False,
    }
