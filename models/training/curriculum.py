"""What to train on, when: a schedule of phases driven by the learning curve.

A phase fixes the graphs (sizes, leaves, operand weights) and the tokens per batch. The skew of the values
starts at the first phase's `skew` and falls by `skew_step` at every step at which the running accuracy of
the gated operand counts is at least `gate`. A phase is left when the skew is gone and the running accuracy
of every operand count is at least `leave_at`, or when the run's progress (share of its budget) reaches
`latest` (1, the default: accuracy alone decides). Everything depends on steps and measured accuracies only,
so a resumed run takes the same decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.training.sampling import Ints, Recipe

MEMORY = 0.99
"""Decay of the running accuracies, per step; at first they average all steps so far."""


class Phase(BaseModel):
    """One stage of the curriculum (see the module docstring). `tokens`: real tokens per batch and process, about.

    graphs: graphs per batch, drawn from all sizes alike, instead of `tokens`.
    most_skew: the skew is lowered to this when the phase begins.
    attention_noise: standard deviation of Gaussian noise on the attention scores, so that the right key
    has to win by a margin.
    first_step: of real runs, the first whose state is an example of a transition.
    frozen: beginnings of the names of parameters that keep their values in this phase. Attention that finds operands
    is lost while nothing can yet be made of them: it has no gradient but noise.
    leave_on: numbers of operands whose accuracy decides on leaving the phase.
    begin_skew: the skew with which the phase begins, instead of that of the phase before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sizes: tuple[int, int] = (8, 32)
    leaves: tuple[int, int] = (6, 6)
    operand_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    max_depth: int | None = 6
    tokens: int = Field(default=3000, ge=1)
    skew_step: float = Field(default=0.0005, ge=0)
    gate: float = Field(default=0.8, ge=0, le=1)
    gated: tuple[int, ...] = (2,)
    leave_at: float = Field(default=0.95, ge=0)
    latest: float = Field(default=1.0, gt=0, le=1)
    graphs: int | None = Field(default=None, ge=1)
    most_skew: float = Field(default=1.0, ge=0, le=1)
    attention_noise: float = Field(default=0.0, ge=0)
    first_step: int = Field(default=0, ge=0)
    frozen: tuple[str, ...] = ()
    leave_on: tuple[int, ...] = (1, 2, 3)
    begin_skew: float | None = Field(default=None, ge=0, le=1)

    def recipe(self, sizes: tuple[int, int] | None = None) -> Recipe:
        """The graphs of this phase, or of a band of its sizes."""
        return Recipe(sizes or self.sizes, self.leaves, self.operand_weights, self.max_depth)


@dataclass
class Curriculum:
    """Where a run stands in its phases. `accuracy` float [4]: running accuracy on new nodes by number of operands."""

    phases: tuple[Phase, ...]
    skew: float
    index: int = 0
    accuracy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    updates: int = 0

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self.phases[self.index]

    def draw_size(self, rng: np.random.Generator) -> tuple[Recipe, int]:
        """The recipe and number of graphs of the next batch.

        A batch holds graphs of nearly one size (a band of at most 3 around a uniform draw), so that little
        of it is padding; the number of graphs is what makes about `tokens` tokens, and sizes stay uniform
        over tokens rather than over graphs.
        """
        if self.phase.graphs is not None:
            return self.phase.recipe(), self.phase.graphs
        low, high = self.phase.sizes
        middle = int(rng.integers(low, high + 1))
        band = (max(low, middle - 1), min(high, middle + 1))
        weights = np.asarray(self.phase.operand_weights)
        per_node = 2.0 + 2.0 * float(weights @ np.arange(1, 4)) / float(weights.sum())
        leaves = min(float(np.mean(self.phase.leaves)), middle)
        length = 4.0 * leaves + per_node * (middle - leaves)
        return self.phase.recipe(band), max(1, round(self.phase.tokens / length))

    def update(self, right: Ints, total: Ints, progress: float) -> None:
        """Take in a batch's counts (int64 [4], by number of operands) and the run's progress, 0..1."""
        self.updates += 1
        memory = min(MEMORY, 1 - 1 / self.updates)
        k0, k1, k2, k3 = (
            old if count == 0 else memory * old + (1 - memory) * hits / count
            for old, hits, count in zip(self.accuracy, right.tolist(), total.tolist(), strict=True)
        )
        self.accuracy = (k0, k1, k2, k3)
        phase = self.phase
        if min(self.accuracy[k] for k in phase.gated) >= phase.gate:
            self.skew = max(0.0, self.skew - phase.skew_step)
        learnt = self.skew == 0.0 and min(self.accuracy[k] for k in phase.leave_on) >= phase.leave_at
        if self.index + 1 < len(self.phases) and (learnt or progress >= phase.latest):
            self.index += 1
            begin = self.skew if self.phase.begin_skew is None else self.phase.begin_skew
            self.skew = min(begin, self.phase.most_skew)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {
            "skew": self.skew,
            "index": self.index,
            "accuracy": list(self.accuracy),
            "updates": self.updates,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        k0, k1, k2, k3 = state["accuracy"]
        self.accuracy = (k0, k1, k2, k3)
        self.skew, self.index, self.updates = state["skew"], state["index"], state["updates"]
