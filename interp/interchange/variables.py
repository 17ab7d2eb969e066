"""The algorithm's variables at one node, and what its step writes when one of them is taken from another state.

A node of three operands, ``first OP middle OP last = own``, read from a state as :mod:`interp.oracle_step` reads it:

    name:first, name:middle, name:last       which node the operand is                        factor variable
    value:first, value:middle, value:last    what that node shows, EMPTY where it is unknown  factor value
    partial                                  first OP middle, EMPTY where one is unknown      factor value
    status                                   whether all operands are known                   factor value
    own                                      what is written                                  factor value
    shown                                    what stood at the node's own right-hand side     factor value

With one variable taken from the source and all else from the base, the algorithm writes: with another name the value
that the base shows at the node of that name; with another value or partial sum what the operations make of it; with
another status EMPTY where the source's operands are not known; with another own value that value. ``shown`` the
algorithm does not use: what is asked of it is the rival hypothesis, that what stands there is written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.symbolic import values_after_step
from models.vocabulary import EncodedGraphs, FactoredVocabulary

PLACES: Final = ("first", "middle", "last")
NAMES: Final = tuple(f"name:{place}" for place in PLACES)
VALUES: Final = tuple(f"value:{place}" for place in PLACES)
VARIABLES: Final = (*NAMES, *VALUES, "partial", "status", "own", "shown")
FACTOR_OF: Final = {name: "variable" if name in NAMES else "value" for name in VARIABLES}


@dataclass(frozen=True, eq=False)
class NodeReading:
    """What the last node of each row reads from its state.

    Attributes:
        names: int [row, 3], of the operands, first to last. values: int [row, 3], symbols shown by them.
        operations: int [row, 2]. shown: int [row], at the node's own right-hand side.
        by_name: int [row, variable], the symbol shown by the node of every name; EMPTY where there is none.
    """

    names: Tensor
    values: Tensor
    operations: Tensor
    shown: Tensor
    by_name: Tensor
    vocabulary: FactoredVocabulary

    @classmethod
    def of(cls, state: Tensor, encoded: EncodedGraphs, vocabulary: FactoredVocabulary) -> NodeReading:
        """Of states int [row, pos, factor] of one layout, whose last node has three operands."""
        rhs, at = encoded.rhs[0], encoded.operands[0, -1]
        by_name = torch.full((len(state), vocabulary.n_variables + 1), vocabulary.empty)
        by_name.scatter_(1, state[:, rhs, 1], state[:, rhs, 3])
        names = state[:, at, 1]
        return cls(
            names,
            by_name.gather(1, names),
            state[:, at[1:] - 1, 2],
            state[:, rhs[-1], 3],
            by_name,
            vocabulary,
        )

    def result(self, values: Tensor | None = None) -> Tensor:
        """Int [row]: what the algorithm writes, with these values [row, 3] instead of its own."""
        return self._computed(self.values if values is None else values, self.operations)

    def partial(self) -> Tensor:
        """Int [row]: the first operation's result."""
        return self._computed(self.values[:, :2], self.operations[:, :1])

    def labels(self, variable: str) -> Tensor:
        """Int [row]: the variable's value in the state."""
        if variable in NAMES:
            return self.names[:, NAMES.index(variable)]
        if variable in VALUES:
            return self.values[:, VALUES.index(variable)]
        if variable == "partial":
            return self.partial()
        if variable == "status":
            return (self.result() != self.vocabulary.empty).long()
        return self.result() if variable == "own" else self.shown

    def swapped(self, variable: str, source: NodeReading) -> Tensor:
        """Int [row]: what the algorithm writes from this state with ``variable`` as the source has it."""
        if variable == "own":
            return source.result()
        if variable == "shown":
            return source.shown
        if variable == "status":
            return torch.where(source.labels("status") == 1, self.result(), self.vocabulary.empty)
        if variable == "partial":
            both = torch.stack([source.partial(), self.values[:, 2]], 1)
            return self._computed(both, self.operations[:, 1:])
        place = (NAMES if variable in NAMES else VALUES).index(variable)
        values = self.values.clone()
        if variable in NAMES:
            values[:, place] = self.by_name.gather(1, source.names[:, place : place + 1])[:, 0]
        else:
            values[:, place] = source.values[:, place]
        return self.result(values)

    def _computed(self, values: Tensor, operations: Tensor) -> Tensor:
        read = values.T.numpy().copy(order="C")  # it is overwritten
        return torch.as_tensor(
            values_after_step(
                read=read,
                used=np.ones_like(read, dtype=np.bool_),
                operations=np.ascontiguousarray(operations.T.numpy()),
                given=read[0],
                ops=self.vocabulary.ops,
                modulus=self.vocabulary.modulus,
                empty=self.vocabulary.empty,
            )
        )
