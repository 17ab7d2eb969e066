"""Which codes of a state the codes of the next depend on: the edges between steps, measured by replay.

A node is (step, equation, factor): the symbols of one factor in one equation of the state that enters a step. Its
symbols are replaced by others that could stand there, one step is run, and every node of the next state that shows
another symbol depends on it. The weight of an edge is the share of draws in which it does.

    value       numbers, and the right-hand side: any other number
    variable    names: any that the graph does not use (where it uses all: any other)
    operation   operations: any other operation of the model; none where there is but one
    syntax      any other of the five symbols that are no padding

A state holds all that a step is given, so there is no error term: what no edge comes from cannot matter. How far the
measured edges are all there are says :meth:`StateLinks.complete`: the share of nodes that stay as they are when
everything they have no edge from is replaced at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.engine.interventions import Recording, SetCode, record
from interp.engine.replay import run_interventions
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

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

    def positions(self, node: int) -> list[int]:
        """Positions whose symbols a node is made of."""
        return _positions(self.run, *divmod(node, len(FACTORS)))

    def replaced(self, state: int, nodes: Sequence[int], rng: np.random.Generator) -> Tensor:
        """The state, int [pos, factor], with the symbols of some nodes replaced."""
        after: Tensor = self.run.trajectory.states[state, 0].clone()
        for node in nodes:
            for code in _replaced(self.run, state, node, rng):
                after[int(code.pos), FACTORS.index(code.factor)] = int(code.symbol)
        return after

    def complete(self, nodes: Sequence[tuple[int, int]]) -> float:
        """Of (state, node) pairs, state 1 or later, the share that keeps its symbols when all that it has no edge from
        is replaced at once, in :attr:`draws` draws.
        """
        kept, rng = 0, np.random.default_rng(self.seed)
        states = self.run.trajectory.states[:, 0]
        for state, node in nodes:
            others = [int(one) for one in np.flatnonzero(self.weights[state - 1, node] == 0)]
            given = [
                [code for one in others for code in _replaced(self.run, state - 1, one, rng)]
                for _ in range(self.draws)
            ]
            at, factor = self.positions(node), node % len(FACTORS)
            for replay in run_interventions(self.run.model, self.run, given, state, None):
                after = replay.states[state][at, factor]
                kept += int(torch.equal(after, states[state, at, factor]))
        return kept / (len(nodes) * self.draws) if nodes else float("nan")


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
    where = [_positions(run, *divmod(node, len(FACTORS))) for node in range(n_nodes)]
    known: dict[bytes, NDArray[np.float64]] = {}
    for step in range(run.n_steps):
        entering = run.trajectory.states[step, 0].numpy(force=True).tobytes()
        if entering not in known:
            known[entering] = _links_of_step(run, step, where, draws, rng)
        weights[step] = known[entering]
    return StateLinks(run, weights, draws, seed)


def _links_of_step(
    run: Recording, step: int, where: Sequence[list[int]], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    given: list[list[SetCode]] = []
    owners: list[int] = []
    for node in range(len(where)):
        for _ in range(draws):
            codes = _replaced(run, step, node, rng)
            if codes:
                given.append(codes)
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


def _nodes_of(changed: Tensor, where: Sequence[list[int]]) -> Iterator[int]:
    for node, positions in enumerate(where):
        if positions and bool(changed[positions, node % len(FACTORS)].any()):
            yield node


def _positions(run: Recording, equation: int, factor: int) -> list[int]:
    """Where an equation carries symbols of a factor."""
    rhs, text = _integers(run.encoded.rhs[0]), _integers(run.encoded.factors[0, :, factor])
    begin, vocabulary = rhs[equation - 1] + 2 if equation else 0, run.model.vocabulary
    span = range(begin, rhs[equation] + 1)
    if FACTORS[factor] == "syntax":
        return list(span)
    if FACTORS[factor] == "value":
        return [at for at in span if at == rhs[equation] or text[at] < vocabulary.modulus]
    return [at for at in span if text[at] != vocabulary.n_a(FACTORS[factor])]


def _replaced(run: Recording, step: int, node: int, rng: np.random.Generator) -> list[SetCode]:
    """Other symbols at all of a node's positions; none where there is no other symbol."""
    equation, factor = divmod(node, len(FACTORS))
    name, vocabulary = FACTORS[factor], run.model.vocabulary
    state = _integers(run.trajectory.states[step, 0, :, factor])
    names = set(_integers(run.encoded.factors[0, run.encoded.rhs[0], 1]))
    allowed = {
        "syntax": range(len(vocabulary.symbols("syntax")) - 1),
        "variable": sorted(set(range(vocabulary.n_variables)) - names) or sorted(names),
        "operation": range(len(vocabulary.ops)),
        "value": range(vocabulary.modulus),
    }[name]
    codes: list[SetCode] = []
    for at in _positions(run, equation, factor):
        others = [symbol for symbol in allowed if symbol != state[at]]
        if others:
            codes.append(SetCode(step, at, name, int(rng.choice(others))))
    return codes


def _integers(symbols: Tensor) -> list[int]:
    return [int(symbol) for symbol in symbols]
