"""Discrete latent supervision with self-correction: `discrete`, also from states that no real run would show.

With supervision `transitions`, most examples start from random states, so a wrong
value is overwritten one step later because its operands say otherwise. With supervision `paper`, a few
values are corrupted and the target stays true.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.training.objectives.discrete import Discrete


@dataclass(frozen=True)
class DiscreteCorrected(Discrete):
    """`Discrete` with random states (85 % of the examples) or the paper's corruption (0.05 of batches, 0.5 of
    fresh values)."""

    random: float = 0.85
    corrupt_batch: float = 0.05
    name: str = "discrete-corrected"
