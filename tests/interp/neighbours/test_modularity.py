"""Clusters of a matrix that has four; MLPs that are modules where they were planted, and where they were not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from interp.neighbours.modularity import cocluster, inside, modularity
from models.compiled import compile_model


def test_planted_blocks_are_found() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.repeat(np.arange(4), 12), np.repeat(np.arange(4), 30)
    weights = rng.normal(size=(48, 120)) * (rows[:, None] == columns) + 0.001 * rng.normal(size=(48, 120))
    order, other = rng.permutation(48), rng.permutation(120)
    found = cocluster(weights[order][:, other], 4)
    assert inside(weights[order][:, other], found) >= 0.999
    assert (
        adjusted_rand_score(rows[order], found.rows)
        == adjusted_rand_score(columns[other], found.columns)
        == 1
    )


def test_planted_weights_are_modular_and_noise_is_not() -> None:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    with torch.no_grad():
        for layer in model.layers[:2]:
            layer.mlp.W_in.normal_()
        rows, columns = (torch.arange(size) % 3 for size in model.layers[0].mlp.W_in.shape)
        model.layers[0].mlp.W_in[rows[:, None] != columns] = 0
    found = modularity(model, k=3, shuffles=4, draws=2)
    frame = found.to_frame().query("matrix == 'W_in'").set_index("layer")
    assert frame["inside"][0] > 0.999 and frame["shuffled_most"][0] < 0.9
    assert abs(frame["inside"][1] - frame["shuffled"][1]) < 0.03
    assert "W_in of layer 0 has 100.0%" in found.sentence()
    assert list(found.frames()["matches"]["label"]) == ["operand", "frequency", "factor"]


def test_rows_of_zeros_belong_to_no_cluster_and_too_few_are_refused() -> None:
    weights = np.kron(np.eye(2), np.ones((2, 3)))
    weights[0] = 0
    assert cocluster(weights, 2).rows.tolist()[0] == -1
    with pytest.raises(ValueError, match="2 clusters or more"):
        cocluster(weights, 4)
