"""Probes on data they were not fitted to: the numbers of the fit where the data are its own held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp import ActivationDataset, ProbeError, ProbeGrid, collect, fit_probe_grid
from interp.npz import read_npz, write_npz
from interp.probing.fits import features_of, fit_probe, graph_folds
from interp.probing.rows import probe_task
from interp.probing.scoring import as_numbers, said
from models import ComputationGraph
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
MID, POST = "blocks.1.hook_resid_mid", "blocks.2.hook_resid_post"


def graphs(seeds: range, n_nodes: int = 10) -> list[ComputationGraph]:
    return [ComputationGraph.sample(n_nodes, ops=("ADD",), n_leaves=3, seed=seed, **SIZES) for seed in seeds]


@pytest.fixture(scope="module")
def model():
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def data(model) -> ActivationDataset:
    return collect(model, graphs(range(20)), [MID, POST], n_steps=3)


@pytest.fixture(scope="module")
def other(model) -> ActivationDataset:
    return collect(model, graphs(range(100, 110), 13), [MID, POST], n_steps=4)


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
@pytest.mark.parametrize("target", ["value", "operation", "n_operands"])
def test_each_fold_scores_on_its_own_held_out_rows_as_it_did(data, kind: str, target: str) -> None:
    grid = fit_probe_grid(data, target, steps=[1, 2], status="computing", kind=kind, folds=3, controls=False)
    task = probe_task(data, target, "computing", steps=[1, 2])
    assert np.isfinite(grid.accuracy[0]).all()
    for step, (number, rows) in enumerate(task.rows.items()):
        for fold, (_, test) in enumerate(graph_folds(rows.graphs, 3, 0)):
            for site, key in enumerate(grid.sites):
                read = said(grid.probes[key][step], data.activations[key][number][rows.index[test]])
                assert np.mean(read[fold] == rows.labels[test]) == grid.accuracy[0, step, site, fold]


def test_a_score_is_that_of_the_probes_themselves(data, other) -> None:
    grid = fit_probe_grid(data, "value", sites=[MID], steps=[1], folds=3)
    scored = grid.score(other)
    rows, theirs = probe_task(data, "value").rows[1], probe_task(other, "value").rows[1]
    features = features_of(data.activations[MID][1][rows.index])
    for fold, (train, _) in enumerate(graph_folds(rows.graphs, 3, 0)):
        probe, _ = fit_probe("logistic", features[train], rows.labels[train])
        read = probe.predict(other.activations[MID][1][theirs.index])
        assert scored.accuracy[0, 0, 0, fold] == np.mean(read == theirs.labels)
        common = np.bincount(rows.labels[train]).argmax()
        assert scored.majority[0, fold] == np.mean(theirs.labels == common)


def test_the_table_has_the_columns_of_the_grids_own(data, other) -> None:
    grid = fit_probe_grid(data, "value", data, status="computing", folds=3, mdl=True)
    scored = grid.score(other)
    assert isinstance(scored, ProbeGrid)
    table, own = scored.to_frame(), fit_probe_grid(data, "value", folds=3).to_frame()
    assert list(table) == list(own) and len(table) == len(grid.to_frame())
    assert table.n_graphs.max() == 10 and table.n_rows.tolist() == scored.n_rows.repeat(2).tolist()
    assert table["shuffled"].isna().all() and table["selectivity"].isna().all() and scored.bits is None
    last = table[(table.site == POST) & (table.step < 2)]
    assert (last.accuracy > 0.8).all() and (last.majority < 0.6).all()


def test_what_is_scored_can_be_saved_loaded_and_scored_again(data, other, tmp_path: Path) -> None:
    grid = fit_probe_grid(data, "operation", folds=3, controls=False)
    grid.save(tmp_path / "grid")
    again = ProbeGrid.load(tmp_path / "grid")
    assert again.classes.tolist() == ["ADD", "copy", "leaf"]
    expected = grid.score(other).to_frame()
    pd.testing.assert_frame_equal(again.score(other).to_frame(), expected)
    pd.testing.assert_frame_equal(grid.score(other).score(other).to_frame(), expected)


def test_a_class_that_was_never_seen_is_wrong(data, other) -> None:
    seen = data.select(value=[0, 1, 2])
    grid = fit_probe_grid(seen, "value", sites=[POST], steps=[2], status="done", folds=3, controls=False)
    done = other.step_labels["status"][2] == 2
    known = np.isin(other.labels["value"].to_numpy()[done], [0, 1, 2])
    assert 0 < known.mean() < 1
    assert (grid.score(other).accuracy[0] <= known.mean()).all()
    assert grid.score(other.select(value=[0, 1, 2])).mean[0, 0] == 1


def test_a_step_without_rows_is_not_scored(data, model) -> None:
    grid = fit_probe_grid(data, "value", sites=[POST], status="done", steps=[1, 2], folds=3, controls=False)
    shallow = collect(model, graphs(range(3), 10), [POST], n_steps=3)
    done = collect(model, [ComputationGraph.parse("1 = a; 2 = b; a + b = c", 5, 16)], [POST], n_steps=3)
    assert np.isfinite(grid.score(shallow).mean).all()
    scored = fit_probe_grid(data, "value", sites=[POST], status="waiting", steps=[0, 1], folds=3).score(done)
    assert np.isfinite(scored.mean[0, 0]) and np.isnan(scored.mean[1, 0]) and scored.n_rows.tolist() == [1, 0]


def test_data_that_the_probes_do_not_fit_are_refused(data, other, model) -> None:
    grid = fit_probe_grid(data, "value", folds=3, controls=False)
    few = collect(model, graphs(range(3)), [POST], n_steps=3)
    with pytest.raises(ProbeError, match=f"read {MID}, which the data do not have; they have {POST}"):
        grid.score(few)
    short = collect(model, graphs(range(3)), [MID, POST], n_steps=2)
    with pytest.raises(
        ProbeError, match="of steps 0 to 2, and the data have 2 steps; collect them with n_steps=3"
    ):
        grid.score(short)
    wide = ActivationDataset.from_arrays(
        {key: array[..., :7] for key, array in other.activations.items()}, other.labels, other.step_labels
    )
    with pytest.raises(ProbeError, match="dimensions, and the data have 7"):
        grid.score(wide)
    unnamed = ActivationDataset.from_arrays(other.activations, other.labels.drop(columns="value"))
    with pytest.raises(ProbeError, match="no target 'value'"):
        grid.score(unnamed)
    words = ActivationDataset.from_arrays(
        other.activations, other.labels.assign(value=other.labels.operation)
    )
    with pytest.raises(ProbeError, match="'value' is 'ADD' here, and 0 where the probes come from"):
        grid.score(words)


def test_a_grid_of_an_earlier_version_loads_and_says_that_it_has_no_probes(data, tmp_path: Path) -> None:
    grid = fit_probe_grid(data, "value", sites=[POST], folds=3, controls=False)
    arrays = read_npz(grid.save(tmp_path / "grid"))
    old = {
        name: array for name, array in arrays.items() if not name.startswith(("probe ", "classes", "common"))
    }
    write_npz(tmp_path / "old", old)
    loaded = ProbeGrid.load(tmp_path / "old")
    pd.testing.assert_frame_equal(loaded.to_frame(), grid.to_frame())
    with pytest.raises(ProbeError, match="saved without its probes"):
        loaded.score(data)


def test_a_probe_of_one_class_says_it() -> None:
    probe, _ = fit_probe("logistic", np.ones((4, 3)), np.full(4, 2))
    assert said(as_numbers(probe, 5, 3)[None], np.ones((2, 3))).tolist() == [[2, 2]]
