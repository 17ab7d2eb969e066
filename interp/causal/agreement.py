"""How well estimated effects agree with exact ones, cell by cell.

Estimates are linear, exact effects are not, so a correlation says how far a ranking can be trusted and nothing about
single cells. Cells that no change can reach have an effect of exactly 0 in both; they are correct, but many of them
make a correlation look better than it is, so :attr:`Agreement.n_zero` counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.engine.sites import Site
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class Agreement:
    """Estimated beside exact effects.

    Attributes:
        method: what estimated them.
        cells: what each effect is of: sites, or edges.
        estimate: float [cell]; estimated change of the metric.
        exact: float [cell]; change of the metric when the cell alone is patched.
    """

    method: str
    cells: tuple[Any, ...]
    estimate: NDArray[np.float64]
    exact: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.cells) == len(self.estimate) == len(self.exact):
            raise ValueError(
                f"{len(self.cells)} cells, {len(self.estimate)} estimates and {len(self.exact)} exact effects; "
                "allowed is one of each per cell"
            )

    @property
    def pearson(self) -> float:
        """Pearson's correlation; nan where either side is constant."""
        return _correlation(self.estimate, self.exact)

    @property
    def spearman(self) -> float:
        """Spearman's rank correlation, ties given their mean rank; nan where either side is constant."""
        return _correlation(_ranks(self.estimate), _ranks(self.exact))

    @property
    def n_zero(self) -> int:
        """Cells whose estimated and exact effect are both exactly 0."""
        return int(((self.estimate == 0) & (self.exact == 0)).sum())

    def overlap(self, k: int = 20) -> float:
        """The share of the ``k`` strongest exact effects (by magnitude) that is among the ``k`` strongest estimates."""
        if not 1 <= k <= len(self.cells):
            raise ValueError(f"k is {k}; allowed are 1 to {len(self.cells)}, the number of cells")
        strongest = [
            set(np.argsort(-np.abs(side), kind="stable")[:k]) for side in (self.estimate, self.exact)
        ]
        return len(strongest[0] & strongest[1]) / k

    def to_frame(self) -> pd.DataFrame:
        """One row per cell: what it is, ``estimate``, ``exact``."""
        return frame_of(self.cells, estimate=self.estimate, exact=self.exact)

    def __str__(self) -> str:
        return (
            f"{self.method}: Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f} over {len(self.cells)} cells "
            f"({self.n_zero} zero in both)"
        )


def frame_of(cells: Sequence[Any], **columns: NDArray[np.float64]) -> pd.DataFrame:
    """One row per cell: its ``to_dict`` (for a site its text before it), and its entry of each column."""
    texts = [{"site": str(cell)} if isinstance(cell, Site) else {} for cell in cells]
    described: list[dict[str, Any]] = [text | cell.to_dict() for text, cell in zip(texts, cells, strict=True)]
    frame = pd.DataFrame(described)
    for name, column in columns.items():
        frame[name] = column
    return frame


def table(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """One row per method: ``method``, ``cells``, ``zero``, ``pearson``, ``spearman``."""
    return pd.DataFrame(
        {
            "method": [one.method for one in agreements],
            "cells": [len(one.cells) for one in agreements],
            "zero": [one.n_zero for one in agreements],
            "pearson": [one.pearson for one in agreements],
            "spearman": [one.spearman for one in agreements],
        }
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; ties share their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = sizes.cumsum()
    return (last - (sizes - 1) / 2)[group]


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
