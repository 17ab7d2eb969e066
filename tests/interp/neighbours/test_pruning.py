"""Periodicity of neurons on curves whose IPR is known, and pruning where waves carry the sum and where a table does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.neighbours.pruning import ORDERS, ipr, prune_neurons
from models.compiled import CompiledTransformer, compile_model
from tests.interp.fourier_analysis.test_own_frequency import LAST, P, by_phases


def with_decoys() -> CompiledTransformer:
    """A network of waves, and among its neurons some for one pair of values each, which nothing reads."""
    model = by_phases()
    slots, mlp = model.circuit.slots, model.layers[LAST].mlp
    with torch.no_grad():
        for neuron in range(80, P * P):
            mlp.W_in[slots["partial"].start + neuron % P, neuron] = 3
            mlp.W_in[slots["value:last"].start + neuron // P, neuron] = 3
    return model


def test_curves_have_the_ipr_that_is_known() -> None:
    rng = np.random.default_rng(0)
    assert ipr(np.eye(23)) == pytest.approx(1 / 12, abs=1e-12)
    assert ipr(np.cos(2 * np.pi * 5 * np.arange(23) / 23 + 0.7)) == pytest.approx(1)
    assert ipr(rng.normal(size=(20_000, 23))).mean() == pytest.approx(22.75 / 143.75, rel=0.01)
    assert ipr(np.eye(23), constant=False) == pytest.approx(1 / 11)
    assert np.isnan(ipr(np.zeros(5)))


def test_waves_carry_the_sum_where_they_were_planted() -> None:
    found = prune_neurons(with_decoys(), points=8, draws=4)
    frame = found.frames()["neurons"]
    assert found.layer == LAST and "periodic neurons carry" in found.sentence()
    assert frame.ipr_1[:80].min() > 0.99 and frame.ipr_1[80 : P * P].max() < 0.3
    assert found.accuracy["lowest"][0, 2] == 1.0 > found.halved("highest")


def test_nothing_is_said_of_a_table() -> None:
    found = prune_neurons(compile_model(("ADD",), modulus=5, n_variables=16), points=5, draws=3)
    assert not found.periodic_carry and "no sign" in found.sentence()
    assert set(found.summary()["pruned"]) == set(found.to_frame()["order"]) == set(ORDERS)
    assert found.accuracy["random"].shape == (3, 6)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="1 draw or more"):
        prune_neurons(compile_model(("ADD",), modulus=5, n_variables=16), draws=0)
