"""Heads whose kind is known lie where they belong; a run of training parts them when `training-dynamics` says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.training_dynamics import TrainingStudy
from interp.neighbours.separation import HeadSeparation, head_separation
from models import ComputationGraph, load
from models.compiled import compile_model
from models.snapshots import snapshots
from tests.small_models import numbers

GRAPHS = [ComputationGraph.sample(9, seed=seed) for seed in range(2)]


def test_known_heads_are_told_apart() -> None:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    graph = ComputationGraph.parse("1 = a; 2 = b; 3 = c; a + b + c = d", modulus=5, n_variables=16)
    found = head_separation(model, [graph])
    kinds = {
        (head.layer, head.head): "name" if head.role.startswith("name") else "lookup"
        for head in model.circuit.heads
        if head.role.startswith(("name", "value"))
    }
    assert {place: str(found.kind[place]) for place in kinds} == kinds
    assert found.separation[-1] > 0.95 > found.separation[0]
    figure = found.figures()["plane"]
    assert [frame.name for frame in figure.frames] == ["0", "1"]
    assert [step.label for step in figure.layout.sliders[0].steps] == ["untrained", "as trained"]


def test_onsets_are_those_of_the_training_dynamics() -> None:
    known = TrainingStudy.bundled("discrete-corrected")
    assert known is not None
    some = [(step, model) for step, model in snapshots("discrete-corrected") if step > 300]
    found = head_separation(load("discrete-corrected"), GRAPHS, some)
    steps = known.dynamics.steps.tolist()
    for row in found.onsets().to_dict("records"):
        if row["what"] != "separation":
            at = (np.searchsorted(steps, one) for one in (row["onset"], known.dynamics.onset(row["what"])))
            assert abs(int(next(at)) - int(next(at))) <= 1, row["what"]


def test_without_both_kinds_nothing_separates() -> None:
    graph = ComputationGraph.parse("1 = a; 2 = b; a + b = c", modulus=5, n_variables=16)
    found = head_separation(numbers(), [graph])
    assert np.isnan(found.separation).all() and "nothing separates" in found.sentence()
    assert isinstance(found, HeadSeparation) and isinstance(found.to_frame(), pd.DataFrame)
    with pytest.raises(ValueError, match="graph"):
        head_separation(numbers(), [])
