"""Rows beside a base run, as :class:`models.stepper.Memory` steps them: the replay engine's loop.

A row in whose step something is written is computed alone; every other one is a function of the state it enters with,
whichever row or run has been in it; one that is in the base run's state is not computed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from interp.engine.following import BaseRun, Item, Result
from interp.engine.interventions import Edit
from interp.engine.sparse.step import PointResult


@dataclass
class Row:
    """One run under intervention, as it is put down."""

    index: int
    edits: dict[int, list[Edit]]
    differing: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    logits: Tensor | None = None


@dataclass(frozen=True, eq=False)
class After:
    """What a step makes of a row: the packed state int [pos] (None: the base run's), and in the last step the logits
    that were asked for.
    """

    packed: Tensor | None
    logits: Tensor | None = None


AS_BASE = Item(None, ())
"""A row that is in the base run's state."""


@dataclass(frozen=True, eq=False)
class Followed:
    """A :class:`models.stepper.RowLoop`. A state is an ``Item`` per row, in which None is the base run's state.

    evaluate: (step, items) -> what the step makes of them, as :func:`interp.engine.following.evaluate_items` says it.
    In the last step, ``last``, logits at ``positions`` may be wanted too.
    """

    base: BaseRun
    rows: Sequence[Row]
    evaluate: Callable[[int, Sequence[Item]], Sequence[Result | PointResult]]
    last: int
    positions: Tensor | None

    def enter(self, state: list[Item], step: int) -> list[Item]:
        """Write the edits of the entering states themselves, and give those of the step along."""
        return [
            self._entered(row, item, step) if step in row.edits else item
            for row, item in zip(self.rows, state, strict=True)
        ]

    def _entered(self, row: Row, item: Item, step: int) -> Item:
        entering, edits = self.base.enter(step, item.entering, row.edits[step])
        if entering is not None:
            row.differing[step] = entering
            if torch.equal(entering, self.base.packed[step]):
                del row.differing[step]
                entering = None
        return Item(entering, tuple(edits))

    def known(self) -> dict[Hashable, After]:
        """The base run's own steps, by number."""
        return {
            t: After(None, self.base.logits(t, self.positions) if self._reads(t) else None)
            for t in range(self.last + 1)
        }

    def _reads(self, step: int) -> bool:
        return step == self.last and self.positions is not None

    def keys(self, state: list[Item], step: int, context: None) -> list[Hashable | None]:
        """Nothing for a row that is written into, the step for the base run, else the state."""
        return [step if item is AS_BASE else self._key(item, step) for item in state]

    def _key(self, item: Item, step: int) -> Hashable | None:
        if item.edits:
            return None
        if item.entering is None:
            return step
        # What is known of other steps has no logits.
        return (key_of(item.entering), "read") if self._reads(step) else key_of(item.entering)

    def step_rows(self, state: list[Item], rows: Sequence[int], step: int, context: None) -> list[After]:
        """One step of these rows, in as few forward passes as they fit."""
        results = self.evaluate(step, [state[row] for row in rows])
        if not self._reads(step):
            return [After(result.packed) for result in results]
        positions, logits = cast(Tensor, self.positions), self.base.logits(step, None)
        return [After(result.packed, result.logits_at(positions, logits)) for result in results]

    def join(self, rows: Sequence[After], step: int, context: None) -> list[Item]:
        """Put down what differs from the base run; rows that do not any more are in its state again."""
        base = self.base.packed[step + 1]
        return [self._arrived(row, after, step, base) for row, after in zip(self.rows, rows, strict=True)]

    def _arrived(self, row: Row, after: After, step: int, base: Tensor) -> Item:
        if after.logits is not None:
            row.logits = after.logits.clone()
        if after.packed is None or torch.equal(after.packed, base):
            return AS_BASE
        row.differing[step + 1] = after.packed
        return Item(after.packed, ())


def key_of(packed: Tensor) -> bytes:
    """What a packed state is recognised by."""
    return packed.numpy().tobytes()
