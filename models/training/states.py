"""States to train transitions on: random ones, those of real runs, and the paper's.

An `Examples` is a set of single steps: the values that enter the step and the values that must leave it,
for one or more states of each graph of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.operations import OPERATIONS
from models.training.sampling import NUMBER, Bools, GraphBatch, Ints
from models.training.transition import next_values, true_values, values_after
from models.vocabulary import FactoredVocabulary


@dataclass(frozen=True)
class Examples:
    """Steps to learn. graphs int64 [example]: row of the graph in the batch; inputs, targets int64 [example, node]."""

    graphs: Ints
    inputs: Ints
    targets: Ints

    def __len__(self) -> int:
        return len(self.graphs)


def random_values(
    rng: np.random.Generator,
    batch: GraphBatch,
    vocabulary: FactoredVocabulary,
    skew: float = 0.0,
    empty: float = 0.15,
) -> Ints:
    """Values of a random state, int64 [batch, node]: EMPTY with probability `empty`, else uniform in
    0..modulus-1, or with probability `skew` the identity of an operation it takes part in (see `identities`)."""
    shape = batch.rhs.shape
    values = rng.integers(0, vocabulary.modulus, shape)
    if skew > 0:
        neutral = identities(rng, batch, vocabulary)
        values = np.where((rng.random(shape) < skew) & (neutral >= 0), neutral, values)
    values = np.where(rng.random(shape) < empty, vocabulary.empty, values)
    return np.where(batch.exists, values, -1)


def identities(rng: np.random.Generator, batch: GraphBatch, vocabulary: FactoredVocabulary) -> Ints:
    """A value for every node that leaves others as they are, int64 [batch, node]; -1 for that of an operation
    without identity.

    The identity of the operation in front of the node in one of the equations that use it, drawn at random
    (behind it where the node comes first); of any operation where nothing uses the node.
    """
    of_ops = (OPERATIONS[op].identity for op in vocabulary.ops)
    symbols = np.array([-1 if identity is None else identity for identity in of_ops])
    neutral = symbols[rng.integers(0, len(vocabulary.ops), batch.rhs.shape)]
    if len(set(symbols.tolist())) == 1:
        return neutral
    in_front = np.concatenate(
        [batch.operations[..., :1], batch.operations], axis=-1
    )  # [batch, node, operand]
    uses = np.argwhere((batch.operand_nodes >= 0) & (in_front >= 0))
    rows, nodes, operands = rng.permutation(uses).T
    neutral[rows, batch.operand_nodes[rows, nodes, operands]] = symbols[in_front[rows, nodes, operands]]
    return neutral


def skew_leaves(
    rng: np.random.Generator, batch: GraphBatch, vocabulary: FactoredVocabulary, skew: float
) -> GraphBatch:
    """The same graphs with every leaf's given value replaced by an operation's identity with probability `skew`."""
    if skew <= 0:
        return batch
    neutral = identities(rng, batch, vocabulary)
    replaced = (batch.n_operands == 0) & (rng.random(batch.rhs.shape) < skew) & (neutral >= 0)
    leaf_values = np.where(replaced, neutral, batch.leaf_values)
    factors = batch.factors.copy()
    rows, nodes = np.nonzero(replaced)
    factors[rows, batch.rhs[rows, nodes] - 2, NUMBER] = leaf_values[rows, nodes]
    return replace(batch, factors=factors, leaf_values=leaf_values)


def mixed_examples(
    rng: np.random.Generator,
    batch: GraphBatch,
    vocabulary: FactoredVocabulary,
    random: float,
    skew: float = 0.0,
    first_step: int = 0,
) -> Examples:
    """One step per graph: from a random state with probability `random`, else from a real run at a uniform
    step `first_step`..depth (depth, where a graph has no such step)."""
    deepest: Ints = batch.depths.max(axis=1)
    steps: Ints = rng.integers(np.minimum(first_step, deepest), deepest + 1, dtype=np.int64)
    inputs = values_after(batch, steps, true_values(batch, vocabulary), vocabulary)
    if random > 0:
        chosen = rng.random(len(batch)) < random
        inputs = np.where(chosen[:, None], random_values(rng, batch, vocabulary, skew), inputs)
    return Examples(np.arange(len(batch)), inputs, next_values(batch, inputs, vocabulary))


def paper_examples(
    rng: np.random.Generator,
    batch: GraphBatch,
    vocabulary: FactoredVocabulary,
    corrupt_batch: float = 0.0,
    corrupt_value: float = 0.5,
) -> Examples:
    """Every step 0..depth of every graph, true values as targets (Altabaa et al. 2025).

    With probability `corrupt_batch` the whole batch is corrupted: each value computed in the step just
    before is replaced, with probability `corrupt_value`, by a uniform symbol out of 0..modulus-1 and EMPTY.
    The targets stay true.
    """
    per_graph = batch.depths.max(axis=1) + 1
    graphs = np.repeat(np.arange(len(batch)), per_graph)
    steps = np.arange(len(graphs)) - np.repeat(np.cumsum(per_graph) - per_graph, per_graph)
    truth = true_values(batch, vocabulary)[graphs]
    depths, exists = batch.depths[graphs], batch.exists[graphs]

    def shown(limit: Ints) -> Ints:
        return np.where(exists, np.where(depths < limit[:, None], truth, vocabulary.empty), -1)

    inputs = shown(steps)
    if corrupt_batch > 0 and rng.random() < corrupt_batch:
        fresh: Bools = exists & (depths == steps[:, None] - 1)
        replaced = fresh & (rng.random(inputs.shape) < corrupt_value)
        symbols = rng.integers(0, vocabulary.modulus + 1, inputs.shape)
        inputs = np.where(
            replaced, np.where(symbols == vocabulary.modulus, vocabulary.empty, symbols), inputs
        )
    return Examples(graphs, inputs, shown(steps + 1))
