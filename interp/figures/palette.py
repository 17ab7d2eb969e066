"""Colours that stay apart for readers with normal vision, with deuteranopia and with protanopia.

The distance of two colours is the smallest of their Euclidean distances in CIELAB (D65) under the three visions.
Dichromacy is simulated as by Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15(6), 2009, at severity 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VISIONS: Final[dict[str, tuple[tuple[float, float, float], ...]]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
}
"""What a vision makes of linear RGB: a matrix to be multiplied from the left."""
_XYZ: Final = np.array(
    ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
)
_WHITE: Final = _XYZ.sum(1)
_LEVELS: Final = 18
"""Levels of each channel of the colours that are tried."""


def simulated(colours: Sequence[str], vision: str) -> Floats:
    """sRGB, float [colour, channel] in 0..1, of #rrggbb colours as a vision of :data:`VISIONS` sees them.

    Raises:
        ValueError: an unknown vision.
    """
    if vision not in VISIONS:
        raise ValueError(f"vision is {vision!r}; allowed are {', '.join(VISIONS)}")
    linear = np.clip(_linear(_channels(colours)) @ np.array(VISIONS[vision]).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def distances(colours: Sequence[str], vision: str) -> Floats:
    """CIELAB distance of every pair of #rrggbb colours in one vision, float [colour, colour].

    Raises:
        ValueError: an unknown vision.
    """
    lab = _lab(_linear(simulated(colours, vision)))
    return np.linalg.norm(lab[:, None] - lab, axis=-1)


@cache
def apart(chosen: tuple[str, ...], others: tuple[str, ...], n: int) -> tuple[str, ...]:
    """The colours ``chosen``, and as many more as make ``n``: each the farthest from all before and from ``others``.

    Raises:
        ValueError: more colours than are tried.
    """
    tried = candidates()
    if n > len(tried):
        raise ValueError(f"{n} colours were asked for; allowed are up to {len(tried)}")
    seen = coordinates(tried)
    nearest = nearest_distance(seen, coordinates((*chosen, *others)))
    more: list[str] = []
    while len(chosen) + len(more) < n:
        best = int(nearest.argmax())
        more.append(tried[best])
        nearest = np.minimum(nearest, nearest_distance(seen, seen[:, best : best + 1]))
    return (*chosen, *more)[:n]


@cache
def candidates() -> tuple[str, ...]:
    """The colours that are tried, an even grid of sRGB."""
    levels = np.linspace(0, 255, _LEVELS).round().astype(int).tolist()
    return tuple(f"#{red:02x}{green:02x}{blue:02x}" for red in levels for green in levels for blue in levels)


def coordinates(colours: Sequence[str]) -> Floats:
    """CIELAB coordinates in every vision, float [vision, colour, 3]."""
    return np.stack([_lab(_linear(simulated(colours, vision))) for vision in VISIONS])


def nearest_distance(of: Floats, to: Floats) -> Floats:
    """Distance of every colour to the nearest of others in the vision where it is least, float [colour].

    of, to: from :func:`coordinates`.
    """
    nearest = np.full(of.shape[1], np.inf)
    for column in range(to.shape[1]):
        nearest = np.minimum(nearest, np.linalg.norm(of - to[:, column : column + 1], axis=-1).min(0))
    return nearest


def _channels(colours: Sequence[str]) -> Floats:
    return np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in colours])


def _linear(srgb: Floats) -> Floats:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: Floats) -> Floats:
    ratio: Floats = linear @ _XYZ.T / _WHITE
    root: Floats = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
