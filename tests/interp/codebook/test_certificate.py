"""The certificate on the known model, on a damaged copy, and its bound by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from interp import Certificate, certify
from interp.codebook.certificate import algorithm_run, draw_by_cell
from interp.statistics.shares import wilson_interval
from models import ComputationGraph, RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import untrained

OPS, MODULUS = ("ADD", "SUB"), 5


def sample(seed: int) -> ComputationGraph:
    return ComputationGraph.sample(9, ops=OPS, n_leaves=3, modulus=MODULUS, n_variables=16, seed=seed)


GRAPHS = [sample(seed) for seed in range(10)]


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return compile_model(OPS, modulus=MODULUS, n_variables=16)


@pytest.fixture(scope="module")
def found(model) -> Certificate:
    return certify(model, GRAPHS[:6], GRAPHS[6:], edits=300, seed=1)


def test_every_step_of_the_known_model_is_the_algorithms(found: Certificate):
    assert found.on.value == found.off.value == found.affected.value == 1
    assert found.on.total == found.n_steps * 6
    assert found.off.total >= 290
    assert (found.differed == -1).all()


def test_a_model_that_ignores_the_edit_has_no_affected_value_right(found: Certificate):
    assert found.affected.total > 100
    assert found.ignored.count == 0


def test_cells_of_step_depth_and_factor_have_as_many_edits(model, found: Certificate):
    run = algorithm_run(model, GRAPHS[:6])
    edits, cells = draw_by_cell(run, 300, np.random.default_rng(1))
    assert cells == found.cells
    depths = run.encoded.depths
    counts = pd.Series(
        [(edit.step, int(depths[edit.graph, edit.node]), edit.kind) for edit in edits]
    ).value_counts()
    assert len(counts) == cells and counts.max() == -(-300 // cells)
    again, _ = draw_by_cell(run, 300, np.random.default_rng(1))
    assert again == edits


def test_the_algorithms_run_is_that_of_the_known_model(model):
    run = algorithm_run(model, GRAPHS[:3])
    assert torch.equal(run.states, model.run(GRAPHS[:3], n_steps=run.n_steps).states)


def test_bounds_are_sums_of_what_single_steps_may_miss(found: Certificate):
    steps = found.steps()
    miss = 1 - wilson_interval(6, 6)[0]
    assert steps["low"].tolist() == pytest.approx([1 - miss] * found.n_steps)
    assert steps["bound"].tolist() == pytest.approx([min(1, miss * (t + 1)) for t in range(found.n_steps)])
    assert (steps["bound_all"] >= steps["bound"] - 1e-12).all()
    assert (steps["observed"] == 0).all()
    by_hand = Certificate(
        np.array([[True, True, False, True]]), found.edits, found.cells, np.array([-1, 1, 2]), 0.95
    )
    (row,) = by_hand.steps().to_dict("records")
    assert row["agree"] == 3 and row["differed"] == 1 and row["observed"] == pytest.approx(1 / 3)


def test_an_untrained_model_has_none():
    model = untrained(ops=OPS, modulus=MODULUS, n_variables=16)
    found = certify(model, GRAPHS[:2], GRAPHS[2:4], edits=40)
    assert found.on.count == found.off.count == 0
    assert (found.differed == 1).all()
    assert found.steps()["bound"].iloc[0] == 1


def test_what_cannot_be_asked_is_said(model):
    hidden = untrained(ops=OPS, modulus=MODULUS, n_variables=16, bottleneck="continuous")
    with pytest.raises(ValueError, match="do not compose into a certificate"):
        certify(hidden, GRAPHS[:1], GRAPHS[1:2])
    with pytest.raises(ValueError, match="there are 0 graphs to ask and 1 to run"):
        certify(model, [], GRAPHS[:1])
    with pytest.raises(ValueError, match="edits is 0"):
        certify(model, GRAPHS[:1], GRAPHS[1:2], edits=0)
    with pytest.raises(ValueError, match="confidence is 1"):
        certify(model, GRAPHS[:1], GRAPHS[1:2], confidence=1)


def test_the_figure_says_what_was_found(found: Certificate):
    text = found.figure().layout.title.subtitle.text.replace("<br>", " ")
    assert str(found.off) in text
