"""One synchronous step of the symbolic algorithm on discrete states as they are, whole batches at once.

:mod:`interp.synchronous` says what the algorithm makes of a text from all EMPTY; here it is asked about any state, such
as one that a model wrote or that was edited. What it reads stands in the state, at the positions of the original text:

    leaf        the number at its value token
    node        the names at its operands, the operations between them, and the values now shown at the right-hand
                sides that carry these names
    written     the result at the node's right-hand side, EMPTY where anything it needs is no number or no operation,
                or where a name is carried by no right-hand side or by several
    all else    stays as it is: the algorithm copies its text
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from models.symbolic import values_after_step
from models.vocabulary import EncodedGraphs, FactoredVocabulary

_VARIABLE, _OPERATION, _VALUE = 1, 2, 3
_TO_LEAF = 2
"""From a leaf's right-hand side back to its value token."""


def oracle_step(
    state: Int[Tensor, "batch pos factor"], encoded: EncodedGraphs, vocabulary: FactoredVocabulary
) -> Int[Tensor, "batch pos factor"]:
    """The state that one step of the algorithm makes of ``state``; row b has the layout of graph b of ``encoded``."""
    rows = torch.arange(len(state))[:, None]
    is_node, rhs = encoded.rhs >= 0, encoded.rhs.clamp_min(0)
    shown = state[rows, rhs, _VALUE]
    names = torch.where(is_node, state[rows, rhs, _VARIABLE], -1)

    given = encoded.operands >= 0
    at = (rows[..., None], encoded.operands.clamp_min(0))
    carries = state[at][..., _VARIABLE, None] == names[:, None, None, :]
    value = torch.where(
        carries.sum(-1) == 1,
        shown[rows[..., None], carries.int().argmax(-1)],
        vocabulary.empty,
    )
    operation = state[rows[..., None], (at[1] - 1).clamp_min(0), _OPERATION]
    unknown = given & (operation >= len(vocabulary.ops))
    unknown[..., 0] = False  # what stands before the first operand is no operation of this equation
    number = state[rows, (rhs - _TO_LEAF).clamp_min(0), _VALUE]
    result = torch.as_tensor(
        values_after_step(
            read=_by_place(value.masked_fill(unknown, vocabulary.empty)),
            used=_by_place(given),
            operations=_by_place(operation.masked_fill(~given, -1))[1:],
            given=_numpy(number.masked_fill(number >= vocabulary.modulus, vocabulary.empty)),
            ops=vocabulary.ops,
            modulus=vocabulary.modulus,
            empty=vocabulary.empty,
        )
    ).to(state.device)

    after = state.clone()
    batch, node = is_node.nonzero(as_tuple=True)
    after[batch, rhs[batch, node], _VALUE] = result[batch, node]
    return after


def _by_place(per_operand: Tensor) -> NDArray[Any]:
    """[batch, node, place] -> an array [place, batch, node] of its own."""
    return np.ascontiguousarray(_numpy(per_operand.permute(2, 0, 1)))


def _numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.numpy(force=True)


def oracle_steps(
    states: Int[Tensor, "state batch pos factor"], encoded: EncodedGraphs, vocabulary: FactoredVocabulary
) -> Int[Tensor, "step batch pos factor"]:
    """What the algorithm makes of every state but the last: [t] is the answer to ``states[t]``, which a run's
    ``states[t + 1]`` can be held against.
    """
    if len(states) < 2:
        return states[:0]
    return torch.stack([oracle_step(state, encoded, vocabulary) for state in states[:-1]])
