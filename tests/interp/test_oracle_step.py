"""One step of the symbolic algorithm on any state: against the algorithm on graphs, and by hand."""

from __future__ import annotations

import pytest
import torch

from interp.oracle_step import oracle_step, oracle_steps
from interp.synchronous import SymbolicState, symbolic_run
from models import ComputationGraph
from models.vocabulary import FactoredVocabulary

MODULUS = 5
EMPTY = MODULUS + 1
VOCABULARY = FactoredVocabulary(n_variables=16, modulus=MODULUS, ops=("ADD", "SUB", "MUL"))


def test_the_oracles_step_is_the_symbolic_algorithms():
    graphs = [
        ComputationGraph.sample(
            6 + seed, VOCABULARY.ops, n_leaves=3, modulus=MODULUS, n_variables=16, seed=seed
        )
        for seed in range(8)
    ]
    encoded, n_steps = VOCABULARY.encode(graphs), 6
    state = encoded.factors
    for step in range(n_steps):
        state = oracle_step(state, encoded, VOCABULARY)
        for row, graph in enumerate(encoded.graphs):
            values = symbolic_run(graph, n_steps)[step + 1].values
            shown = state[row, encoded.rhs[row, : len(graph)], 3].tolist()
            assert shown == [EMPTY if value is None else value for value in values]
    unchanged = torch.ones_like(state, dtype=torch.bool)
    rows, nodes = (encoded.rhs >= 0).nonzero(as_tuple=True)
    unchanged[rows, encoded.rhs[rows, nodes], 3] = False
    assert torch.equal(state[unchanged], encoded.factors[unchanged])


def test_the_oracles_step_reads_any_values():
    graph = ComputationGraph.parse("1 = x_0; 2 = x_1; x_0 - x_1 = x_2; x_2 + x_0 + x_1 = x_3", MODULUS, 16)
    encoded = VOCABULARY.encode(graph)
    state = encoded.factors.clone()
    shown = (4, None, 3, 0)
    state[0, encoded.rhs[0], 3] = torch.tensor([EMPTY if value is None else value for value in shown])
    after = SymbolicState(graph.nodes, shown, MODULUS).after().values
    assert after == (1, 2, None, None)
    written = oracle_step(state, encoded, VOCABULARY)[0, encoded.rhs[0], 3]
    assert written.tolist() == [1, 2, EMPTY, EMPTY]


@pytest.mark.parametrize(
    ("pos", "factor", "symbol", "expected"),
    [
        (10, 1, 0, [1, 2, 2]),  # x_0 + x_0
        (8, 1, 1, [1, 2, 4]),  # x_1 + x_1
        (9, 2, 1, [1, 2, 4]),  # x_0 - x_1
        (9, 2, 3, [1, 2, EMPTY]),  # no operation
        (10, 1, 9, [1, 2, EMPTY]),  # a name nobody has
        (2, 1, 1, [1, 2, EMPTY]),  # a name two have
        (2, 3, 3, [1, 2, 0]),  # x_0 shows 3
        (0, 3, 3, [3, 2, 3]),  # the leaf is 3, and its right-hand side still shows 1
        (0, 3, MODULUS, [EMPTY, 2, 3]),  # no number
    ],
)
def test_the_oracles_step_reads_any_text(pos, factor, symbol, expected):
    text = "1 = x_0; 2 = x_1; x_0 + x_1 = x_2"  # 13 tokens, separators included
    encoded = VOCABULARY.encode(ComputationGraph.parse(text, MODULUS, 16))
    state = encoded.factors.clone()
    state[0, encoded.rhs[0], 3] = torch.tensor([1, 2, EMPTY])
    state[0, pos, factor] = symbol
    after = oracle_step(state, encoded, VOCABULARY)
    assert after[0, encoded.rhs[0], 3].tolist() == expected
    text_only = torch.ones_like(after[0], dtype=torch.bool)
    text_only[encoded.rhs[0], 3] = False
    assert torch.equal(after[0][text_only], state[0][text_only])


def test_every_state_but_the_last_has_an_answer():
    encoded = VOCABULARY.encode("1 = x_0; 2 = x_1; x_0 * x_1 = x_2")
    states = torch.stack([encoded.factors] * 3)
    answers = oracle_steps(states, encoded, VOCABULARY)
    assert answers.shape == (2, *encoded.factors.shape)
    assert torch.equal(answers[1], oracle_step(encoded.factors, encoded, VOCABULARY))
    assert len(oracle_steps(states[:1], encoded, VOCABULARY)) == 0
