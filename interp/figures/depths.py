"""Where the depth of the nodes changes along an axis, as plotly shapes and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from interp.figures.template import INK


def depth_marks(
    depths: Sequence[int], n_rows: int, width: float = 1000
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines where the depth changes, and the depth above each stretch that has room, ``width`` being that of the axis.

    depths: of every column, in order. n_rows: rows of the heatmap, whose y axis points down. width: in pixels.
    """
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    begin = 0
    for depth, group in groupby(depths):
        length = len(list(group))
        if begin:
            line = {"type": "line", "x0": begin - 0.5, "x1": begin - 0.5, "y0": -0.5, "y1": n_rows - 0.5}
            shapes.append(line | {"line": {"color": INK, "width": 1, "dash": "dot"}})
        room = width * length / len(depths)
        if room > 14:
            text = f"depth {depth}" if room > 60 else str(depth)
            above = {"x": begin + (length - 1) / 2, "y": -0.5, "yshift": 9, "showarrow": False}
            annotations.append(above | {"text": text, "font": {"size": 11}})
        begin += length
    return shapes, annotations
