"""The batch sampler and the symbolic transition, against the graph oracle that knows nothing of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from models.graph import ComputationGraph
from models.training.sampling import GraphBatch, Recipe, batch_of, sample_batch
from models.training.states import mixed_examples, paper_examples, random_values, skew_leaves
from models.training.transition import (
    empty_values,
    next_values,
    read_values,
    true_values,
    values_after,
    write_values,
)
from models.vocabulary import FactoredVocabulary

OPS = (("ADD",), ("ADD", "SUB"), ("ADD", "SUB", "MUL"))


def graphs_of(batch: GraphBatch, vocabulary: FactoredVocabulary) -> list[ComputationGraph]:
    """Back through text, so that nothing but the factors is trusted."""
    texts = vocabulary.decode(torch.from_numpy(batch.factors))
    return [ComputationGraph.parse(text, n_variables=vocabulary.n_variables) for text in texts]


@pytest.mark.parametrize("ops", OPS)
def test_sampled_arrays_are_what_the_vocabulary_encodes(ops: tuple[str, ...]) -> None:
    vocabulary = FactoredVocabulary(ops=ops)
    batch = sample_batch(np.random.default_rng(0), vocabulary, 30, Recipe((4, 20), (2, 6)))
    encoded = vocabulary.encode(graphs_of(batch, vocabulary))
    assert np.array_equal(batch.factors, encoded.factors.numpy())
    assert np.array_equal(batch.mask, encoded.mask.numpy())
    assert np.array_equal(batch.rhs, encoded.rhs.numpy())
    width = encoded.operand_nodes.shape[-1]
    assert np.array_equal(batch.operand_nodes[..., :width], encoded.operand_nodes.numpy())
    assert np.array_equal(batch.depths, encoded.depths.numpy())
    assert np.array_equal(true_values(batch, vocabulary), encoded.values.numpy())


@pytest.mark.parametrize("ops", OPS)
def test_arrays_of_given_graphs(ops: tuple[str, ...]) -> None:
    vocabulary = FactoredVocabulary(ops=ops)
    graphs = [ComputationGraph.sample(n_nodes=n, ops=ops, seed=n) for n in (6, 11, 32)]
    batch = batch_of(graphs, vocabulary)
    assert np.array_equal(batch.factors, vocabulary.encode(graphs).factors.numpy())
    for row, graph in enumerate(graphs):
        assert tuple(true_values(batch, vocabulary)[row, : len(graph)]) == graph.values_by_node
    with pytest.raises(ValueError, match="at least one graph"):
        batch_of([], vocabulary)


@pytest.mark.parametrize("ops", OPS)
def test_a_step_is_the_operation_on_the_current_values(ops: tuple[str, ...]) -> None:
    vocabulary = FactoredVocabulary(ops=ops)
    rng = np.random.default_rng(1)
    batch = sample_batch(rng, vocabulary, 20, Recipe((6, 24)))
    values = random_values(rng, batch, vocabulary)
    after = next_values(batch, values, vocabulary)
    arithmetic = {"ADD": lambda a, b: a + b, "SUB": lambda a, b: a - b, "MUL": lambda a, b: a * b}
    checked: Counter[int] = Counter()
    for row, graph in enumerate(graphs_of(batch, vocabulary)):
        for index, node in enumerate(graph.nodes):
            operands = [int(values[row, operand]) for operand in node.operands]
            if node.value is not None:
                expected = node.value
            elif vocabulary.empty in operands:
                expected = vocabulary.empty
            else:
                expected = operands[0]
                for operation, operand in zip(node.operations, operands[1:], strict=True):
                    expected = arithmetic[operation](expected, operand) % 23
            assert after[row, index] == expected
            checked[len(operands)] += 1
    assert min(checked[k] for k in range(4)) > 20


def test_runs_from_empty_show_one_depth_more_each_step() -> None:
    vocabulary = FactoredVocabulary(ops=("ADD", "SUB", "MUL"))
    batch = sample_batch(np.random.default_rng(2), vocabulary, 12, Recipe((10, 32)))
    truth = np.array(
        [[*g.values_by_node, *[-1] * 32][: batch.rhs.shape[1]] for g in graphs_of(batch, vocabulary)]
    )
    values = empty_values(batch, vocabulary)
    for step in range(8):
        assert np.array_equal(values, values_after(batch, np.full(12, step), truth, vocabulary))
        values = next_values(batch, values, vocabulary)
    assert np.array_equal(values, truth)


def test_states_hold_the_values_and_nothing_else_changes() -> None:
    vocabulary = FactoredVocabulary()
    rng = np.random.default_rng(3)
    batch = sample_batch(rng, vocabulary, 5, Recipe((5, 9), (3, 4)))
    values = random_values(rng, batch, vocabulary)
    state = write_values(batch, values)
    assert np.array_equal(read_values(batch, state), values)
    changed = (state != batch.factors).any(axis=-1)
    allowed = np.zeros_like(changed)
    rows, nodes = np.nonzero(batch.exists)
    allowed[rows, batch.rhs[rows, nodes]] = True
    assert not changed[~allowed].any()


def fractions(counts: Counter[int], keys: range) -> np.ndarray:
    total = sum(counts.values())
    return np.array([counts[key] / total for key in keys])


def test_without_knobs_the_distribution_is_that_of_the_graph_sampler() -> None:
    vocabulary = FactoredVocabulary(ops=("ADD", "SUB"))
    n = 1500
    batch = sample_batch(np.random.default_rng(4), vocabulary, n, Recipe((16, 16), max_depth=None))
    graphs = [ComputationGraph.sample(n_nodes=16, ops=("ADD", "SUB"), seed=seed) for seed in range(n)]
    theirs = batch_of(graphs, vocabulary)

    def statistics(arrays: GraphBatch) -> dict[str, np.ndarray]:
        place = np.arange(16)[None, :, None]
        distance = np.where(arrays.operand_nodes >= 0, place - arrays.operand_nodes, 0)
        last = arrays.operand_nodes.max(axis=-1)
        same = arrays.depths[:, 1:] == arrays.depths[:, :-1]
        ordered = (same & (last[:, 1:] >= last[:, :-1]))[arrays.n_operands[:, 1:] > 0].mean()
        first_smaller = (arrays.operand_nodes[..., 0] < arrays.operand_nodes[..., 1])[
            arrays.n_operands > 1
        ].mean()
        return {
            "operands": fractions(Counter(arrays.n_operands.ravel().tolist()), range(4)),
            "depth": fractions(Counter(arrays.depths.max(axis=1).tolist()), range(10)),
            "distance": fractions(Counter(distance[distance > 0].tolist()), range(1, 16)),
            "order": np.array([ordered, first_smaller]),
            "operations": fractions(Counter(arrays.operations[arrays.operations >= 0].tolist()), range(2)),
        }

    ours, expected = statistics(batch), statistics(theirs)
    for name, values in ours.items():
        # 1500 graphs: about 15000 inner nodes, standard error at most 0.013 for the per-graph depth.
        assert np.abs(values - expected[name]).max() < (0.05 if name == "depth" else 0.02), name
    assert np.all(np.sort(batch.names, axis=1)[:, 1:] > np.sort(batch.names, axis=1)[:, :-1])
    assert abs(batch.names.mean() - 63.5) < 1


def test_text_order_is_the_generators() -> None:
    """Inside a generation a node stands where its last parent frees it; ties keep the order of creation (networkx)."""
    vocabulary = FactoredVocabulary()
    batch = sample_batch(np.random.default_rng(5), vocabulary, 200, Recipe((24, 24)))
    for row in range(200):
        depths, parents = batch.depths[row], batch.operand_nodes[row]
        assert np.all(np.diff(depths) >= 0)
        for node in range(1, 24):
            if depths[node] == depths[node - 1] > 0:
                assert parents[node].max() >= parents[node - 1].max()


def test_knobs_do_what_they_say() -> None:
    vocabulary = FactoredVocabulary()
    rng = np.random.default_rng(6)
    batch = sample_batch(rng, vocabulary, 400, Recipe((8, 12), (3, 4), (1, 1, 4), max_depth=3))
    assert (batch.n_nodes.min(), batch.n_nodes.max()) == (8, 12)
    assert set((batch.n_operands == 0).sum(axis=1).tolist()) == {3, 4}
    assert batch.depths.max() == 3
    free = sample_batch(rng, vocabulary, 400, Recipe((8, 12), (3, 4), (1, 1, 4), max_depth=None))
    inner = free.n_operands[free.n_operands > 0]
    assert abs((inner == 3).mean() - 4 / 6) < 0.03
    skewed = random_values(rng, batch, vocabulary, skew=0.75)[batch.exists]
    known = skewed[skewed != vocabulary.empty]
    assert abs((known == 0).mean() - (0.75 + 0.25 / 23)) < 0.02
    assert abs((skewed == vocabulary.empty).mean() - 0.15) < 0.02
    lean = skew_leaves(rng, batch, vocabulary, 1.0)
    assert set(lean.leaf_values[lean.n_operands == 0].tolist()) == {0}
    assert np.array_equal(lean.factors, batch_of(graphs_of(lean, vocabulary), vocabulary).factors)


def test_supervisions() -> None:
    vocabulary = FactoredVocabulary()
    rng = np.random.default_rng(7)
    batch = sample_batch(rng, vocabulary, 40, Recipe((8, 16)))
    truth = true_values(batch, vocabulary)
    real = mixed_examples(rng, batch, vocabulary, random=0.0)
    shown = (real.inputs != vocabulary.empty) & batch.exists
    assert np.array_equal(real.inputs[shown], truth[shown])
    mixed = mixed_examples(rng, batch, vocabulary, random=1.0)
    assert np.array_equal(mixed.targets, next_values(batch, mixed.inputs, vocabulary))

    paper = paper_examples(rng, batch, vocabulary)
    assert len(paper) == int((batch.depths.max(axis=1) + 1).sum())
    corrupted = paper_examples(
        np.random.default_rng(0), batch, vocabulary, corrupt_batch=1.0, corrupt_value=0.5
    )
    assert np.array_equal(corrupted.targets, paper.targets)
    differs = corrupted.inputs != paper.inputs
    just_before = batch.depths[paper.graphs] == step_of(batch, paper.graphs)[:, None] - 1
    fresh = batch.exists[paper.graphs] & just_before
    assert not differs[~fresh].any()
    assert abs(differs[fresh].mean() - 0.5 * 23 / 24) < 0.06


def step_of(batch: GraphBatch, graphs: np.ndarray) -> np.ndarray:
    """The examples of a graph are its steps in order."""
    return np.concatenate([np.arange(count) for count in np.bincount(graphs, minlength=len(batch))])


def test_bad_recipes_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="sizes must be"):
        Recipe(sizes=(9, 8))
    with pytest.raises(ValueError, match="operand_weights"):
        Recipe(operand_weights=(0, 0, 0))
    with pytest.raises(ValueError, match="128"):
        sample_batch(np.random.default_rng(0), FactoredVocabulary(), 1, Recipe((129, 129)))
