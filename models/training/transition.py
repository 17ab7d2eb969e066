"""The symbolic algorithm on batches of random graphs: the states that training reads and must write.

A state is described by the values standing on the graph's right-hand sides, int64 [batch, node]
(0..modulus-1, or EMPTY; -1 where the graph has no such node); everything else in the discrete latent state
is copied from step to step. A step is :func:`models.symbolic.values_after_step`. Started from all EMPTY, the nodes of
depth d show their true value from step d + 1 on; from any other state as well, which is what self-correction means.
"""

from __future__ import annotations

import numpy as np

from models.symbolic import values_after_step
from models.training.sampling import NUMBER, GraphBatch, Ints
from models.vocabulary import FactoredVocabulary


def next_values(batch: GraphBatch, values: Ints, vocabulary: FactoredVocabulary) -> Ints:
    """Values after one synchronous step. values, result: int64 [batch, node]."""
    places = batch.operand_nodes.transpose(2, 0, 1)  # [operand, batch, node]
    first = np.arange(len(batch))[:, None] * values.shape[1]
    return values_after_step(
        read=values.take(np.add(places, first, order="C")),
        used=places >= 0,
        operations=batch.operations.transpose(2, 0, 1),
        given=batch.leaf_values,
        ops=vocabulary.ops,
        modulus=vocabulary.modulus,
        empty=vocabulary.empty,
    )


def empty_values(batch: GraphBatch, vocabulary: FactoredVocabulary) -> Ints:
    """The state before step 0: EMPTY at every node. int64 [batch, node]."""
    return np.where(batch.exists, vocabulary.empty, -1)


def true_values(batch: GraphBatch, vocabulary: FactoredVocabulary) -> Ints:
    """The fixed point: every node's true value. int64 [batch, node]."""
    values = empty_values(batch, vocabulary)
    for _ in range(int(batch.depths.max()) + 1):
        values = next_values(batch, values, vocabulary)
    return values


def values_after(batch: GraphBatch, steps: Ints, truth: Ints, vocabulary: FactoredVocabulary) -> Ints:
    """Values after `steps` (int64 [batch]) steps of a real run: true where depth < steps, else EMPTY.
    Returns int64 [batch, node]."""
    shown = np.where(batch.depths < steps[:, None], truth, vocabulary.empty)
    return np.where(batch.exists, shown, -1)


def write_values(batch: GraphBatch, values: Ints) -> Ints:
    """The discrete state with these right-hand-side values. Returns int64 [batch, pos, 4]."""
    state = batch.factors.copy()
    rows, nodes = np.nonzero(batch.exists)
    state[rows, batch.rhs[rows, nodes], NUMBER] = values[rows, nodes]
    return state


def read_values(batch: GraphBatch, state: Ints) -> Ints:
    """The right-hand-side values in a discrete state. Returns int64 [batch, node], -1 where there is no such node."""
    rows = np.arange(len(batch))[:, None]
    return np.where(batch.exists, state[rows, np.maximum(batch.rhs, 0), NUMBER], -1)
