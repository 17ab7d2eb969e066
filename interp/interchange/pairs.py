"""Pairs of states, base and source, in which many variables of one node differ at once.

Base and source are the same text with other numbers at the leaves and other operands at the last node, each in the
algorithm's state that enters a step; at the last right-hand side itself stands a random number, so that what is shown
there tells nothing of the rest. Pairs are drawn by step and depth: as many for every depth that a node may have had by
then (1 up to the step), operands, operations and numbers uniform. In the base the operands are known; in the source
one of them is not, in one of five pairs in which there is any.

Of a variable those pairs are asked in which the answer says something: what the algorithm writes with the variable
swapped is neither what it writes from the base nor (but for ``own`` and ``status``) what it writes from the source. An
intervention without effect scores 0 there, and so does one that replaces everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from interp.interchange.shapes import graph_of_shape
from interp.interchange.variables import VARIABLES, NodeReading
from interp.oracle_step import oracle_step
from models.one_line import one_line
from models.vocabulary import EncodedGraphs, FactoredVocabulary

_UNKNOWN: Final = 0.2
_WHOLE: Final = ("own", "status")
"""Variables that tell all that the source's answer can be."""


@one_line
@dataclass(frozen=True, eq=False)
class StatePairs:
    """Pairs of states of one shape.

    Attributes:
        base, source: int [pair, pos, factor]. step, depth: int [pair]; depth of the last node of the base.
        pos: of the last right-hand side.
        labels: variable -> int [pair], its value in the base.
        targets: variable -> int [pair], what the algorithm writes with it swapped.
        asked: variable -> bool [pair], where the answer says something.
    """

    base: Tensor
    source: Tensor
    step: Tensor
    depth: Tensor
    pos: int
    labels: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    asked: Mapping[str, Tensor]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.base)

    def cells(self) -> list[tuple[int, int]]:
        """Every (step, depth) that there are pairs of, in order."""
        steps: list[int] = self.step.numpy().tolist()
        depths: list[int] = self.depth.numpy().tolist()
        return sorted(set(zip(steps, depths, strict=True)))


def draw_pairs(
    vocabulary: FactoredVocabulary,
    shape: Sequence[int],
    steps: Sequence[int],
    per_step: int,
    seed: int,
) -> StatePairs:
    """``per_step`` pairs for every one of ``steps``.

    Raises:
        ValueError: a step before 1, in which no node of three operands is computed; fewer than one pair; a last node
            without three operands.
    """
    if not steps or min(steps) < 1:
        raise ValueError(f"steps are {list(steps)}; allowed are 1 and later: before, no operand is known")
    if per_step < 1 or shape[-1] != 3:
        raise ValueError(
            f"there are {per_step} pairs of a node of {shape[-1]} operands; allowed: 1 pair or more, 3 operands"
        )
    rng = np.random.default_rng(seed)
    graphs = [graph_of_shape(shape, vocabulary, rng) for _ in range(per_step * len(steps))]
    encoded = vocabulary.encode(graphs)
    step = torch.tensor([step for step in steps for _ in range(per_step)])
    base, depth = _with_operands(encoded.factors.clone(), encoded, step, rng, known_only=True)
    numbers = encoded.factors.clone()
    leaves = [node for node, width in enumerate(shape) if not width]
    at = encoded.rhs[0, leaves] - 2
    numbers[:, at, 3] = torch.as_tensor(rng.integers(vocabulary.modulus, size=(len(numbers), len(at))))
    source, _ = _with_operands(numbers, encoded, step, rng, known_only=False)
    states = [_entering(text, encoded, vocabulary, step) for text in (base, source)]
    pos = int(encoded.rhs[0, -1])
    for state in states:
        state[:, pos, 3] = torch.as_tensor(rng.integers(vocabulary.modulus, size=len(state)))
    readings = [NodeReading.of(state, encoded, vocabulary) for state in states]
    targets = {name: readings[0].swapped(name, readings[1]) for name in VARIABLES}
    own, other = (reading.result() for reading in readings)
    asked = {
        name: (target != own) & ((target != other) | (name in _WHOLE)) for name, target in targets.items()
    }
    labels = {name: readings[0].labels(name) for name in VARIABLES}
    return StatePairs(states[0], states[1], step, depth, pos, labels, targets, asked)


def _with_operands(
    text: Tensor, encoded: EncodedGraphs, step: Tensor, rng: np.random.Generator, known_only: bool
) -> tuple[Tensor, Tensor]:
    """The texts with other operands at the last node, and its depth; a node of depth d is known entering step d + 1."""
    last = encoded.rhs.shape[1] - 1
    names = text[torch.arange(len(text))[:, None], encoded.rhs, 1]
    depths = np.zeros(len(text), dtype=np.int64)
    for row in range(len(text)):
        depth, at = encoded.depths[row, :last].numpy(), int(step[row])
        known = np.flatnonzero(depth < at)
        wanted = int(rng.integers(min(at, int(depth[known].max()) + 1)))
        deepest = int(rng.choice(np.flatnonzero(depth == wanted)))
        others = [node for node in known if node != deepest and depth[node] <= wanted]
        chosen = rng.permutation([deepest, *rng.choice(others, 2, replace=False)])
        unknown = np.flatnonzero(depth >= at)
        if not known_only and len(unknown) and rng.random() < _UNKNOWN:
            chosen[rng.integers(3)] = rng.choice(unknown)
        text[row, encoded.operands[row, last], 1] = names[row, torch.as_tensor(chosen)]
        depths[row] = 1 + depth[chosen].max()
    return text, torch.as_tensor(depths)


def _entering(text: Tensor, encoded: EncodedGraphs, vocabulary: FactoredVocabulary, step: Tensor) -> Tensor:
    """The algorithm's state that enters the step of each row."""
    state = text
    found = torch.empty_like(text)
    for number in range(int(step.max()) + 1):
        found[step == number] = state[step == number]
        state = oracle_step(state, encoded, vocabulary)
    return found
