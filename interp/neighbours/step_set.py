"""A fixed set of single steps of the algorithm, in batches of like length, and the loss of training on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from interp.neighbours.states import VALUE, exact_steps
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.training.objectives.readout import factored_cross_entropy

CHANGED_WEIGHT: Final = 6.0
"""Of values that have to change, as in training (`models.training.presets`)."""
_PER_BATCH: Final = 8


class StepBatch(NamedTuple):
    """State and target int [row, pos, factor], and bool [row, pos], where there is a graph."""

    state: Tensor
    target: Tensor
    mask: Tensor

    @property
    def due(self) -> Tensor:
        """Bool [row, pos]: where a value is written that was not there."""
        return (self.state != self.target).any(-1) & self.mask


@dataclass(frozen=True, eq=False)
class StepSet:
    """Steps in each of which a value is due.

    Attributes:
        batches: of 8 steps, the last of fewer.
    """

    batches: tuple[StepBatch, ...]

    def __len__(self) -> int:
        """How many steps."""
        return sum(len(batch.state) for batch in self.batches)

    def losses(self, model: RecurrentTransformer) -> list[Callable[[], Tensor]]:
        """Of each batch the loss of training (nats, a scalar) with the model's weights and hooks as they then are."""
        return [lambda batch=batch: _loss(model, batch) for batch in self.batches]

    @torch.no_grad()
    def loss(self, model: RecurrentTransformer) -> float:
        """Mean over batches."""
        return float(torch.stack([one() for one in self.losses(model)]).mean())

    @torch.no_grad()
    def written(self, model: RecurrentTransformer, values_alone: bool = False) -> float:
        """Share of due values that are written right, in all factors or, if `values_alone`, in that of the value."""
        right = total = 0
        for batch in self.batches:
            made = model.discretise(model.transition(batch.state.to(model.device))).cpu()
            same = made == batch.target
            right += int((same[..., VALUE] if values_alone else same.all(-1))[batch.due].sum())
            total += int(batch.due.sum())
        return right / total


def step_sets(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], most: int, count: int = 1, seed: int = 0
) -> list[StepSet]:
    """Sets of different steps, equally many and at most so many each, drawn from those of the algorithm on the graphs.

    Raises:
        ValueError: no graphs, no steps asked for, or graphs of fewer steps than there are to be sets.
    """
    steps = exact_steps(model, graphs)
    state, target = steps.entering.flatten(0, 1), steps.leaving.flatten(0, 1)
    mask = steps.mask.expand(len(steps.entering), -1, -1).flatten(0, 1)
    due = (state != target).flatten(1).any(1).nonzero()[:, 0]
    size = min(most, len(due) // count)
    if size < 1:
        raise ValueError(
            f"{most} steps in each of {count} sets, of graphs that have {len(due)} steps in which a value is due; "
            "allowed: 1 step or more, and graphs that have one for each set"
        )
    drawn = due[torch.randperm(len(due), generator=torch.Generator().manual_seed(seed))]
    return [_batched(state, target, mask, drawn[n * size : (n + 1) * size]) for n in range(count)]


def _batched(state: Tensor, target: Tensor, mask: Tensor, drawn: Tensor) -> StepSet:
    drawn = drawn[mask[drawn].sum(1).argsort(stable=True)]
    batches: list[StepBatch] = []
    for start in range(0, len(drawn), _PER_BATCH):
        rows = drawn[start : start + _PER_BATCH]
        length = int(mask[rows].sum(1).max())
        batches.append(StepBatch(state[rows, :length], target[rows, :length], mask[rows, :length]))
    return StepSet(tuple(batches))


def _loss(model: RecurrentTransformer, batch: StepBatch) -> Tensor:
    state, target, mask = (part.to(model.device) for part in batch)
    weight = 1 + (CHANGED_WEIGHT - 1) * (state[..., VALUE] != target[..., VALUE])
    return factored_cross_entropy(model.transition(state), target, mask, model.vocabulary, weight)
