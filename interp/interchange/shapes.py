"""Graphs of one shape: the same number of operands node by node, so that every token stands at the same position.

Whatever else differs (names, operands, operations, numbers), the last right-hand side of all of them is one position,
and many of them run together from the middle of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.graph import ComputationGraph
from models.vocabulary import FactoredVocabulary

TRAINED: Final = (0, 0, 0, 0, 0, 0, 2, 1, 3, 2, 3)
HELD_OUT: Final = (0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 1, 3)
"""Numbers of operands, 0 for a leaf; the last node, which is asked about, has three."""


def graph_of_shape(
    shape: Sequence[int], vocabulary: FactoredVocabulary, rng: np.random.Generator
) -> ComputationGraph:
    """A graph with so many operands node by node, all else drawn uniformly.

    Raises:
        ValueError: a node with more operands than there are nodes before it.
    """
    names = rng.choice(vocabulary.n_variables, len(shape), replace=False)
    equations: list[str] = []
    for node, width in enumerate(shape):
        if width > node:
            raise ValueError(
                f"node {node} has {width} operands; allowed are 0 to {node}, the nodes before it"
            )
        if not width:
            left = str(rng.integers(vocabulary.modulus))
        else:
            operands = [f"x_{names[index]}" for index in rng.choice(node, width, replace=False)]
            operations = rng.choice(vocabulary.ops, width - 1)
            left = operands[0]
            for operation, operand in zip(operations, operands[1:], strict=True):
                left += f" {operation} {operand}"
        equations.append(f"{left} = x_{names[node]}")
    return ComputationGraph.parse("; ".join(equations), vocabulary.modulus, vocabulary.n_variables)
