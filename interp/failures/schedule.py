"""The state that a perfect run would be in, step by step, and graphs of like size in batches.

The text of the graph with every value EMPTY that the synchronous algorithm (:mod:`interp.synchronous`) has not
computed: in the state entering step t a node shows its true value if its depth is less than t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs

TOKENS_AT_ONCE: Final = 8000
"""Positions of all graphs that run together."""


def right_values(encoded: EncodedGraphs, step: int, empty: int) -> Tensor:
    """Int [batch, node]: the value symbols in the state entering ``step``; -1 where there is no such node."""
    shown = torch.where(encoded.depths < step, encoded.values, empty)
    return torch.where(encoded.rhs >= 0, shown, -1)


def right_state(encoded: EncodedGraphs, step: int, empty: int) -> Tensor:
    """Int [batch, pos, factor]: the whole state entering ``step``."""
    state = encoded.factors.clone()
    row, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
    state[row, encoded.rhs[row, node], 3] = right_values(encoded, step, empty)[row, node]
    return state


def by_size(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], tokens: int = TOKENS_AT_ONCE
) -> Iterator[tuple[int, list[int], EncodedGraphs]]:
    """(nodes, indices of ``graphs``, these as the model reads them): graphs of one size, shortest texts first, as many
    as have ``tokens`` tokens together, at least one.

    Raises:
        ValueError: no graphs. VocabularyError: a graph the model cannot read.
    """
    if not graphs:
        raise ValueError("there are no graphs; at least one is needed")
    lengths = [int(length) for length in model.to_encoded(graphs).mask.sum(-1)]
    for size in sorted({len(graph) for graph in graphs}):
        batch: list[int] = []
        for index in sorted(
            (i for i, graph in enumerate(graphs) if len(graph) == size), key=lengths.__getitem__
        ):
            if batch and (len(batch) + 1) * lengths[index] > tokens:
                yield size, batch, model.to_encoded([graphs[i] for i in batch])
                batch = []
            batch.append(index)
        yield size, batch, model.to_encoded([graphs[i] for i in batch])
