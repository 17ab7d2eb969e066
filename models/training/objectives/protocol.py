"""What the trainer asks of a method: draw a batch, give its loss, solve graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.recurrent import RecurrentTransformer
from models.training.sampling import Bools, GraphBatch, Ints, Recipe
from models.vocabulary import FactoredVocabulary


@dataclass(frozen=True)
class Batch:
    """One batch of training examples.

    graphs: the graphs, one row per example.
    state int64 [example, pos, 4]: what the model reads.
    target int64 [example, pos, 4]: what its readout must show (at the last step, where there are several).
    mask bool [example, pos]: positions that count.
    inputs, targets int64 [example, node]: right-hand-side values before and after, for the accuracy by
    number of operands.
    """

    graphs: GraphBatch
    state: Tensor
    target: Tensor
    mask: Tensor
    inputs: Ints
    targets: Ints

    @classmethod
    def of(
        cls, graphs: GraphBatch, state: Ints, target: Ints, mask: Bools, inputs: Ints, targets: Ints
    ) -> Batch:
        """A batch from arrays."""
        return cls(graphs, to_tensor(state), to_tensor(target), to_tensor(mask), inputs, targets)

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on the device."""
        return replace(
            self, state=self.state.to(device), target=self.target.to(device), mask=self.mask.to(device)
        )

    def __len__(self) -> int:
        return int(self.state.shape[0])


@dataclass(frozen=True)
class Outcome:
    """Loss of one batch (scalar tensor with a graph) and accuracy on the nodes that had to be computed.

    right, total: int64 [4], by number of operands 0..3: nodes whose value had to change and did so rightly,
    and all that had to.
    """

    loss: Tensor
    right: Ints
    total: Ints


class Objective(Protocol):
    """A training method."""

    @property
    def name(self) -> str:
        """The method's name, as in `METHODS`."""
        ...

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Draw a batch; `skew` is the probability that a value is an operation's identity."""
        ...

    def loss(self, model: RecurrentTransformer, batch: Batch) -> Outcome:
        """Loss and accuracy of the model on the batch."""
        ...

    def solve(self, model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
        """The values the model ends with, int64 [batch, node]; -1 where it gives none. No gradient."""
        ...


def count_right(batch: Batch, predicted: Ints, vocabulary: FactoredVocabulary) -> tuple[Ints, Ints]:
    """Nodes computed rightly and nodes to compute, int64 [4] each, by number of operands.

    A node has to be computed where its target is a number other than the one standing there. predicted:
    int64 [example, node].
    """
    new = batch.graphs.exists & (batch.targets != batch.inputs) & (batch.targets != vocabulary.empty)
    right = new & (predicted == batch.targets)
    arity = batch.graphs.n_operands
    return np.bincount(arity[right], minlength=4), np.bincount(arity[new], minlength=4)


def value_at(logits: Tensor, positions: Ints, vocabulary: FactoredVocabulary) -> Ints:
    """Argmax of the value factor at given positions. logits [example, pos, d_vocab]; positions int64
    [example, node], -1 = absent.

    Returns int64 [example, node], -1 where the position is absent.
    """
    values = logits.detach()[..., vocabulary.slice("value")].argmax(dim=-1).cpu().numpy()
    rows = np.arange(len(positions))[:, None]
    return np.where(positions >= 0, values[rows, np.maximum(positions, 0)], -1)


def to_tensor(array: Ints | Bools, device: torch.device | None = None) -> Tensor:
    """The array as a tensor; on the CPU it shares the array's memory."""
    return torch.as_tensor(array, device=device)
