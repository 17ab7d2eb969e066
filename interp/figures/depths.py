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

    Where some stretches have no room for the word ``depth`` it stands once, left of the axis, and numbers alone above.

    depths: of every column, in order. n_rows: rows of the heatmap, whose y axis points down. width: in pixels.
    """
    lengths = [(depth, len(list(group))) for depth, group in groupby(depths)]
    rooms = [width * length / len(depths) for _, length in lengths]
    worded = all(room > 60 for room in rooms)
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    above: dict[str, Any] = {"y": -0.5, "yshift": 9, "showarrow": False, "font": {"size": 11}}
    if depths and not worded:
        annotations.append(above | {"x": -0.5, "xanchor": "right", "xshift": -2, "text": "depth"})
    begin = 0
    for (depth, length), room in zip(lengths, rooms, strict=True):
        if begin:
            line = {"type": "line", "x0": begin - 0.5, "x1": begin - 0.5, "y0": -0.5, "y1": n_rows - 0.5}
            shapes.append(line | {"line": {"color": INK, "width": 1, "dash": "dot"}})
        if room > 14:
            text = f"depth {depth}" if worded else str(depth)
            annotations.append(above | {"x": begin + (length - 1) / 2, "text": text})
        begin += length
    return shapes, annotations
