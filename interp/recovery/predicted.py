"""Where the algorithm goes from states as they are: many rows of one graph's layout, each state computed once."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from interp.oracle_step import oracle_step
from models.vocabulary import EncodedGraphs, FactoredVocabulary

_AT_ONCE = 256
"""States of one call: an intermediate of the oracle has as many entries as rows x nodes x operands x nodes."""


def predicted_paths(
    states: Tensor, encoded: EncodedGraphs, vocabulary: FactoredVocabulary, n_steps: int
) -> Tensor:
    """Packed states int [n_steps + 1, row, pos] of the algorithm from ``states`` int [row, pos, factor] of one graph.

    A state that was met before, by any row, is not computed again.
    """
    known: dict[bytes, Tensor] = {}
    path = [vocabulary.pack(states)]
    for _ in range(n_steps):
        keys = [row.numpy().tobytes() for row in path[-1]]
        new = list({key: row for row, key in enumerate(keys) if key not in known}.values())
        for begin in range(0, len(new), _AT_ONCE):
            chosen = new[begin : begin + _AT_ONCE]
            entering = vocabulary.unpack(path[-1][chosen])
            after = vocabulary.pack(oracle_step(entering, repeated(encoded, len(chosen)), vocabulary))
            known |= zip((keys[row] for row in chosen), after, strict=True)
        path.append(torch.stack([known[key] for key in keys]))
    return torch.stack(path)


def repeated(encoded: EncodedGraphs, n_rows: int) -> EncodedGraphs:
    """One graph's layout, ``n_rows`` times, without a copy."""
    tensors = {
        field.name: getattr(encoded, field.name)[:1].expand(n_rows, *getattr(encoded, field.name).shape[1:])
        for field in fields(encoded)[1:]
    }
    return EncodedGraphs(encoded.graphs[:1] * n_rows, **tensors)
