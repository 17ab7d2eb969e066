"""The exact states of the algorithm on graphs, and what a step of a model has to write into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.oracle_step import oracle_step
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

VALUE = 3


@dataclass(frozen=True, eq=False)
class ExactSteps:
    """Every step of the algorithm on some graphs, until all their nodes show a value.

    Attributes:
        entering: int [step, batch, pos, factor]. leaving: the same, one step later.
        mask: bool [batch, pos], where there is a graph.
    """

    entering: Tensor
    leaving: Tensor
    mask: Tensor

    @property
    def due(self) -> Tensor:
        """Bool [step, batch, pos]: where a value is written that was not there."""
        return (self.entering != self.leaving).any(-1)

    def written(self, model: RecurrentTransformer) -> float:
        """Share of due values that the model writes, hooks that are there included."""
        right = total = 0
        for step, state in enumerate(self.entering):
            made = model.discretise(model.transition(state.to(model.device), step)).cpu()
            due = self.due[step]
            right += int((made == self.leaving[step]).all(-1)[due].sum())
            total += int(due.sum())
        return right / total


@torch.no_grad()
def exact_steps(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> ExactSteps:
    """The algorithm's states on graphs.

    Raises:
        ValueError: no graphs.
    """
    if not graphs:
        raise ValueError("there are no graphs; at least one is needed")
    encoded = model.to_encoded(graphs)
    states = [encoded.factors.cpu()]
    for _ in range(int(encoded.depths.max()) + 1):
        states.append(oracle_step(states[-1], encoded, model.vocabulary))
    model.grow_steps(len(states) - 1)
    return ExactSteps(torch.stack(states[:-1]), torch.stack(states[1:]), encoded.mask.cpu())
