"""What the colours of heatmaps mean: signed numbers on both sides of white, others from 0 on; and their bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DIVERGING: Final = (
    (0.0, "#8a3d00"), (0.25, "#e1862d"), (0.5, "#ffffff"), (0.75, "#7f9bea"), (1.0, "#1f36a0")
)  # fmt: skip
"""Orange below 0, white at 0, blue above; red stays what is wrong."""
SEQUENTIAL: Final = ((0.0, "#d8e1fa"), (0.4, "#7f9bea"), (0.7, "#3f5fc9"), (1.0, "#1f36a0"))
"""From pale blue at 0, which is not the white of paper, to dark blue."""
_BAR: Final = 320
"""Pixels of a bar, where there is room."""


@dataclass(frozen=True)
class Scale:
    """A scale of colours.

    unit: beside its bar. signed: whether numbers can be negative; those of another scale begin at 0.
    """

    unit: str
    signed: bool = True

    def axis(
        self, values: Sequence[NDArray[np.float64]], place: int, n_bars: int, height: float
    ) -> dict[str, Any]:
        """A ``coloraxis`` for all ``values``, and its bar, one of ``n_bars`` below each other in ``height`` pixels."""
        limit = colour_limit(values)
        ends: dict[str, Any] = {"cmin": -limit, "cmid": 0} if self.signed else {"cmin": 0}
        bar = {
            "title": {"text": self.unit},
            "thickness": 14,
            "len": min(0.96 / n_bars if n_bars > 1 else 1.0, _BAR / height),
            "y": 1 - place / n_bars,
            "yanchor": "top",
        }
        stops = DIVERGING if self.signed else SEQUENTIAL
        return {"colorscale": [list(stop) for stop in stops], **ends, "cmax": limit, "colorbar": bar}


def colour_limit(values: Sequence[NDArray[np.float64]]) -> float:
    """End of a shared scale: the largest magnitude in any of the arrays, and at least 1."""
    finite = [one[np.isfinite(one)] for one in values]
    return max([1.0, *(float(np.abs(one).max()) for one in finite if one.size)])
