"""Which codes of a state the codes of the next depend on: the edges between steps, measured by replay.

A node is (step, equation, factor): the symbols of one factor in one equation of the state that enters a step. Its
symbols are replaced by others that could stand there, one step is run, and every node of the next state that shows
another symbol depends on it. The weight of an edge is the share of draws in which it does.

    value       numbers, and the right-hand side: any other number
    variable    names: any that the graph does not use (where it uses all: any other)
    operation   operations: any other operation of the model; none where there is but one
    syntax      any other of the five symbols that are no padding

A state holds all that a step is given, so there is no error term: the codes that an edge leads from, replaced together,
have as much effect on a code as the whole state has. :meth:`StateLinks.complete` measures how far they do.

Effects need not add up: codes without an effect of their own may have one together. :meth:`StateLinks.additive` says of
how many codes that is not so, when everything that no edge leads from is replaced at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.engine.interventions import Recording, SetCode, record
from interp.engine.replay import run_interventions
from interp.progress import followed
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS, FactoredVocabulary

StateNode = tuple[int, int, str]
"""State (0: the text), equation, factor."""


@one_line
@dataclass(frozen=True, eq=False)
class StateLinks:
    """The edges between the states of one run.

    Attributes:
        run: the run.
        weights: float [step, node of the next state, node of the state], nodes as ``equation * 4 + factor``.
        draws: how often every node was replaced.
        seed: of what was drawn.
    """

    run: Recording
    weights: NDArray[np.float64]
    draws: int
    seed: int

    @property
    def n_steps(self) -> int:
        """Steps of the run."""
        return len(self.weights)

    @cached_property
    def _codes(self) -> _Codes:
        return _Codes.of(self.run)

    def positions(self, node: int) -> list[int]:
        """Positions whose symbols a node is made of."""
        return self._codes.positions(*divmod(node, len(FACTORS)))

    def replaced(self, state: int, nodes: Sequence[int], rng: np.random.Generator) -> Tensor:
        """The state, int [pos, factor], with the symbols of some nodes replaced."""
        after: Tensor = self.run.trajectory.states[state, 0].clone()
        for node in nodes:
            for code in self._codes.replaced(state, node, rng):
                after[int(code.pos), FACTORS.index(code.factor)] = int(code.symbol)
        return after

    def complete(self, nodes: Sequence[tuple[int, int]]) -> float:
        """Of the effect that the whole state has on (state, node) pairs, state 1 or later, the share that the nodes
        with an edge into each have when they are replaced together.

        An effect is the share of draws, :attr:`draws` for every pair, in which a symbol of the node changes; shares are
        those of sums over pairs, and at most 1.
        """
        rng = np.random.default_rng(self.seed)
        own = whole = 0
        for state, chosen in followed(_by_state(nodes)):
            drawn = [
                [self._codes.replaced(state - 1, one, rng) for one in range(self.weights.shape[2])]
                for _ in range(self.draws)
            ]
            sources = [np.flatnonzero(self.weights[state - 1, node]) for node in chosen]
            given = [
                [code for one in into for code in codes[one]]
                for into in (range(self.weights.shape[2]), *sources)
                for codes in drawn
            ]
            changed = self._changed(state, given, chosen)
            whole += int(changed[: self.draws].sum())
            own += sum(
                int(changed[self.draws * (place + 1) : self.draws * (place + 2), place].sum())
                for place in range(len(chosen))
            )
        return min(1.0, own / whole) if whole else float("nan")

    def additive(self, nodes: Sequence[tuple[int, int]], factors: Sequence[str] = FACTORS) -> float:
        """Of (state, node) pairs, state 1 or later, the share that keeps its symbols when all codes of ``factors`` that
        it has no edge from are replaced at once, in one draw each.
        """
        kept, rng = 0, np.random.default_rng(self.seed)
        for state, chosen in followed(_by_state(nodes)):
            given = [
                [
                    code
                    for one in np.flatnonzero(self.weights[state - 1, node] == 0).tolist()
                    if FACTORS[one % len(FACTORS)] in factors
                    for code in self._codes.replaced(state - 1, one, rng)
                ]
                for node in chosen
            ]
            kept += int((~self._changed(state, given, chosen).diagonal()).sum())
        return kept / len(nodes) if nodes else float("nan")

    def _changed(self, state: int, given: list[list[SetCode]], nodes: Sequence[int]) -> NDArray[np.bool_]:
        """Bool [given, node]: whether a node of a state shows other symbols after codes of the one before are set."""
        where = [(self.positions(node), node % len(FACTORS)) for node in nodes]
        before = self.run.trajectory.states[state, 0]
        found: list[list[bool]] = []
        for replay in run_interventions(self.run.model, self.run, given, state, None):
            after = replay.states[state]
            found.append([not torch.equal(after[at], before[at]) for at in where])
        return np.array(found)


def state_links(
    model: RecurrentTransformer,
    graph: ComputationGraph,
    draws: int = 2,
    seed: int = 0,
    n_steps: int | None = None,
) -> StateLinks:
    """Replace the symbols of every node of every state, and see what the next state makes of it.

    Raises:
        ValueError: a model without a discrete state, fewer than one draw.

    Examples:
        >>> from interp import state_links
        >>> from models import ComputationGraph, load
        >>> links = state_links(load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c"))
        >>> value_of_c = 2 * 4 + 3
        >>> before = links.weights[1, value_of_c].nonzero()[0]
        >>> [int(node) // 4 for node in before if node % 4 == 3]  # values that it depends on
        [0, 1]
    """
    if model.cfg.bottleneck != "discrete":
        raise ValueError(
            f"this model passes on a {model.cfg.bottleneck} state, whose codes are not all that a step is given; "
            "allowed are models with bottleneck 'discrete'"
        )
    if draws < 1:
        raise ValueError(f"draws is {draws}; allowed are 1 or more")
    run = record(model, graph, n_steps)
    rng = np.random.default_rng(seed)
    n_nodes = len(graph) * len(FACTORS)
    weights = np.zeros((run.n_steps, n_nodes, n_nodes))
    codes = _Codes.of(run)
    where = [codes.positions(*divmod(node, len(FACTORS))) for node in range(n_nodes)]
    known: dict[bytes, NDArray[np.float64]] = {}
    for step in followed(range(run.n_steps)):
        entering = run.trajectory.states[step, 0].numpy(force=True).tobytes()
        if entering not in known:
            known[entering] = _links_of_step(run, codes, step, where, draws, rng)
        weights[step] = known[entering]
    return StateLinks(run, weights, draws, seed)


def _links_of_step(
    run: Recording,
    codes: _Codes,
    step: int,
    where: Sequence[list[int]],
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    given: list[list[SetCode]] = []
    owners: list[int] = []
    for node in range(len(where)):
        for _ in range(draws):
            drawn = codes.replaced(step, node, rng)
            if drawn:
                given.append(drawn)
                owners.append(node)
    found = np.zeros((len(where), len(where)))
    before = run.trajectory.states[step + 1, 0]
    replays = run_interventions(run.model, run, given, step + 1, None)
    for owner, replay in zip(owners, replays, strict=True):
        packed = replay.differing.get(step + 1)
        if packed is None:
            continue
        changed = run.model.vocabulary.unpack(packed) != before
        found[list(_nodes_of(changed, where)), owner] += 1 / draws
    return found


def _by_state(nodes: Sequence[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    return [(state, [node for at, node in nodes if at == state]) for state in sorted({at for at, _ in nodes})]


def _nodes_of(changed: Tensor, where: Sequence[list[int]]) -> Iterator[int]:
    for node, positions in enumerate(where):
        if positions and bool(changed[positions, node % len(FACTORS)].any()):
            yield node


@dataclass(frozen=True, eq=False)
class _Codes:
    """The codes of a run's states as plain numbers, which are read often."""

    rhs: list[int]
    text: list[list[int]]
    states: list[list[list[int]]]
    vocabulary: FactoredVocabulary

    @classmethod
    def of(cls, run: Recording) -> _Codes:
        encoded, states = run.encoded, run.trajectory.states[:, 0]
        text, rhs = _integers(encoded.factors[0].T), _integers(encoded.rhs[0])
        return cls(rhs, text, _integers(states.mT), run.model.vocabulary)

    def positions(self, equation: int, factor: int) -> list[int]:
        """Where an equation carries symbols of a factor."""
        text, name = self.text[factor], FACTORS[factor]
        span = range(self.rhs[equation - 1] + 2 if equation else 0, self.rhs[equation] + 1)
        if name == "syntax":
            return list(span)
        if name == "value":
            return [at for at in span if at == self.rhs[equation] or text[at] < self.vocabulary.modulus]
        return [at for at in span if text[at] != self.vocabulary.n_a(name)]

    @cached_property
    def allowed(self) -> tuple[Sequence[int], ...]:
        """Of every factor the symbols that may be put in."""
        vocabulary = self.vocabulary
        names = {self.text[FACTORS.index("variable")][at] for at in self.rhs}
        free = sorted(set(range(vocabulary.n_variables)) - names) or sorted(names)
        syntax = range(len(vocabulary.symbols("syntax")) - 1)
        return syntax, free, range(len(vocabulary.ops)), range(vocabulary.modulus)

    def replaced(self, step: int, node: int, rng: np.random.Generator) -> list[SetCode]:
        """Other symbols at all of a node's positions; none where there is no other symbol."""
        equation, factor = divmod(node, len(FACTORS))
        codes: list[SetCode] = []
        for at in self.positions(equation, factor):
            others = [symbol for symbol in self.allowed[factor] if symbol != self.states[step][factor][at]]
            if others:
                drawn = others[int(rng.integers(len(others)))]
                codes.append(SetCode(step, at, FACTORS[factor], drawn))
        return codes


def _integers(numbers: Any) -> Any:
    return numbers.tolist()
