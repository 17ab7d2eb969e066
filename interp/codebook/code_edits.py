"""Edits of one code of a state after which the state is still that of a graph: where they can be made, with what.

:data:`KINDS` of edits:

``value``       another number, or EMPTY, at a right-hand side: the algorithm overwrites it with what its operands give
``leaf``        another number at a leaf's value token, which stays
``operand``     the name of another earlier node (none that the node names already) at an operand, which stays
``operation``   another operation, where the vocabulary has several, which stays

Every other code that can be put into a state (a syntax symbol, the name of a right-hand side, a value beside a ``=``)
leaves a text that is no graph, about which the algorithm says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from interp.synchronous import token_places
from models.graph import ComputationGraph
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, FactoredVocabulary

KINDS: Final = ("value", "leaf", "operand", "operation")
FACTOR_OF: Final = {"value": "value", "leaf": "value", "operand": "variable", "operation": "operation"}


@dataclass(frozen=True)
class CodeEdit:
    """Code ``after`` instead of ``before`` for ``factor`` at ``pos`` of the state entering step ``step``."""

    graph: int
    step: int
    kind: str
    node: int
    pos: int
    factor: str
    before: int
    after: int


def targets_of(graph: ComputationGraph, kind: str, vocabulary: FactoredVocabulary) -> list[tuple[int, int]]:
    """(node, position) of every token of a graph that an edit of a kind can be made at."""
    return [
        (node, pos)
        for pos, (node, place) in enumerate(token_places(graph))
        if _is_target(graph, node, place, kind, vocabulary)
    ]


def codes_at(run: Trajectory, graph: int, step: int, kind: str, node: int, pos: int) -> list[int]:
    """The codes that an edit may put in at a token of :func:`targets_of`, without the one that stands there."""
    state = run.states[step, graph]
    before = int(state[pos, FACTORS.index(FACTOR_OF[kind])])
    return [code for code in _codes(run, graph, node, kind, state) if code != before]


def all_edits(run: Trajectory, graph: int, steps: Sequence[int]) -> Iterator[CodeEdit]:
    """Every edit of one graph's run that leaves a graph, by step, kind, token and code."""
    for step in steps:
        for kind in KINDS:
            factor = FACTOR_OF[kind]
            for node, pos in targets_of(run.encoded.graphs[graph], kind, run.vocabulary):
                before = int(run.states[step, graph, pos, FACTORS.index(factor)])
                for after in codes_at(run, graph, step, kind, node, pos):
                    yield CodeEdit(graph, step, kind, node, pos, factor, before, after)


def draw_edit(
    run: Trajectory,
    graph: int,
    steps: Sequence[int],
    kind: str,
    targets: Sequence[tuple[int, int]],
    rng: np.random.Generator,
) -> CodeEdit | None:
    """An edit of one kind: token, step and code uniform among what is allowed, in this order; None where no code is."""
    node, pos = targets[int(rng.integers(len(targets)))]
    step = steps[int(rng.integers(len(steps)))]
    choices = codes_at(run, graph, step, kind, node, pos)
    if not choices:
        return None
    factor = FACTOR_OF[kind]
    before = int(run.states[step, graph, pos, FACTORS.index(factor)])
    return CodeEdit(graph, step, kind, node, pos, factor, before, choices[rng.integers(len(choices))])


def edited_states(run: Trajectory, edits: Sequence[CodeEdit], n_pos: int) -> Tensor:
    """Int [edit, pos, factor]: the state that each edit leaves, cut to ``n_pos`` positions."""
    graph, step, pos, after = (
        torch.tensor([getattr(edit, name) for edit in edits]) for name in ("graph", "step", "pos", "after")
    )
    factor = torch.tensor([FACTORS.index(edit.factor) for edit in edits])
    states = run.states[step, graph, :n_pos].clone()
    states[torch.arange(len(edits)), pos, factor] = after
    return states


def _is_target(
    graph: ComputationGraph, node: int, place: int, kind: str, vocabulary: FactoredVocabulary
) -> bool:
    operands = len(graph.nodes[node].operands)
    if kind == "value":
        return place == 2 * max(operands, 1)
    if kind == "leaf":
        return operands == 0 and place == 0
    if kind == "operand":
        return place % 2 == 0 and place < 2 * operands and node > operands
    return len(vocabulary.ops) > 1 and place % 2 == 1 and place < 2 * operands - 1


def _codes(run: Trajectory, graph: int, node: int, kind: str, state: Tensor) -> list[int]:
    vocabulary = run.vocabulary
    if kind == "value":
        return [*range(vocabulary.modulus), vocabulary.empty]
    if kind == "leaf":
        return list(range(vocabulary.modulus))
    if kind == "operation":
        return list(range(len(vocabulary.ops)))
    operands = run.encoded.graphs[graph].nodes[node].operands
    return [int(state[run.encoded.rhs[graph, other], 1]) for other in range(node) if other not in operands]
