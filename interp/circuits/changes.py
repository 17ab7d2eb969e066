"""What a step reads for one node, each thing put to the test: states in which that one thing is another.

    name       an operand's token, where the operand's name stands
    value      the right-hand side of an operand, where its value is shown
    operation  the operation before an operand (where the vocabulary has several)
    number     a leaf's number

A change of one thing tells only where it decides what is written. Where an operand is missing (shows no value), EMPTY
is written whatever the others are; so all missing operands are made to show a value too (``filled``), and a change is
held against the step that writes what follows from these fills alone (``without``). Where nothing is missing, nothing
is filled, and ``without`` is the run itself.

What is predicted is :func:`interp.oracle_step.oracle_step`'s answer to the changed state; changes that would leave it
as it is are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor

from interp.data.labels import STATUSES
from interp.engine.interventions import Recording
from interp.mechanism.perturbed import Controlled
from models.graph import ComputationGraph, Node
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS, EncodedGraphs, FactoredVocabulary

KINDS: Final = ("name", "value", "operation", "number")
_VARIABLE, _OPERATION, _VALUE = (FACTORS.index(name) for name in ("variable", "operation", "value"))
_TO_LEAF: Final = 2
"""From a leaf's right-hand side back to its number."""


@dataclass(frozen=True)
class Thing:
    """One thing that is read for a node.

    Attributes:
        kind: one of :data:`KINDS`.
        operand: whose (from 0; of an operation the operand behind it); None for a leaf's number.
        pos: the position where it stands.
    """

    kind: str
    operand: int | None
    pos: int


@one_line
@dataclass(frozen=True, eq=False)
class Change:
    """Another one in a thing's place.

    Attributes:
        states: the variations; of none where no change can be told apart.
        filled: int [pos, factor]; the same state without the change.
        fills: operands that were made to show a value, beside the change.
        predicted: int [variation]; the value symbol that the algorithm writes.
        without: the value symbol that it writes in ``filled``.
    """

    thing: Thing
    states: Controlled
    filled: Tensor
    fills: tuple[int, ...]
    predicted: Tensor
    without: int


@one_line
@dataclass(frozen=True, eq=False)
class Situation:
    """One node at one step of a run."""

    model: RecurrentTransformer
    recording: Recording
    node: int
    step: int

    @property
    def graph(self) -> ComputationGraph:
        """The graph that is run."""
        return self.recording.graph

    @property
    def equation(self) -> Node:
        """The node itself."""
        return self.graph.nodes[self.node]

    @property
    def encoded(self) -> EncodedGraphs:
        """The graph as the model reads it."""
        return self.recording.encoded

    @property
    def vocabulary(self) -> FactoredVocabulary:
        """The model's symbols."""
        return self.model.vocabulary

    @property
    def status(self) -> str:
        """One of :data:`interp.data.labels.STATUSES`, by the algorithm's schedule."""
        return STATUSES[int(np.sign(self.step - self.graph.depths_by_node[self.node])) + 1]

    @cached_property
    def state(self) -> Tensor:
        """Int [pos, factor]: what enters the step."""
        return self.recording.trajectory.states[self.step, 0]

    def rhs_of(self, node: int) -> int:
        """Position where a node shows its value."""
        return int(self.encoded.rhs[0, node])

    def shown(self, node: int) -> int:
        """The value symbol that a node shows as the step is entered."""
        return int(self.state[self.rhs_of(node), _VALUE])

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """Operands (from 0) that show no value."""
        operands = enumerate(self.equation.operands)
        return tuple(k for k, operand in operands if self.shown(operand) >= self.vocabulary.modulus)

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """All that the algorithm reads for the node."""
        rhs = self.rhs_of(self.node)
        if not self.equation.operands:
            return (Thing("number", None, rhs - _TO_LEAF),)
        found: list[Thing] = []
        for k, operand in enumerate(self.equation.operands):
            token = int(self.encoded.operands[0, self.node, k])
            found += [Thing("name", k, token), Thing("value", k, self.rhs_of(operand))]
            if k and len(self.vocabulary.ops) > 1:
                found.append(Thing("operation", k, token - 1))
        return tuple(found)

    def read(self, thing: Thing) -> str:
        """What stands there."""
        row = self.state[thing.pos]
        if thing.kind == "name":
            named = {node.variable: node.name for node in self.graph.nodes}
            variable = int(row[_VARIABLE])
            return named.get(variable, self.vocabulary.symbols("variable")[variable])
        factor = "operation" if thing.kind == "operation" else "value"
        return self.vocabulary.symbols(factor)[int(row[FACTORS.index(factor)])]

    def controlled(self, states: Tensor, vary: str, labels: Sequence[str]) -> Controlled:
        """States of this node and step."""
        return Controlled(
            self.graph, self.node, vary, self.step, self.status, states, tuple(labels), self.encoded
        )

    def written_by_algorithm(self, states: Tensor) -> Tensor:
        """Int [row]: the value symbol of the node after one step from states int [row, pos, factor]."""
        return self.controlled(states, "", ()).truth(self.vocabulary)


def change(situation: Situation, thing: Thing, n: int, seed: int) -> Change:
    """At most ``n`` variations of a thing, drawn with ``seed``, that change what the algorithm writes."""
    rng = np.random.default_rng([seed, situation.step, situation.things.index(thing)])
    own = thing.operand if thing.kind in ("name", "value") else None
    fills = tuple(k for k in situation.missing if k != own)
    filled = situation.state.clone()
    modulus = situation.vocabulary.modulus
    for k in fills:
        # Not 0, behind which a product would hide everything else.
        _show(situation, filled, situation.equation.operands[k], int(rng.integers(1, modulus)))
    variations = list(_variations(situation, thing, filled))
    states = torch.stack([filled, *(state for _, state in variations)])
    written = situation.written_by_algorithm(states)
    order = cast("list[int]", rng.permutation(len(variations)).tolist())
    telling = [i for i in order if written[i + 1] != written[0]]
    # Another value tells more than EMPTY.
    telling = sorted(telling, key=lambda i: int(written[i + 1]) >= modulus)[:n]
    rows = [i + 1 for i in telling]
    labels = [variations[i][0] for i in telling]
    changed = situation.controlled(states[rows], f"{thing.kind}:{thing.operand}", labels)
    return Change(thing, changed, filled, fills, written[rows], int(written[0]))


def _variations(situation: Situation, thing: Thing, filled: Tensor) -> Iterator[tuple[str, Tensor]]:
    """(what it is instead, state int [pos, factor]) for all there could be, the one that is there left out."""
    graph, vocabulary, operands = situation.graph, situation.vocabulary, situation.equation.operands
    if thing.kind == "name":
        for other in range(situation.node):
            if other not in operands:
                state = filled.clone()
                state[thing.pos, _VARIABLE] = graph.nodes[other].variable
                yield graph.nodes[other].name, state
    elif thing.kind == "operation":
        for symbol, name in enumerate(vocabulary.ops):
            if symbol != int(filled[thing.pos, _OPERATION]):
                state = filled.clone()
                state[thing.pos, _OPERATION] = symbol
                yield name, state
    else:
        for value in range(vocabulary.modulus):
            if value == int(filled[thing.pos, _VALUE]):
                continue
            state = filled.clone()
            if thing.operand is None:
                state[thing.pos, _VALUE] = value
            else:
                _show(situation, state, operands[thing.operand], value)
            yield str(value), state


def _show(situation: Situation, state: Tensor, node: int, value: int) -> None:
    """Make a node show a value; a leaf's number says the same."""
    rhs = situation.rhs_of(node)
    state[rhs, _VALUE] = value
    if situation.graph.nodes[node].value is not None:
        state[rhs - _TO_LEAF, _VALUE] = value
