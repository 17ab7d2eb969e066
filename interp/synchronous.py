"""The symbolic algorithm of Altabaa et al. 2025 on one text, state by state, with tokens put in by hand.

A step is :func:`models.symbolic.values_after_step`. From all EMPTY, a node of depth d shows its true value from the
state after step d on. A state here holds the text too: a model copies it from step to step, so a token that is replaced
in a state stays replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np

from models.graph import ComputationGraph
from models.parsing import Node
from models.symbolic import Ints, values_after_step

T = TypeVar("T")


@dataclass(frozen=True)
class SymbolicState:
    """What a discrete state says: the equations, and the value at every right-hand side, None where it is EMPTY."""

    nodes: tuple[Node, ...]
    values: tuple[int | None, ...]
    modulus: int

    def after(self, operands: Mapping[tuple[int, int], int | None] | None = None) -> SymbolicState:
        """The state that one step makes of this; ``operands``: (node, place) -> value that is read there instead."""
        equations = _equations(self.nodes)
        empty = self.modulus + 1
        shown = np.array([empty if value is None else value for value in self.values])
        read = shown[np.maximum(equations.operands, 0)]
        for (index, place), value in (operands or {}).items():
            read[place, index] = empty if value is None else value
        after = values_after_step(
            read=read,
            used=equations.operands >= 0,
            operations=equations.operations,
            given=equations.given,
            ops=equations.ops,
            modulus=self.modulus,
            empty=empty,
        )
        values: list[int] = after.tolist()
        return replace(self, values=tuple(None if value == empty else value for value in values))

    def with_tokens(self, other: SymbolicState, tokens: Sequence[tuple[int, int]]) -> SymbolicState:
        """This state with some tokens of another: (node, place) as :func:`token_places` counts them."""
        nodes, shown = list(self.nodes), list(self.values)
        for index, place in tokens:
            mine, theirs = nodes[index], other.nodes[index]
            if place == 2 * max(len(mine.operands), 1):
                shown[index] = other.values[index]
            elif mine.value is not None:
                nodes[index] = replace(mine, value=theirs.value) if place == 0 else mine
            elif place % 2 == 0:
                nodes[index] = replace(mine, operands=_put(mine.operands, place // 2, theirs.operands))
            elif place // 2 < len(mine.operations):
                nodes[index] = replace(mine, operations=_put(mine.operations, place // 2, theirs.operations))
        return replace(self, nodes=tuple(nodes), values=tuple(shown))


@dataclass(frozen=True)
class _Equations:
    """Nodes as arrays: operands int64 [place, node], operations int64 [place - 1, node] as indices of ``ops``, the
    values of leaves int64 [node]; -1 where there is none.
    """

    operands: Ints
    operations: Ints
    given: Ints
    ops: tuple[str, ...]


@lru_cache(maxsize=64)
def _equations(nodes: tuple[Node, ...]) -> _Equations:
    n_places = max(1, *(len(node.operands) for node in nodes))
    ops = tuple(sorted({name for node in nodes for name in node.operations}))
    operands = np.full((n_places, len(nodes)), -1, dtype=np.int64)
    operations = np.full((n_places - 1, len(nodes)), -1, dtype=np.int64)
    for index, node in enumerate(nodes):
        operands[: len(node.operands), index] = node.operands
        operations[: len(node.operations), index] = [ops.index(name) for name in node.operations]
    given = np.array([-1 if node.value is None else node.value for node in nodes])
    return _Equations(operands, operations, given, ops)


def symbolic_run(graph: ComputationGraph, n_steps: int) -> list[SymbolicState]:
    """The states before and after every step, from all EMPTY: n_steps + 1 of them."""
    states = [SymbolicState(graph.nodes, (None,) * len(graph), graph.modulus)]
    for _ in range(n_steps):
        states.append(states[-1].after())
    return states


def token_places(graph: ComputationGraph) -> list[tuple[int, int]]:
    """(node, place in its equation) of every position of the text; a separator is a place of the equation before it.

    A leaf's value is at place 0; operands are at 0, 2, ..., operations between them; the right-hand side of a node of
    k operands is at 2k (of a leaf at 2), behind its '='.
    """
    places = [
        (index, place)
        for index, node in enumerate(graph.nodes)
        for place in range(2 * max(len(node.operands), 1) + 2)
    ]
    return places[:-1]


def _put(own: tuple[T, ...], place: int, others: tuple[T, ...]) -> tuple[T, ...]:
    return (*own[:place], others[place], *own[place + 1 :])
