"""Layouts with a title and, under it, a sentence on how to read the figure, wrapped to the width; panels in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from interp.figures.template import title_of, wrapped

_GAP: Final = 0.1
"""Room between panels, as a share of the width."""


def captioned(
    title: str, reading: str, width: int, height: int, left: int = 70, right: int = 130, bottom: int = 60
) -> dict[str, Any]:
    """Layout of a figure whose drawing is ``height`` pixels high: title and reading are added above, margins around."""
    text = wrapped(reading, width)
    top = 78 + 16 * text.count("<br>")
    return {
        "width": width,
        "height": height + top + bottom,
        "margin": {"l": left, "r": right, "t": top, "b": bottom},
        "title": title_of(title, text),
    }


def side_by_side(x_title: str, y_titles: Sequence[str], categories: bool = False) -> dict[str, Any]:
    """Axes ``x``, ``y``, ``x2``, ``y2``, ... of as many panels as there are titles, from left to right.

    categories: what stands on the x axes are labels, not numbers.
    """
    count = len(y_titles)
    pitch = (1 + _GAP) / count
    axes: dict[str, Any] = {}
    for panel, title in enumerate(y_titles):
        domain = [panel * pitch, min(1.0, (panel + 1) * pitch - _GAP)]
        x, y = axis_names(panel)
        font = {"size": 12}
        axes[f"xaxis{x[1:]}"] = {
            "title": {"text": x_title, "font": font},
            "domain": domain,
            "anchor": y,
            "type": "category" if categories else "-",
        }
        axes[f"yaxis{y[1:]}"] = {
            "title": {"text": title, "font": font, "standoff": 4},
            "anchor": x,
            "rangemode": "tozero",
        }
    return axes


def axis_names(panel: int) -> tuple[str, str]:
    """What a trace of the panel gives as ``xaxis`` and ``yaxis``."""
    suffix = "" if panel == 0 else str(panel + 1)
    return f"x{suffix}", f"y{suffix}"
