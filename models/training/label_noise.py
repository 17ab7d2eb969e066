"""Wrong labels that can be memorised: for a share of all operand tuples another value is the target, always the same.

In Doshi et al. (2024, arXiv 2310.13061) an example is a pair of operands, and a share of the pairs has a label drawn at
random, once. Graphs are never seen twice, operands are: so a label is wrong by what the operands of a node show (in
their order, so that a + b may be wrong and b + a right) and by the operations between them, in every graph and at every
step. Noise that was drawn anew with every graph could not be memorised; its mean would be learned.

Nodes of one operand, leaves and EMPTY keep their targets. A model of such labels solves no graphs; what it does is one
transition with some sums replaced.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.training.sampling import GraphBatch, Ints
from models.vocabulary import FactoredVocabulary

_SEED = 0


@cache
def wrong_by(share: float, modulus: int, n_operands: int, kinds: int = 1) -> Ints:
    """What is added to the value of each operand tuple, int64 [modulus, ..., modulus, kinds]: 0 where it is right.

    share: of the tuples of each kind, rounded, whose value is replaced by one of the others, all alike; a larger share
    has those of a smaller one among them. kinds: of an equation with so many operands, which operations it has.
    """
    rng = np.random.default_rng([_SEED, modulus, n_operands, kinds])
    size = modulus**n_operands
    found: Ints = np.zeros((size, kinds), np.int64)
    for kind in range(kinds):
        order: Ints = rng.permutation(size)
        chosen = order[: round(share * size)]
        found[chosen, kind] = rng.integers(1, modulus, size)[chosen]
    found.flags.writeable = False
    return found.reshape(*[modulus] * n_operands, kinds)


def with_wrong_labels(
    share: float, graphs: GraphBatch, inputs: Ints, targets: Ints, vocabulary: FactoredVocabulary
) -> Ints:
    """Targets int64 [batch, node] of one step with the wrong ones (:func:`wrong_by`) among them.

    inputs, targets: int64 [batch, node], values before and after a right step.
    """
    changed = targets.copy()
    modulus, n_ops = vocabulary.modulus, len(vocabulary.ops)
    for n_operands in (2, 3):
        rows, nodes = np.nonzero((graphs.n_operands == n_operands) & (targets != vocabulary.empty))
        read = inputs[rows[:, None], graphs.operand_nodes[rows, nodes, :n_operands]]
        codes = graphs.operations[rows, nodes, : n_operands - 1]
        kind = np.ravel_multi_index(tuple(codes.T), (n_ops,) * (n_operands - 1))
        wrong = wrong_by(share, modulus, n_operands, n_ops ** (n_operands - 1))
        changed[rows, nodes] = (targets[rows, nodes] + wrong[(*read.T, kind)]) % modulus
    return changed
