"""Sampled graphs: the distribution of the paper's generator, seeds, and arguments out of range."""

import json
import time
from collections import Counter
from pathlib import Path
from statistics import mean

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graph import ComputationGraph
from models.graph_errors import GraphArgumentError, UnknownOperationError

ALL_OPS = ("ADD", "SUB", "MUL")
SEED_0 = (
    "12 = x_125; 5 = x_53; 18 = x_102; 1 = x_34; 9 = x_121; 6 = x_117; "
    "x_125 MUL x_102 MUL x_34 = x_66; x_53 ADD x_34 ADD x_125 = x_74"
)


def plain_sample(rng: np.random.Generator, n_nodes: int) -> list[int]:
    """The depths of a graph by the paper's rules and networkx, in text order; written for the tests."""
    graph: networkx.DiGraph = networkx.DiGraph()
    names = rng.choice(128, n_nodes, replace=False).tolist()
    for number, name in enumerate(names):
        graph.add_node(name)
        if number >= 6:
            parents = rng.choice(names[:number], rng.integers(1, 4), replace=False)
            graph.add_edges_from((parent, name) for parent in parents.tolist())
    depths: dict[int, int] = {}
    for name in networkx.topological_sort(graph):
        depths[name] = 1 + max((depths[parent] for parent in graph.predecessors(name)), default=-1)
    return list(depths.values())


@pytest.mark.parametrize(("n_nodes", "paper", "n_graphs"), [(32, 6, 400), (128, 12, 150)])
def test_depths_are_those_of_the_papers_generator(n_nodes: int, paper: int, n_graphs: int) -> None:
    rng = np.random.default_rng(7)
    ours = [ComputationGraph.sample(n_nodes, seed=rng).depths_by_node for _ in range(n_graphs)]
    plain = [plain_sample(rng, n_nodes) for _ in range(n_graphs)]
    assert round(mean(map(max, ours))) in (paper, paper - 1)
    assert mean(map(max, ours)) == pytest.approx(mean(map(max, plain)), abs=0.5)
    assert mean(map(mean, ours)) == pytest.approx(mean(map(mean, plain)), abs=0.3)


def test_reference_graphs_are_as_deep_as_sampled_ones(data: Path) -> None:
    reference = [json.loads(line) for line in (data / "graphs.jsonl").read_text().splitlines()]
    for n_nodes in (8, 32, 128):
        drawn = [max(ComputationGraph.sample(n_nodes, seed=seed).depths_by_node) for seed in range(300)]
        given_ = [max(entry["depths"].values()) for entry in reference if entry["n_nodes"] == n_nodes]
        assert mean(given_) == pytest.approx(mean(drawn), abs=4 * np.std(drawn) / len(given_) ** 0.5)


def test_every_choice_is_uniform() -> None:
    """Names, leaf values, numbers of operands, operations and operands; expected counts +- 5 standard deviations."""
    graphs = [ComputationGraph.sample(8, ALL_OPS, seed=seed) for seed in range(6000)]
    inner = [node for graph in graphs for node in graph.nodes if node.operands]

    def check(counts: Counter, n_kinds: int) -> None:
        expected = counts.total() / n_kinds
        assert len(counts) == n_kinds
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())

    check(Counter(node.variable for graph in graphs for node in graph.nodes), 128)
    check(Counter(node.value for graph in graphs for node in graph.nodes if node.value is not None), 23)
    check(Counter(len(node.operands) for node in inner), 3)
    check(Counter(name for node in inner for name in node.operations), 3)
    # A node at depth 1 before any other inner node has drawn among the 6 leaves: its ordered operands are uniform.
    first = [graph.nodes[6] for graph in graphs if graph.depths_by_node[7] == 2]
    check(Counter(node.operands for node in first if len(node.operands) == 1), 6)
    check(Counter(node.operands for node in first if len(node.operands) == 2), 30)


def test_arguments_are_obeyed() -> None:
    graph = ComputationGraph.sample(
        20, ("SUB", "MUL"), n_leaves=2, max_operands=4, modulus=5, seed=3, n_variables=20
    )
    assert sum(node.value is not None for node in graph.nodes) == 2
    assert sorted(node.variable for node in graph.nodes) == list(range(20))
    assert (graph.modulus, graph.n_variables) == (5, 20)
    assert graph.ops == ("SUB", "MUL")
    assert max(graph.values_by_node) < 5
    assert max(len(node.operands) for node in graph.nodes) == 4
    chain = ComputationGraph.sample(9, n_leaves=1, max_operands=1, seed=0)
    assert all(len(node.operands) == 1 for node in chain.nodes[1:])


@pytest.mark.parametrize("max_depth", [1, 2, 6])
def test_max_depth(max_depth: int) -> None:
    depths = [
        max(ComputationGraph.sample(64, seed=seed, max_depth=max_depth).depths_by_node) for seed in range(20)
    ]
    assert max(depths) == max_depth


def test_seeds() -> None:
    assert ComputationGraph.sample(32, seed=4) == ComputationGraph.sample(32, seed=np.int64(4))  # type: ignore[arg-type]
    assert ComputationGraph.sample(32, seed=4) != ComputationGraph.sample(32, seed=5)
    assert ComputationGraph.sample(32) != ComputationGraph.sample(32)
    rng = np.random.default_rng(4)
    assert ComputationGraph.sample(32, seed=rng) == ComputationGraph.sample(32, seed=4)
    assert ComputationGraph.sample(32, seed=rng) != ComputationGraph.sample(32, seed=4)


def test_a_seed_means_the_same_graph_for_ever() -> None:
    assert ComputationGraph.sample(8, ALL_OPS, seed=0).to_text() == SEED_0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_nodes": 0}, "n_nodes is 0. Allowed: a whole number from 1 to 128"),
        ({"n_nodes": 129}, "n_nodes is 129. Allowed: a whole number from 1 to 128"),
        ({"n_nodes": 9, "n_variables": 8}, "from 1 to 8"),
        ({"n_nodes": 8.0}, "n_nodes is 8.0. Allowed: a whole number"),
        ({"n_nodes": True}, "n_nodes is True"),
        ({"n_nodes": "8"}, "n_nodes is '8'"),
        ({"n_nodes": 8, "n_leaves": 0}, "n_leaves is 0. Allowed: a whole number of at least 1"),
        ({"n_nodes": 5}, r"n_leaves is 6 and n_nodes is 5.*Allowed: n_leaves from 1 to n_nodes \(5\)"),
        ({"n_nodes": 8, "max_operands": 0}, "max_operands is 0. Allowed: a whole number of at least 1"),
        ({"n_nodes": 8, "modulus": 1}, "modulus is 1. Allowed: a whole number of at least 2"),
        ({"n_nodes": 8, "max_depth": 0}, "max_depth is 0. Allowed: a whole number of at least 1"),
        ({"n_nodes": 8, "ops": ()}, r"ops is \(\). Allowed: a list of at least one of ADD, SUB, MUL"),
        ({"n_nodes": 8, "ops": "ADD"}, "ops is 'ADD'. Allowed: a list"),
        ({"n_nodes": 8, "ops": ("ADD", "ADD")}, "Allowed: each operation once"),
        ({"n_nodes": 8, "seed": -1}, "seed is -1. Allowed: a whole number of at least 0"),
        ({"n_nodes": 8, "seed": "zero"}, "seed is 'zero'"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(GraphArgumentError, match=message):
        ComputationGraph.sample(**arguments)


def test_unknown_operation_in_ops() -> None:
    with pytest.raises(UnknownOperationError, match=r"ops has 'DIV'.*Allowed: ADD, SUB, MUL"):
        ComputationGraph.sample(8, ops=("ADD", "DIV"))


def test_all_nodes_may_be_leaves() -> None:
    assert ComputationGraph.sample(6, seed=0, max_depth=0).depths_by_node == (0,) * 6


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5))
def test_operands_are_different_and_as_many_as_allowed(seed: int, n_nodes: int, max_operands: int) -> None:
    graph = ComputationGraph.sample(n_nodes, ALL_OPS, min(2, n_nodes), max_operands, seed=seed)
    for node in graph.nodes:
        assert len(set(node.operands)) == len(node.operands) <= max_operands


def test_a_thousand_large_graphs_take_seconds() -> None:
    begin = time.process_time()
    for seed in range(200):
        ComputationGraph.sample(128, ALL_OPS, seed=seed)
    assert time.process_time() - begin < 15  # 0.3 s on an idle machine; this is against hanging
