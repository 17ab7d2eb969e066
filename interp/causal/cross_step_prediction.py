"""What the graph predicts for cross-step patching (:mod:`interp.causal.cross_step`): the algorithm, patched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interp.causal.normalising import normalised
from interp.engine.sites import Site, position_of
from interp.synchronous import SymbolicState, symbolic_run, token_places
from models.bounds import index_of
from models.graph import ComputationGraph
from models.vocabulary import EncodedGraphs

CARRIES: Final = ("entering", "output", "operand:<k>")
"""Hypotheses about what a site holds; the text of :mod:`interp.causal.cross_step` says what each means."""


def predicted_matrix(
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    sites: tuple[Site, ...],
    encoded: EncodedGraphs,
    score: Callable[[SymbolicState], float],
    lag: int | None,
    count: int,
    carries: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised [from step, to step] with the patch, and [to step] without."""
    every = token_places(clean)
    found = [position_of(site.pos, encoded) for site in sites]
    tokens = every if None in found else [every[position] for position in found if position is not None]
    patch = _Patch.parse(carries, tokens)
    length = count if lag is None else count + lag
    source, base = symbolic_run(clean, length), symbolic_run(corrupt, length)
    raw, without = np.empty((count, count)), np.empty(count)
    for j in range(count):
        last = count - 1 if lag is None else j + lag
        without[j] = score(base[last + 1])
        known: dict[tuple[SymbolicState, SymbolicState], float] = {}
        for i in range(count):
            key = source[i], source[i + 1]
            if key not in known:
                known[key] = score(patch.applied(source, i, base[j], last - j))
            raw[i, j] = known[key]
    ends = score(source[count]), score(base[count])
    return normalised(raw, *ends), normalised(without, *ends)


@dataclass(frozen=True)
class _Patch:
    """A hypothesis about the tokens that are put in; ``operand`` for that kind."""

    kind: str
    tokens: Sequence[tuple[int, int]]
    operand: int = 0

    @classmethod
    def parse(cls, carries: str, tokens: Sequence[tuple[int, int]]) -> _Patch:
        kind, _, number = carries.partition(":")
        if carries in ("entering", "output"):
            return cls(kind, tokens)
        if kind != "operand" or index_of(number.removeprefix("-")) is None:
            raise ValueError(f"carries is {carries!r}; allowed are {', '.join(CARRIES)}")
        return cls(kind, tokens, int(number))

    def applied(
        self, source: Sequence[SymbolicState], i: int, state: SymbolicState, more: int
    ) -> SymbolicState:
        """The state after the step that ``state`` enters and ``more`` others."""
        if self.kind == "entering":
            state = state.with_tokens(source[i], self.tokens).after()
        elif self.kind == "output":
            state = state.after().with_tokens(source[i + 1], self.tokens)
        else:
            state = state.after(self._operands(source[i]))
        for _ in range(more):
            state = state.after()
        return state

    def _operands(self, source: SymbolicState) -> Mapping[tuple[int, int], int | None]:
        read: dict[tuple[int, int], int | None] = {}
        for index, place in self.tokens:
            operands = source.nodes[index].operands
            if place == 2 * len(operands) and -len(operands) <= self.operand < len(operands):
                which = self.operand % len(operands)
                read[index, which] = source.values[operands[which]]
        return read


def score_of(
    state: SymbolicState,
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    nodes: Sequence[int],
    signed: bool,
) -> float:
    """The metric of symbols: share of the nodes that show the clean value, minus, if ``signed``, the corrupt one."""
    shown = [state.values[node] for node in nodes]
    right = sum(value == clean.values_by_node[node] for node, value in zip(nodes, shown, strict=True))
    wrong = sum(value == corrupt.values_by_node[node] for node, value in zip(nodes, shown, strict=True))
    return (right - wrong * signed) / len(nodes)
