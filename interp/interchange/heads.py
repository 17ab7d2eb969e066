"""Whole heads swapped: which head carries which of the algorithm's variables to a node's right-hand side.

The smallest sites that can be swapped without fitting anything: one head's ``z`` at the position. In a residual stream
the outputs of several heads lie on top of each other, in subspaces that need not be orthogonal, so that no projection
parts them; their own outputs are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch

from interp.interchange.accuracy import (
    PER_STEP,
    STEPS,
    check_interchangeable,
    interchange_hits,
    source_activations,
)
from interp.interchange.pairs import StatePairs, draw_pairs
from interp.interchange.rows import StateRows, head_place
from interp.interchange.shapes import HELD_OUT
from interp.interchange.variables import FACTOR_OF, VARIABLES
from interp.statistics.shares import Share
from models.one_line import one_line
from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True, eq=False)
class HeadInterchange:
    """IIA of whole heads.

    Attributes:
        frame: a row for every variable, head, step and depth: variable, factor, layer, head, step, depth, hits, pairs.
    """

    frame: pd.DataFrame

    @property
    def variables(self) -> tuple[str, ...]:
        """Those that were asked about, in order."""
        frame: Any = self.frame
        return tuple(dict.fromkeys(frame["variable"])) if len(frame) else ()

    def share(self, variable: str, layer: int, head: int, **where: int) -> Share:
        """IIA of a variable and a head, of all steps and depths or of those given."""
        frame: Any = self.frame
        chosen = (frame["variable"] == variable) & (frame["layer"] == layer) & (frame["head"] == head)
        for name, value in where.items():
            chosen &= frame[name] == value
        return Share(int(frame["hits"][chosen].sum()), int(frame["pairs"][chosen].sum()))

    def best(self, variable: str) -> tuple[int, int, Share]:
        """Layer and head that move a variable best, and their IIA."""
        frame: Any = self.frame
        sums = frame[frame["variable"] == variable].groupby(["layer", "head"])[["hits", "pairs"]].sum()
        layer, head = (sums["hits"] / sums["pairs"].clip(lower=1)).idxmax()
        return int(layer), int(head), self.share(variable, int(layer), int(head))

    def summary(self) -> pd.DataFrame:
        """A row per variable: factor, the head that moves it best (``layer.head``), iia, low, high, pairs."""
        rows: list[dict[str, Any]] = []
        for variable in self.variables:
            layer, head, share = self.best(variable)
            value, low, high = share.point
            rows.append(
                {
                    "variable": variable,
                    "factor": FACTOR_OF[variable],
                    "head": f"{layer}.{head}",
                    "iia": value,
                    "low": low,
                    "high": high,
                    "pairs": share.total,
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame`, a copy."""
        return self.frame.copy()


def head_interchange(
    model: RecurrentTransformer,
    variables: Sequence[str] = VARIABLES,
    steps: Sequence[int] = STEPS,
    per_step: int = PER_STEP,
    shape: Sequence[int] = HELD_OUT,
    seed: int = 0,
) -> HeadInterchange:
    """Swap every head's ``z`` at the last right-hand side, one at a time.

    Raises:
        ValueError: an unknown variable, a model without a discrete state, one that cannot be resumed.
    """
    check_interchangeable(model, variables)
    pairs = draw_pairs(model.vocabulary, shape, steps, per_step, seed)
    rows = StateRows.of(model, torch.cat([pairs.base, pairs.source]), pairs.pos)
    return swapped_heads(rows, pairs, variables)


def swapped_heads(rows: StateRows, pairs: StatePairs, variables: Sequence[str]) -> HeadInterchange:
    """The same of pairs and their rows."""
    cfg = rows.model.cfg
    whole = torch.eye(cfg.d_head)
    found: list[dict[str, Any]] = []
    for layer in range(rows.layer, cfg.n_layers):
        for head in range(cfg.n_heads):
            place = head_place(layer, head)
            sources = source_activations(rows, place, len(pairs))
            for variable in variables:
                hits = interchange_hits(rows, pairs, place, whole, pairs.targets[variable], sources)
                for step, depth in pairs.cells():
                    cell = pairs.asked[variable] & (pairs.step == step) & (pairs.depth == depth)
                    found.append(
                        {
                            "variable": variable,
                            "factor": FACTOR_OF[variable],
                            "layer": layer,
                            "head": head,
                            "step": step,
                            "depth": depth,
                            "hits": int((hits & cell).sum()),
                            "pairs": int(cell.sum()),
                        }
                    )
    return HeadInterchange(pd.DataFrame(found))
