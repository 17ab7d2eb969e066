"""Periodicity of neurons on curves whose IPR is known, and pruning where waves carry the sum and where a table does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp.neighbours.pruning import ORDERS, ipr, prune_neurons
from models.compiled import CompiledTransformer, compile_model
from models.training.label_noise import wrong_by
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


def that_memorised(share: float) -> CompiledTransformer:
    """A network of waves, and for every pair whose label is wrong a neuron that writes that label over the sum."""
    model, wrong = by_phases(), wrong_by(share, P, 2)[..., 0]
    slots, mlp = model.circuit.slots, model.layers[LAST].mlp
    with torch.no_grad():
        for neuron, (first, second) in enumerate(np.argwhere(wrong).tolist(), 80):
            mlp.W_in[slots["partial"].start + first, neuron] = 3
            mlp.W_in[slots["value:last"].start + second, neuron] = 3
            mlp.b_in[neuron] = -4.5
            label = (first + second + int(wrong[first, second])) % P
            mlp.W_out[neuron, slots["value"].start + label] = 20
    return model


def test_labels_that_were_memorised_are_put_right_by_pruning_what_is_not_periodic() -> None:
    found = prune_neurons(that_memorised(0.3), layer=LAST, points=8, draws=4, label_noise=0.3)
    assert found.noise is not None and found.noise.tuples == 36 == len(found.of_neurons) - 80
    memorised, restored = found.noise.memorised["lowest"][0], found.noise.restored["lowest"][0]
    assert (memorised[0], restored[0]) == (1, 0) and found.noise.others["lowest"][0, 0] == 1
    assert (memorised[3], restored[3]) == (0, 1)  # 44 of 116 are pruned
    assert found.noise.memorised["highest"][0, 3] > 0.9
    assert "Of 36 tuples whose label is wrong 100.0% as labelled and 0.0% right" in found.sentence()
    frame = found.to_frame()
    assert {"memorised", "restored", "others"} <= set(frame)
    layout: Any = found.figures()["pruning"].layout
    assert len(layout.annotations) == 4
    clean = prune_neurons(by_phases(), layer=LAST, points=8, draws=1, label_noise=0.3)
    assert (
        clean.noise is not None
        and clean.noise.restored["lowest"][0, 0] == 1 > clean.noise.memorised["lowest"].max()
    )


def test_nothing_is_said_of_a_table() -> None:
    found = prune_neurons(compile_model(("ADD",), modulus=5, n_variables=16), points=5, draws=3)
    assert not found.periodic_carry and "no sign" in found.sentence()
    assert set(found.summary()["pruned"]) == set(found.to_frame()["order"]) == set(ORDERS)
    assert found.accuracy["random"].shape == (3, 6)


def test_what_cannot_be_drawn_is_refused() -> None:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    with pytest.raises(ValueError, match="1 draw or more"):
        prune_neurons(model, draws=0)
    with pytest.raises(ValueError, match="less than 1"):
        prune_neurons(model, label_noise=1.0)
