"""Distances that heads are born with: part of the configuration, of what training begins from, and of its control."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analyses.training_dynamics import TrainingStudy
from interp.mechanism.born_distances import BornDistances, born_distances
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, available, load
from models.loading import ZOO, config
from models.positions import RelativeBias
from models.snapshots import snapshots
from models.training.presets import training_config
from models.training.trainer import build_model

SIZES: dict[str, Any] = {"n_layers": 2, "d_model": 16, "n_heads": 4, "d_head": 4, "position_window": 6}
TRAINED = [name for name in available() if name != "compiled"]


def biases(model: RecurrentTransformer) -> list[Tensor]:
    """[head, distance] of every layer."""
    parts = [layer.attn.pos for layer in model.layers]
    return [part.bias.detach() for part in parts if isinstance(part, RelativeBias)]


def planted(**changes: Any) -> RecurrentTransformer:
    return RecurrentTransformer(RecurrentConfig(**(SIZES | {"born_distances": 3.0} | changes)))


def test_head_j_of_the_first_layer_starts_at_distance_j() -> None:
    first, second = biases(planted())
    assert torch.equal(first, 3 * torch.eye(4, 6)) and not second.any()
    (wide,) = biases(planted(n_layers=1, n_heads=8, position_window=6, attention_dir="bidirectional"))
    assert wide.shape == (8, 11)
    assert torch.equal(wide, 3 * torch.eye(8, 11) * (torch.arange(11) < 6)), (
        "later columns are distances ahead"
    )


def test_nothing_else_of_the_initialisation_changes() -> None:
    with_it, without = planted().state_dict(), planted(born_distances=0.0).state_dict()
    differ = [name for name, value in with_it.items() if not torch.equal(value, without[name])]
    assert differ == ["blocks.0.attn.pos.bias"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_control_of_a_bundled_model_starts_where_its_training_started(name: str) -> None:
    settings = json.loads((ZOO / name / "training.json").read_text())["training"]
    assert config(name).born_distances == settings["born_distances"]
    own = biases(load(name).untrained(1))
    assert torch.equal(own[0], settings["born_distances"] * torch.eye(*own[0].shape))
    assert not any(later.any() for later in own[1:])


def test_the_trainer_passes_it_on_through_the_configuration() -> None:
    model = build_model(training_config("discrete", "smoke", born_distances=2.0))
    assert model.cfg.born_distances == 2.0
    assert RecurrentConfig.from_json(model.cfg.to_json()) == model.cfg
    control = model.untrained(model.cfg.seed)
    assert all(torch.equal(value, control.state_dict()[name]) for name, value in model.state_dict().items())
    rotary = training_config("discrete", "smoke", born_distances=2.0, model={**SIZES, "positions": "rotary"})
    assert build_model(rotary).cfg.born_distances == 0.0


def test_a_checkpoint_from_before_the_field_loads_as_ever(tmp_path: Path) -> None:
    model = planted(born_distances=0.0)
    model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["born_distances"], values["sha256"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    again = load(tmp_path)
    assert again.cfg == model.cfg and again.cfg.born_distances == 0.0
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


# What becomes of them ---------------------------------------------------------------------------------------------


def followed() -> tuple[list[tuple[int, RecurrentTransformer]], list[ComputationGraph]]:
    """Two snapshots of a model whose heads look by distance alone: head 1 goes to distance 3, and comes back."""
    graphs = [
        ComputationGraph.sample(10, n_leaves=4, modulus=5, n_variables=16, seed=seed) for seed in range(2)
    ]
    models = [planted(born_distances=60.0, modulus=5, n_variables=16).eval() for _ in range(2)]
    with torch.no_grad():
        biases(models[0])[0][1, 3] = 120.0
        biases(models[1])[0][2] = 0.0
    return list(zip((4, 9), models, strict=True)), graphs


def test_where_heads_look_is_followed_from_birth() -> None:
    snapshots, graphs = followed()
    found = born_distances(snapshots, graphs)
    assert found is not None and found.strength == 60.0 and found.steps.tolist() == [0, 4, 9]
    assert found.largest.tolist() == [[0, 1, 2, 3], [0, 3, 2, 3], [0, 1, 0, 3]]
    assert found.kept.all(1).tolist() == [True, False, False]
    assert found.bias == pytest.approx(np.array([[1.0] * 4, [1, 0, 1, 1], [1, 1, 1 / 6, 1]]), abs=1e-9)
    assert found.attention[:, [0, 3]] == pytest.approx(1.0, abs=1e-6)
    assert found.attention[:, 1] == pytest.approx([1, 0, 1], abs=1e-6)
    assert 0 < found.attention[2, 2] < 0.2, "without a bias, spread over what stands before"
    said = found.verdict()
    assert "a bias of 60 at distance j" in said and "2 of 4 heads have" in said
    assert "as little as 0.00 (head 0.1, step 4)" in said and "came back for heads 0.1" in said
    frame = found.to_frame()
    assert len(frame) == 12 and frame.query("step == 4 and head == 1")["largest"].tolist() == [3]
    bias, attention = [trace for trace in found.figure().data if trace.type == "heatmap"]
    assert np.array_equal(np.array(bias.z, float), found.bias.T)
    assert np.array_equal(np.array(attention.z, float), found.attention.T)
    again = BornDistances.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    with pytest.raises(ValueError, match="a snapshot for each step"):
        BornDistances.from_dict(found.to_dict() | {"steps": [1]})


def test_a_run_without_planted_distances_has_nothing_to_follow() -> None:
    graphs = followed()[1]
    assert born_distances([(1, planted(born_distances=0.0, modulus=5, n_variables=16))], graphs) is None
    with pytest.raises(ValueError, match="there is no snapshot"):
        born_distances([], graphs)


def test_the_bundled_run_kept_its_biases_and_not_its_attention() -> None:
    """What ships with the package, and two of its rows again from the weights."""
    study = TrainingStudy.bundled("discrete-corrected")
    assert study is not None and study.born is not None
    born = study.born
    assert born.steps[1:].tolist() == study.dynamics.steps.tolist()
    assert born.kept.all(), "every head's largest bias is where it was born, in every snapshot"
    assert study.verdict().endswith(f"{born.verdict()}.")
    assert list(study.figures()) == ["training", "onsets", "distances"]
    some = [pair for pair in snapshots("discrete-corrected") if pair[0] in (131, 11951)]
    again = born_distances(some, [ComputationGraph.sample(16, seed=seed) for seed in range(2)])
    assert again is not None
    rows = np.searchsorted(born.steps, again.steps)
    assert again.bias == pytest.approx(born.bias[rows]) and np.array_equal(again.largest, born.largest[rows])
    assert again.attention == pytest.approx(born.attention[rows], abs=0.15), "other graphs"
    names = again.attention[:, [2, 4, 6]]  # the heads that copy names in the end
    assert names[0].min() > 0.7 and names[1].max() < 0.5 and names[2].min() > 0.7
