"""What every edited run is compared with, and what there is to say of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from models.trajectory import Trajectory


class BesideControl:
    """A run that was edited, beside the same run without the edit; both from the state that enters :attr:`since`.

    original: the run that was edited, of one graph. run: what followed; ``run.states[k]`` is that of
    ``original.states[since + k]``. control: what followed, for as many steps, without the edit.
    """

    original: Trajectory
    run: Trajectory
    control: Trajectory

    @property
    def since(self) -> int:
        """The first step that the edit is about."""
        raise NotImplementedError

    @property
    def changed(self) -> Bool[Tensor, "state node"]:
        """Where a value of ``run`` is not the control's of the same step."""
        return (self.run.values != self.control.values)[:, 0]

    @property
    def control_changed(self) -> Bool[Tensor, "state node"]:
        """Where a value of ``control`` is not the original's of the same step, as far as that was run: nowhere, or the
        edit is not all that differs.
        """
        known = self.original.values[self.since :]
        return (self.control.values[: len(known)] != known)[:, 0]

    @property
    def healed_at(self) -> int | None:
        """The step from which on the state is the control's for good; None if it never is, -1 if it never differed.

        Steps are counted as in the original run, so a value restored by the first step after the edit has healed at
        :attr:`since`.
        """
        differs = (self.run.states != self.control.states).flatten(1).any(1)
        where = differs.nonzero().flatten()
        if not len(where):
            return -1
        last = int(where[-1])
        return None if last == len(differs) - 1 else self.since + last

    @property
    def nodes(self) -> list[int]:
        """Nodes that show another value than the control at some step, in text order."""
        return [int(node) for node in self.changed.any(0).nonzero().flatten()]

    def whole(self) -> Trajectory:
        """The edited run from the text on: the original's states as far as the edit, and its own from there."""
        begin, run = self.since, self.run
        settled = torch.where(run.fixed_point < 0, -1, run.fixed_point + begin)
        return replace(
            run,
            states=torch.cat([self.original.states[:begin], run.states]),
            confidence=torch.cat([self.original.confidence[:begin], run.confidence]),
            fixed_point=settled,
            bound=begin + run.bound,
        )
