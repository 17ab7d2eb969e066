"""Overwrite one value of a run's discrete state, let the run go on from there, and compare it with the original.

A discrete state holds everything that enters the next step, so resuming from an edited state is exact: nothing but
the edit differs. Where the model has no bottleneck, the readout is embedded anew and what the hidden state carried
besides is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory


@dataclass(frozen=True)
class Overwrite:
    """Put `value` (a symbol id of the value factor) at the right-hand side of `node` in ``states[state]``.

    ``states[0]`` is the state before step 0, ``states[t + 1]`` what step t wrote.
    """

    node: int
    state: int
    value: int


@dataclass(frozen=True)
class OverwrittenRun:
    """A run resumed from an edited state, beside the original.

    Attributes:
        edit: what was overwritten.
        original: the run that was edited, of one graph.
        run: what followed; ``run.states[k]`` is to be compared with ``original.states[edit.state + k]``.
    """

    edit: Overwrite
    original: Trajectory
    run: Trajectory

    @property
    def changed(self) -> Bool[Tensor, "state node"]:
        """Where a value of ``run`` is not the original's of the same step."""
        return (self.run.values != self._aligned(self.original.values, self.original))[:, 0]

    @property
    def healed_at(self) -> int | None:
        """The step from which on the state is the original's for good; None if it never is, -1 if it never differed.

        Steps are counted as in the original run, so a value restored by the first step after the edit has healed at
        ``edit.state``.
        """
        differs = (self.run.states != self._aligned(self.original.states, self.original)).flatten(1).any(1)
        where = differs.nonzero().flatten()
        if not len(where):
            return -1
        last = int(where[-1])
        return None if last == len(differs) - 1 else self.edit.state + last

    @property
    def nodes(self) -> list[int]:
        """Nodes that show another value than the original at some step, in text order."""
        return [int(node) for node in self.changed.any(0).nonzero().flatten()]

    def _aligned(self, values: Int[Tensor, "state ..."], run: Trajectory) -> Int[Tensor, "state ..."]:
        """The original's states at the same steps; beyond its end by its fixed point or cycle."""
        last, period = len(values) - 1, max(1, int(run.cycle[0]))
        index = torch.arange(self.edit.state, self.edit.state + len(self.run.states))
        beyond = index > last
        index[beyond] = last - period + 1 + (index[beyond] - last - 1) % period
        return values[index]


def overwrite_value(model: RecurrentTransformer, original: Trajectory, edit: Overwrite) -> OverwrittenRun:
    """Run on from the edited state until the state settles (or for the steps left, where the model fixes them).

    The resumed run lasts at least as long as the original from the edit on, so that every step can be compared.

    Raises:
        ValueError: a run of several graphs; a node, state or value that is not there.
    """
    if len(original.encoded) != 1:
        raise ValueError(f"expected a run of one graph, got {len(original.encoded)}")
    symbols = original.vocabulary.symbols("value")
    limits = {
        "node": (edit.node, len(original.encoded.graphs[0])),
        "state": (edit.state, len(original.states)),
        "value": (edit.value, len(symbols)),
    }
    for name, (given, size) in limits.items():
        if not 0 <= given < size:
            raise ValueError(f"{name} is {given}; allowed are 0 to {size - 1}")
    state = original.states[edit.state].clone()
    state[0, original.encoded.rhs[0, edit.node], 3] = edit.value
    left = original.n_steps - edit.state
    if model.cfg.default_steps is not None:
        return OverwrittenRun(edit, original, model.run(original.encoded, left, initial_state=state))
    run = model.run(original.encoded, initial_state=state)
    if run.n_steps < left:
        run = model.run(original.encoded, left, initial_state=state)
    return OverwrittenRun(edit, original, run)
