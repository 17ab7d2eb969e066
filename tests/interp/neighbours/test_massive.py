"""A planted outlier is found where it was planted; the known model has none; a curve of growth is fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.neighbours.massive import fit_growth, massive_activations
from models import ComputationGraph, load
from tests.small_models import numbers

GRAPHS = [ComputationGraph.parse("4 = a; 2 = b; a + b = c; c + b = d", modulus=5, n_variables=16)]


def test_a_planted_outlier_is_found_exactly() -> None:
    model = numbers()
    with torch.no_grad():
        model.layers[1].attn.b_O[7] = 500.0
    found = massive_activations(model, GRAPHS, [(step, model) for step in range(1, 9)], draws=2)
    assert (found.layer, found.dimension) == (1, 7) and (found.own.dimension[:, 1] == 7).all()
    assert np.allclose(found.own.largest[:, 1], 500, atol=10) and not found.own.massive[:, 0].any()
    frame = found.to_frame()
    assert (frame["ratio"] == frame["largest"] / frame["median"]).all()
    assert found.growth is not None and np.isnan(found.growth.five)  # nothing grows
    assert "growth has no fit by five parameters, " in found.sentence()


def test_the_known_model_has_none() -> None:
    graphs = [ComputationGraph.sample(8, seed=seed) for seed in range(2)]
    found = massive_activations(load("compiled"), graphs, draws=2)
    assert not found.own.massive.any() and np.isnan(found.own.ratio).all()
    assert "no step and layer has" in found.sentence() and "not defined" in found.sentence()
    assert found.full == 1 and found.growth is None


def test_a_curve_of_growth_is_fitted() -> None:
    steps = np.unique(np.geomspace(10, 10_000, 20).astype(int))
    x = 8 * steps / steps.max() + 1.2
    rising = 30 + 90 * np.exp(-0.2 * x) * np.log(x)
    assert fit_growth(steps, rising)[1] > 0.999
    noise = np.random.default_rng(0).normal(size=len(steps))
    assert fit_growth(steps, noise)[1] < 0.6
    assert np.isnan(fit_growth(steps[:5], rising[:5])[1])


def test_no_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="no graphs"):
        massive_activations(load("compiled"), [])
