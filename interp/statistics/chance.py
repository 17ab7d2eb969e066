"""A measured quantity beside the same quantity of random draws, and the random subspaces that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.one_line import one_line

Floats = NDArray[np.float64]
_SAME = 1e-9
"""Draws that differ by less than this share of their size do not differ."""


@one_line
@dataclass(frozen=True, eq=False)
class AgainstChance:
    """Any array of measurements: ``value`` float [...] and ``draws`` float [draw, ...], at least two draws."""

    value: Floats
    draws: Floats

    @property
    def mean(self) -> Floats:
        """[...]; mean over draws."""
        return self.draws.mean(0)

    @property
    def sd(self) -> Floats:
        """[...]; standard deviation over draws; 0 where they do not differ."""
        sd = self.draws.std(0, ddof=1)
        return np.where(sd > _SAME * np.abs(self.mean), sd, 0.0)

    @property
    def z(self) -> Floats:
        """[...]; (value - mean) / sd, nan where draws do not differ."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.sd > 0, (self.value - self.mean) / self.sd, np.nan)

    @property
    def ratio(self) -> Floats:
        """[...]; value / mean, nan where chance is 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.mean > 0, self.value / self.mean, np.nan)

    def at(self, *index: Any) -> AgainstChance:
        """A part of it, ``index`` into the axes of ``value``."""
        return AgainstChance(self.value[index], self.draws[(slice(None), *index)])


def check_draws(draws: int) -> int:
    """``draws`` where a spread can be told from them; raises ValueError otherwise."""
    if draws < 2:
        raise ValueError(f"draws is {draws}; allowed: 2 or more, for a standard deviation")
    return draws


def random_basis(d_model: int, rank: int, rng: np.random.Generator) -> Floats:
    """Orthonormal columns [d_model, rank] of a uniformly drawn subspace; a rotation where rank is d_model."""
    q, r = np.linalg.qr(rng.standard_normal((d_model, rank)))
    return q * np.sign(np.diagonal(r))  # without the signs a rotation would not be uniform
