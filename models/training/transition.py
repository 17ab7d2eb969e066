"""One synchronous step of the symbolic algorithm, on many states at once.

A state is described by the values standing on the graph's right-hand sides, int64 [batch, node]
(0..modulus-1, or EMPTY; -1 where the graph has no such node); everything else in the discrete latent state
is copied from step to step. One step gives every node, at the same time, the operation on its operands'
CURRENT values, from left to right, each modulo p; EMPTY if one of them is EMPTY; a leaf always its own value.
Started from all EMPTY, the nodes of depth d show their true value from step d + 1 on. Because the step only
looks at operands, a
wrong value is overwritten one step later: applied to arbitrary states, this map is what self-correction
means.
"""

from __future__ import annotations

import numpy as np

from models.operations import OPERATIONS
from models.training.sampling import NUMBER, GraphBatch, Ints
from models.vocabulary import FactoredVocabulary


def next_values(batch: GraphBatch, values: Ints, vocabulary: FactoredVocabulary) -> Ints:
    """Values after one synchronous step. values, result: int64 [batch, node]."""
    modulus = vocabulary.modulus
    functions = [OPERATIONS[name].function for name in vocabulary.ops]
    places = batch.operand_nodes.transpose(2, 0, 1)  # [operand, batch, node]
    first = np.arange(len(batch))[:, None] * values.shape[1]
    operands = values.take(np.add(places, first, order="C"))
    known = operands.view(np.uint64) < modulus  # read as unsigned, -1 is beyond the modulus too
    operands *= known  # functions are given values only; where there is none, their result is not used
    known |= places < 0
    total = operands[0]
    for operand, operation in zip(operands[1:], batch.operations.transpose(2, 0, 1), strict=True):
        for code, function in enumerate(functions):
            np.copyto(total, function(total, operand), where=operation == code)
        total %= modulus
    computed = np.where(known.all(axis=0), total, vocabulary.empty)
    return np.where(batch.n_operands > 0, computed, batch.leaf_values)


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
