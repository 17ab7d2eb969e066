"""Probes: 1.0 where the compiled model has what is asked for, control level before; controls, code lengths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config

from interp.data.collecting import collect
from interp.data.datasets import ActivationDataset
from interp.engine.sites import Site, SiteError
from interp.probing.circular import circular_probe
from interp.probing.controls import control_task_labels, majority_accuracy, shuffled_labels
from interp.probing.fits import graph_folds
from interp.probing.grid import ProbeGrid
from interp.probing.mdl import online_code
from interp.probing.probes import collect_with_untrained, fit_probe_grid, fit_probes
from interp.probing.probes_figure import code_length_figure
from interp.probing.rows import ProbeError, ProbeRows, chosen_sites, probe_task, site_label
from interp.probing.sparse import sparse_probe
from models import CompiledTransformer, ComputationGraph
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
PRE, MID, BEFORE, AFTER = (
    "blocks.0.hook_resid_pre",
    "blocks.0.hook_resid_mid",
    "blocks.1.hook_resid_post",
    "blocks.2.hook_resid_post",
)


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def graphs() -> list[ComputationGraph]:
    return [ComputationGraph.sample(14, ops=("ADD",), n_leaves=4, seed=seed, **SIZES) for seed in range(60)]


@pytest.fixture(scope="module")
def pair(
    model: CompiledTransformer, graphs: list[ComputationGraph]
) -> tuple[ActivationDataset, ActivationDataset]:
    return collect_with_untrained(model, graphs, (PRE, MID, BEFORE, AFTER), n_steps=3)


def toy(codes: int = 4, graphs: int = 12, per_graph: int = 8, seed: int = 0) -> ActivationDataset:
    """Two steps: one-hot labels at step 0, nothing at step 1; names are random."""
    rng = np.random.default_rng(seed)
    n = graphs * per_graph
    value = rng.integers(codes, size=n)
    first = np.eye(codes)[value]
    return ActivationDataset.from_arrays(
        {"here": np.stack([first, np.zeros_like(first)])},
        {
            "graph": np.repeat(np.arange(graphs), per_graph),
            "value": value,
            "name": rng.integers(6, size=n),
            "one": np.ones(n, dtype=int),
        },
        modulus=codes,
    )


def test_a_value_is_read_where_it_is_written_and_not_before(
    pair: tuple[ActivationDataset, ActivationDataset],
) -> None:
    """The last MLP writes the value of a computing node; a leaf's number is copied by layer 0 already."""
    grid = fit_probe_grid(*pair[:1], "value", pair[1], status="computing", folds=3)
    assert grid.sites == (PRE, MID, BEFORE, AFTER)
    assert grid.mean[:2, 3].tolist() == [1, 1]
    assert grid.mean[0].tolist()[1:] == [1, 1, 1]
    chance, spread = 1 / 5, 3 * np.sqrt(0.2 * 0.8 / grid.n_rows)
    for step, places in ((0, [0]), (1, [0, 1, 2]), (2, [0, 1, 2])):
        assert np.abs(grid.mean[step, places] - chance).max() < spread[step]
    assert np.abs(grid.of("shuffled") - chance).max() < spread.max()
    assert np.abs(grid.of("untrained")[1:] - chance).max() < spread.max()
    assert (grid.n_classes == 5).all() and (grid.unconverged == 0).all()
    assert np.allclose(grid.selectivity, grid.mean - grid.of("control task"))
    assert (grid.selectivity[:2, 3] > 0.1).all() and (grid.selectivity[:, 0] < 0).all()


def test_values_of_done_nodes_are_in_the_state_that_enters(
    pair: tuple[ActivationDataset, ActivationDataset],
) -> None:
    grid = fit_probe_grid(pair[0], "value", pair[1], sites=[PRE], steps=[1], status="done", folds=3)
    assert grid.mean[0, 0] == 1
    assert grid.of("untrained")[0, 0] == 1  # it enters with the same states, so its embedding has them too
    assert np.array_equal(pair[0].step_labels["shown"], pair[1].step_labels["shown"])
    assert pd.DataFrame.equals(pair[0].labels, pair[1].labels)


def test_operand_names_are_read_behind_layer_0() -> None:
    """Layer 0 copies them to the right-hand side; three operands, since the slot depends on how many there are."""
    small = {"modulus": 5, "n_variables": 8}
    graphs = [ComputationGraph.sample(8, ops=("ADD",), n_leaves=4, seed=seed, **small) for seed in range(220)]
    data = collect(compile_model(("ADD",), **small), graphs, [PRE, MID], n_steps=1).select(n_operands=3)
    for operand in ("operand_1", "operand_3"):
        grid = fit_probe_grid(data, operand, controls=False)
        assert grid.mean[0, 1] == 1, operand
        assert grid.mean[0, 0] < 0.3, operand
        assert np.isnan(grid.of("shuffled")).all()


def test_targets_may_be_words(pair: tuple[ActivationDataset, ActivationDataset]) -> None:
    grid = fit_probe_grid(pair[0], "operation", sites=[PRE, MID], steps=[0], folds=2, controls=False)
    assert grid.n_classes.tolist() == [3]  # leaf, copy and ADD
    assert grid.mean[0, 1] > 0.95 > 0.7 > grid.mean[0, 0]


def test_workers_need_no_pytorch() -> None:
    """Fresh processes that only fit probes start quickly."""
    code = "import sys; from interp.probing import cells, circular, transfer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_fit_probes_collects_and_fits(model: CompiledTransformer, graphs: list[ComputationGraph]) -> None:
    grid = fit_probes(model, graphs[:12], (AFTER,), n_steps=1, status="computing", folds=2, seed=3)
    data, untrained = collect_with_untrained(model, graphs[:12], (AFTER,), n_steps=1, seed=3)
    again = fit_probe_grid(data, "value", untrained, status="computing", folds=2, seed=3)
    assert np.array_equal(grid.accuracy, again.accuracy, equal_nan=True)
    assert grid.model == "compiled"


def test_no_graph_is_in_training_and_test() -> None:
    """Labels that depend on the graph alone, and features that name it: read at once, were a graph ever split."""
    rng = np.random.default_rng(0)
    graph = np.repeat(np.arange(20), 6)
    labels = rng.permutation(np.repeat([0, 1], 10))[graph]
    data = ActivationDataset.from_arrays({"here": np.eye(20)[graph][None]}, {"graph": graph, "value": labels})
    assert fit_probe_grid(data, "value", controls=False, folds=4).mean[0, 0] <= 0.5
    for train, test in graph_folds(graph, 4, 0):
        assert not set(graph[train]) & set(graph[test]) and len(train) + len(test) == len(graph)


def test_majority_and_shuffled_labels() -> None:
    rows = ProbeRows(np.arange(8), np.array([0, 0, 0, 1, 0, 0, 1, 1]), np.repeat([0, 1], 4), np.zeros(8, int))
    splits = [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    assert majority_accuracy(rows, splits).tolist() == [
        0.5,
        0.75,
    ]  # of the second split's tie the first label
    assert sorted(shuffled_labels(rows, 0)) == sorted(rows.labels)


def test_the_control_task_gives_every_name_one_label() -> None:
    rng = np.random.default_rng(1)
    words, labels = rng.integers(4000, size=20000), rng.choice(3, p=[0.7, 0.2, 0.1], size=20000)
    rows = ProbeRows(np.arange(20000), labels, np.zeros(20000, int), words)
    control = control_task_labels(rows, 0)
    assert control is not None
    assert pd.DataFrame({"word": words, "label": control}).groupby("word")["label"].nunique().max() == 1
    assert np.abs(np.bincount(control) / 20000 - [0.7, 0.2, 0.1]).max() < 0.03
    assert np.array_equal(control, control_task_labels(rows, 0))
    one = ProbeRows(rows.index, labels, rows.graphs, np.zeros(20000, int))
    assert control_task_labels(one, 0) is None


def test_a_probe_that_knows_the_name_has_no_selectivity() -> None:
    """Activations that hold the name alone, and a target that the name decides: all of it can be memorised."""
    data = toy(codes=6, graphs=30)
    name = data.labels["name"].to_numpy()
    named = ActivationDataset.from_arrays({"here": np.eye(6)[name][None]}, data.labels.assign(value=name % 3))
    grid = fit_probe_grid(named, "value")
    assert grid.mean[0, 0] == 1 and grid.of("control task")[0, 0] == 1 and grid.selectivity[0, 0] == 0


def test_rounding_errors_are_not_blown_up() -> None:
    """A dimension of 1e-20 that names the label beside one that varies by 1: a probe must not find it."""
    data = toy()
    noise = np.random.default_rng(3).normal(size=(len(data), 1))
    tiny = np.concatenate([noise, 1e-20 * np.eye(4)[data.labels["value"]]], 1)
    hidden = ActivationDataset.from_arrays({"here": tiny[None]}, data.labels)
    assert fit_probe_grid(hidden, "value", controls=False).mean[0, 0] < 0.4


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_kinds_files_and_workers(kind: str, tmp_path: Path) -> None:
    data = toy()
    with parallel_config(backend="threading"):
        grid = fit_probe_grid(data, "value", data, kind=kind, jobs=2)
    assert grid.mean[:, 0].tolist() == [1, pytest.approx(grid.majority_mean[1])]
    assert np.array_equal(grid.of("untrained"), grid.mean)
    assert np.array_equal(fit_probe_grid(data, "value", data, kind=kind).accuracy, grid.accuracy)
    loaded = ProbeGrid.load(grid.save(tmp_path / "grid"))
    pd.testing.assert_frame_equal(loaded.to_frame(), grid.to_frame())
    assert loaded.steps == grid.steps and loaded.status is None
    frame = grid.to_frame()
    assert frame["accuracy"].tolist() == grid.mean.ravel().tolist()
    assert frame["n_rows"].tolist() == [96, 96] and frame["n_graphs"].tolist() == [12, 12]
    row = grid.by_site().iloc[0]
    assert row["accuracy"] == pytest.approx(grid.mean.mean()) and row["best_step"] == 0


def test_the_figure_has_every_control() -> None:
    data = toy()
    grid = fit_probe_grid(data, "value", data, mdl=True, folds=3)
    traces = {trace.name: np.array(trace.z) for trace in grid.figure().data}
    assert list(traces) == [
        "accuracy", "selectivity", "control: shuffled", "control: untrained", "control task",
        "control: majority class",
    ]  # fmt: skip
    assert traces["accuracy"].tolist() == grid.mean.tolist()
    assert traces["selectivity"].tolist() == grid.selectivity.tolist()
    axes = {trace.name: grid.figure().layout[trace.coloraxis] for trace in grid.figure().data}
    assert {(axis.cmin, axis.cmax) for name, axis in axes.items() if name != "selectivity"} == {(0, 1)}
    assert (axes["selectivity"].cmin, axes["selectivity"].cmid) == (-1, 0)
    lengths = {trace.name: np.array(trace.z) for trace in code_length_figure(grid).data}
    assert np.allclose(lengths["labels"], np.log2(grid.compression()))
    assert grid.compression()[0, 0] > 1.3 > 1.05 > grid.compression()[1, 0]
    assert grid.to_frame()["uniform_bits"].tolist() == [192, 192]  # 96 labels of 2 bits


def test_code_length_by_hand() -> None:
    """Four graphs of one row, all of class 0 of 2: 1/2 * 2/3 * 3/4 * 4/5 = 1/5, as Laplace's rule has it."""
    nothing = np.zeros((4, 1))
    code = online_code(nothing, np.zeros(4, int), np.arange(4), 2, (0.25, 0.5, 0.75, 1.0))
    assert code.bits == pytest.approx(np.log2(5)) and code.uniform_bits == 4
    assert code.block_bits == pytest.approx([1, -np.log2(2 / 3), -np.log2(3 / 4), -np.log2(4 / 5)])
    assert code.rows == (1, 1, 1, 1) and code.compression == pytest.approx(4 / np.log2(5))
    # Two graphs with labels 0 1 1 1: four bits, then a probe that says 1/4 and 3/4, mixed to 2/6 and 4/6.
    labels, graphs = np.array([0, 1, 1, 1] * 2), np.repeat([0, 1], 4)
    code = online_code(np.zeros((8, 1)), labels, graphs, 2, (0.5, 1.0))
    assert code.bits == pytest.approx(4 - np.log2(1 / 3) - 3 * np.log2(2 / 3), abs=1e-3)
    assert code.to_frame()["bits"].sum() == pytest.approx(code.bits)


def test_code_length_is_a_sum_over_blocks_in_a_plain_loop() -> None:
    """Against scikit-learn by hand, on activations that say something."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    data = toy(graphs=8)
    features = data.activations["here"][0] + np.random.default_rng(5).normal(size=(len(data), 4))
    labels, graphs = data.labels["value"].to_numpy(), data.labels["graph"].to_numpy()
    code = online_code(features, labels, graphs, 4, (0.25, 1.0), seed=2)
    first = np.isin(graphs, np.random.default_rng([2, 3]).permutation(8)[:2])
    scaler = StandardScaler().fit(features[first])
    probe = LogisticRegression(C=1.0, max_iter=200).fit(scaler.transform(features[first]), labels[first])
    given = probe.predict_proba(scaler.transform(features[~first]))
    q = given[np.arange(len(given)), np.searchsorted(probe.classes_, labels[~first])]
    n = first.sum()
    assert code.bits == pytest.approx(2 * n - np.log2((n * q + 1) / (n + 4)).sum(), rel=1e-6)


def test_a_circle_has_one_frequency_and_one_hot_has_all() -> None:
    rng = np.random.default_rng(0)
    value = rng.integers(7, size=240)
    circle = np.stack([np.cos(2 * np.pi * 2 * value / 7), np.sin(2 * np.pi * 2 * value / 7)], 1)
    labels = {"graph": np.repeat(np.arange(24), 10), "value": value}
    sites = {"circle": circle[None], "one-hot": np.eye(7)[value][None]}
    data = ActivationDataset.from_arrays(sites, labels, modulus=7)
    probe = circular_probe(data, "value", data)
    assert probe.frequencies == (1, 2, 3) and probe.sites == ("circle", "one-hot")
    circle_r2, one_hot_r2 = probe.r2[0, 0]
    assert circle_r2[1] > 0.999 and max(circle_r2[0], circle_r2[2]) < 0.05
    assert (one_hot_r2 > 0.99).all()
    assert np.allclose(probe.power[0, 0], [0, 1, 0], atol=1e-6)
    assert np.allclose(probe.power[0, 1], 1 / 3, atol=1e-6)
    assert probe.decoded[0, 0, 1] == 1 and probe.decoded_alone[0, 0, 1] == 1
    assert (probe.r2[1] < 0.05).all() and (probe.decoded[1] < 0.3).all()
    assert np.array_equal(probe.r2[2], probe.r2[0])
    frame = probe.to_frame()
    assert len(frame) == 6 and frame["r2"].tolist() == probe.r2[0].ravel().tolist()
    assert np.allclose(np.array(probe.figure().data[0].z)[:, 0], circle_r2)


def test_compiled_values_are_on_no_circle(pair: tuple[ActivationDataset, ActivationDataset]) -> None:
    probe = circular_probe(pair[0], "value", sites=[AFTER], steps=[1], status="computing")
    assert (probe.r2[0] > 0.9).all() and probe.decoded[0, 0, 0] == 1
    assert np.abs(probe.power - 0.5).max() < 0.1


def test_one_dimension_is_enough_for_transformer_lens(
    model: CompiledTransformer, graphs: list[ComputationGraph]
) -> None:
    """The dimension is the value's own, and the features are those of `at_step` on the state that enters."""
    found = sparse_probe(
        model, graphs[:30], 1, AFTER, positive=3, status="computing", ks=(1, 2), n_controls=4
    )
    first = found.sweep.results[0]
    assert first.selected_features.tolist() == [model.circuit.slots["value"].start + 3]
    frame = found.to_frame()
    assert frame["accuracy"].tolist() == [1, 1] and (frame["roc_auc_random_dimensions"] < 0.9).all()
    assert [trace.name for trace in found.figure().data] == ["probe", "random dimensions", "shuffled labels"]

    from transformer_lens.tools.analysis.sparse_probing import fit_sparse_probe

    run = model.run(graphs[:30], n_steps=2)
    _, cache = model.at_step(1).run_with_cache(model.vocabulary.pack(run.states[1]))
    graph, node = (run.encoded.depths == 1).nonzero(as_tuple=True)
    by_hand = fit_sparse_probe(
        cache[AFTER][graph, run.encoded.rhs[graph, node]],
        run.encoded.values[graph, node] == 3,
        k=1,
        groups=graph,
    )
    assert torch.allclose(by_hand.feature_scores, first.feature_scores, atol=1e-6)
    assert by_hand.selected_features.tolist() == first.selected_features.tolist()
    assert by_hand.metrics == first.metrics


def test_sites_are_named_and_ordered_as_a_step_computes_them() -> None:
    keys = [
        "blocks.0.hook_resid_post",
        "hook_logits",
        "blocks.1.attn.hook_z.3",
        "blocks.0.hook_resid_pre",
        "odd",
    ]
    data = ActivationDataset.from_arrays({key: np.zeros((1, 2, 1)) for key in keys}, {"graph": [0, 1]})
    order = ("odd", keys[3], keys[0], keys[2], "hook_logits")
    assert set(chosen_sites(data, None)) == set(order) and chosen_sites(data, None)[1:] == order[1:]
    assert chosen_sites(data, "z") == (keys[2],)
    assert [site_label(key) for key in keys] == ["0.resid_post", "logits", "1.z.3", "0.resid_pre", "odd"]


def test_rows_are_those_of_the_status(pair: tuple[ActivationDataset, ActivationDataset]) -> None:
    task = probe_task(pair[0], "value", "computing", steps=[1])
    depth = pair[0].labels["depth"].to_numpy()
    assert np.array_equal(task.rows[1].index, np.flatnonzero(depth == 1))
    assert task.classes[task.rows[1].labels].tolist() == pair[0].labels["value"][depth == 1].tolist()


def test_a_step_that_has_too_little_is_not_measured(
    pair: tuple[ActivationDataset, ActivationDataset],
) -> None:
    few = pair[0].select(graph=[0, 1, 2, 3])
    grid = fit_probe_grid(few, "shown", sites=[AFTER], folds=2, controls=False)
    assert np.isnan(grid.mean[0]).all() and grid.n_classes[0] == 1  # all EMPTY before step 0
    assert not np.isnan(grid.mean[1:]).any()
    assert np.isnan(grid.to_frame()["accuracy"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "one"}, "has one class only (1) in the 192 rows"),
        ({"target": "colour"}, "there is no target 'colour'; there are value, name, one"),
        ({"target": "graph"}, "there is no target 'graph'"),
        ({"folds": 13}, "folds is 13, and there are 12 graphs; allowed are 2 to 12"),
        ({"folds": 1}, "folds is 1"),
        ({"sites": ["there"]}, "there is no site 'there' in the data; there are here"),
        ({"steps": [2]}, "steps are [2]; allowed is at least one of 0 to 1"),
        ({"kind": "forest"}, "kind is 'forest'; allowed are logistic, ridge"),
        ({"kind": "ridge", "mdl": True}, "needs probabilities"),
        ({"status": "computing"}, "status is 'computing'; allowed are all"),
        ({"role": "rhs"}, "role is 'rhs'; allowed are all"),
    ],
)
def test_what_cannot_be_fitted_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ProbeError) as error:
        fit_probe_grid(toy(), **{"target": "value", **options})
    assert message in str(error.value)


def test_what_the_data_do_not_have_is_said(
    pair: tuple[ActivationDataset, ActivationDataset],
    model: CompiledTransformer,
    graphs: list[ComputationGraph],
) -> None:
    data, untrained = pair
    with pytest.raises(ProbeError, match="no row of the steps \\[0\\] has status 'done'"):
        fit_probe_grid(data, "value", status="done", steps=[0])
    with pytest.raises(ProbeError, match="status is 'late'; allowed are all, waiting, computing, done"):
        fit_probe_grid(data, "value", status="late")
    with pytest.raises(ProbeError, match="no row of the steps .* has role 'equals'"):
        fit_probe_grid(data, "value", role="equals")
    leaves = data.select(depth=0)
    with pytest.raises(ProbeError, match=r"'operand_1' is not defined \(-1\) at any of the"):
        fit_probe_grid(leaves, "operand_1")
    with pytest.raises(ProbeError, match="no step can be measured"):
        fit_probe_grid(data, "depth", status="computing")
    with pytest.raises(ProbeError, match="untrained model's data"):
        fit_probe_grid(data, "value", untrained.select(depth=0))
    with pytest.raises(SiteError, match="only 'state' and 'logits' have factors"):
        fit_probes(model, graphs[:4], [Site("resid_post", layer=0, factor="value")])
    with pytest.raises(SiteError, match="there is no layer 7"):
        fit_probes(model, graphs[:4], ["blocks.7.hook_resid_post"])
    with pytest.raises(ProbeError, match="a circular probe needs values modulo 3 or more"):
        circular_probe(data, modulus=2)
    with pytest.raises(ProbeError, match="frequencies are \\[3\\]; allowed is at least one of 1 to 2"):
        circular_probe(data, frequencies=[3])
    with pytest.raises(ProbeError, match="positive is 9, which no row has"):
        sparse_probe(model, graphs[:4], 0, AFTER, positive=9)
    with pytest.raises(ProbeError, match="stands for blocks.0.hook_resid_post, blocks.1"):
        sparse_probe(model, graphs[:4], 0, "resid_post")
    with pytest.raises(ProbeError, match="two graphs"):
        online_code(np.zeros((2, 1)), np.array([0, 1]), np.zeros(2, int), 2)
    with pytest.raises(ProbeError, match="ascending shares"):
        online_code(np.zeros((2, 1)), np.array([0, 1]), np.array([0, 1]), 2, (0.5,))
