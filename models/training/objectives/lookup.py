"""The first stage that all methods share: looking operands up, without any arithmetic.

Every value of a state is random, and the target is one synchronous step of the symbolic algorithm on that state. What
would take arithmetic is left out of the loss: a node counts only where at most one of its operands differs from the
operation's identity, so its target is EMPTY or stands among its operands. (Values are skewed to the identity, so that
most nodes are such.)

States of real runs do not teach it in the same time: few of their nodes compute, and guessing among the few values that
are visible pays half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.operations import OPERATIONS
from models.training.objectives.discrete import Discrete
from models.training.objectives.protocol import Batch
from models.training.sampling import Bools, GraphBatch, Ints, Recipe, sample_batch
from models.training.states import random_values
from models.training.transition import next_values, write_values
from models.vocabulary import FactoredVocabulary


@dataclass(frozen=True)
class Lookup(Discrete):
    """`Discrete` on random states, its loss on what takes no arithmetic."""

    name: str = "lookup"

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Random states whose values are the identity with probability `skew`."""
        vocabulary = self.vocabulary
        graphs = sample_batch(rng, vocabulary, n_graphs, recipe)
        inputs = random_values(rng, graphs, vocabulary, skew)
        computed = next_values(graphs, inputs, vocabulary)
        counted = without_arithmetic(graphs, inputs, computed, vocabulary)
        mask = graphs.mask.copy()
        rows, nodes = np.nonzero(graphs.exists & ~counted)
        mask[rows, graphs.rhs[rows, nodes]] = False
        targets = np.where(counted, computed, inputs)
        return Batch.of(
            graphs, write_values(graphs, inputs), write_values(graphs, targets), mask, inputs, targets
        )


def without_arithmetic(
    graphs: GraphBatch, values: Ints, computed: Ints, vocabulary: FactoredVocabulary
) -> Bools:
    """Where one step needs no arithmetic, bool [batch, node].

    A leaf, a node with an unknown operand, and a node that takes over the value of one operand because all others are
    the identity of the operations in use. values, computed: int64 [batch, node], before and after the step.
    """
    used = graphs.operand_nodes >= 0
    operands = values[np.arange(len(graphs))[:, None, None], graphs.operand_nodes]
    identities = [identity for op in vocabulary.ops if (identity := OPERATIONS[op].identity) is not None]
    neutral = np.isin(operands, identities)
    alone = (used & ~neutral).sum(axis=-1) <= 1
    taken_over = (used & (operands == computed[..., None])).any(axis=-1)
    return (graphs.n_operands <= 0) | (computed == vocabulary.empty) | (alone & taken_over)
