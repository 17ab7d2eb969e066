"""Configurations and checkpoints: round trips, and what a user is told when a file is wrong."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from models import CheckpointError, ComputationGraph, RecurrentConfig, RecurrentTransformer, available, load
from models.config import ConfigError

CFG = RecurrentConfig(
    n_layers=1, d_model=12, n_heads=2, d_head=5, d_mlp=16, positions="deberta", ops=("ADD", "MUL")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    RecurrentTransformer(CFG).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("positions", ["deberta", "relative_bias", "rotary", "absolute", "none"])
def test_round_trip(tmp_path: Path, positions: str) -> None:
    cfg = RecurrentConfig.from_dict(CFG.to_dict() | {"positions": positions, "d_head": 6, "seed": 5})
    model = RecurrentTransformer(cfg).eval()
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = load(tmp_path)
    assert not again.training and again.cfg == cfg
    graph = ComputationGraph.sample(8, ops=("ADD", "MUL"), seed=1)
    with torch.no_grad():
        assert torch.equal(again(graph, n_steps=2), model(graph, n_steps=2))


def test_config_json_round_trip() -> None:
    assert RecurrentConfig.from_json(CFG.to_json()) == CFG
    assert CFG.d_vocab == CFG.d_vocab_out == 6 + 129 + 3 + 25
    assert json.loads(CFG.to_json())["dtype"] == "float32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "spiral"}, "positions='spiral' is not allowed; choose one of"),
        ({"n_layers": 0}, "n_layers must be a positive integer, got 0"),
        ({"d_head": 2.5}, "d_head must be a positive integer, got 2.5"),
        ({"positions": "rotary", "d_head": 5}, "d_head must be even"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"attention_noise": -1.0}, "must not be negative"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"default_steps": 0}, "default_steps must be at least 1"),
        ({"attention_scale_reference": 1}, "at least 2"),
        ({"positions": "none", "born_distances": 5.0}, "born_distances=5.0 needs positions='relative_bias'"),
        ({"no_such_field": 1}, "unknown configuration fields"),
        ({"dtype": "float99"}, "is not a torch dtype"),
    ],
)
def test_config_errors(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecurrentConfig.from_dict(CFG.to_dict() | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda:99" if torch.cuda.is_available() else "cuda"}, "device='cuda"),
        ({"device": "meta"}, "device='meta' cannot be used; here are cpu"),
        ({"eps": "x"}, "eps must be a finite number, got 'x'"),
        ({"eps": float("nan")}, "eps must be a finite number, got nan"),
        ({"eps": -1.0}, "eps must not be negative"),
        ({"born_distances": float("inf")}, "born_distances must be a finite number, got inf"),
        ({"n_layers": 10**9}, "n_layers must be at most 1000000"),
        ({"modulus": 10**30}, "modulus must be a whole number of at most 64 bits"),
        ({"ops": "ADD"}, "ops must be a list of strings, got 'ADD'"),
        ({"ops": [["ADD"]]}, "ops must be a list of strings"),
        ({"ops": ["DIV"]}, "ops is ('DIV',). Allowed"),
        ({"dtype": "int32"}, "dtype=torch.int32 cannot be computed with; choose one of float32"),
        ({"positions": []}, r"positions must be a string, got \[\]"),
        ({"default_steps": "3"}, "default_steps must be a whole number of at most 64 bits or null, got '3'"),
        ({"attn_only": 1}, "attn_only must be true or false, got 1"),
        ({f"x{i}": 1 for i in range(99)}, "and 89 more; known are"),
    ],
)
def test_config_values_of_another_kind(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("('DIV',)", r"\('DIV',\)")):
        RecurrentConfig.from_dict(CFG.to_dict() | changes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "lists and objects are nested too deeply"),
        ('{"seed": ' + "9" * 5000 + "}", "a number has more than 4300 digits"),
    ],
)
def test_config_json_that_is_deep_or_has_endless_numbers(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"not a JSON configuration: {problem}$"):
        RecurrentConfig.from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 1_000_000}, "missing blocks.1: config.json says n_layers=1000000, the file has 1"),
        ({"d_model": 1_000_000}, r"embed.W_E is \(163, 12\), but config.json .* asks for \(163, 1000000\)"),
        ({"n_variables": 1_000_000}, r"asks for \(1000035, 12\)"),
        ({"position_window": 1_000_000}, "asks for"),
        ({"d_mlp": 1_000_000, "d_head": 1_000_000, "n_heads": 1_000_000}, "asks for"),
    ],
)
def test_sizes_are_compared_before_anything_is_allocated(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    begin = time.process_time()
    with pytest.raises(CheckpointError, match=message):
        load(folder)
    assert time.process_time() - begin < 15


def test_names_and_paths_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no model 'no-such-model'; bundled are compiled"):
        load("no-such-model")
    with pytest.raises(CheckpointError, match="has no config.json"):
        load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"):
        load(tmp_path / "file")
    assert available()[0] == "compiled"


def test_damaged_files(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="model.safetensors is damaged or truncated"):
        load(folder)
    weights.write_bytes(whole[:-40] + bytes(20))
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load(folder)
    weights.write_bytes(whole)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a JSON configuration"):
        load(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="is a JSON object"):
        load(folder)


def test_weights_that_do_not_fit(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_variables": 64}))
    with pytest.raises(
        CheckpointError, match=r"embed.W_E is \(163, 12\), but config.json .* asks for \(99, 12\)"
    ):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"n_layers": 2}))
    with pytest.raises(CheckpointError, match="missing .*blocks.1"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"surplus": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="not expected .*surplus"):
        load(folder)


@pytest.mark.parametrize("n_good", [0, 1, 2])
def test_a_failed_save_leaves_the_old_checkpoint(
    n_good: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is flushed, and then its folder; the third flush is that of the weights."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    original, calls = os.fsync, []

    def full_after_a_while(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > n_good:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(CheckpointError, match="cannot write a checkpoint to .*No space left"):
        RecurrentTransformer(RecurrentConfig.from_dict(CFG.to_dict() | {"seed": 1})).save_pretrained(folder)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_seed_decides_the_weights() -> None:
    first, same = RecurrentTransformer(CFG), RecurrentTransformer(CFG)
    other = RecurrentTransformer(RecurrentConfig.from_dict(CFG.to_dict() | {"seed": 1}))
    assert torch.equal(first.W_Q, same.W_Q) and not torch.equal(first.W_Q, other.W_Q)
    state = torch.random.get_rng_state()
    RecurrentTransformer(CFG)
    assert torch.equal(state, torch.random.get_rng_state()), (
        "building a model leaves the global generator alone"
    )


def test_process_weights_computes_the_same() -> None:
    model = RecurrentTransformer(CFG).eval()
    graph = ComputationGraph.sample(8, seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
        for options in ({"fold_ln": True}, {"fold_ln": True, "center_writing_weights": True}):
            folded = model.process_weights(**options)
            assert folded.cfg.normalization_type == "LNPre" and model.cfg.normalization_type == "LN"
            assert torch.allclose(folded(graph, n_steps=1), model(graph, n_steps=1), atol=1e-4)
    with pytest.raises(ValueError, match="only normalization_type='LN'"):
        load("compiled").process_weights()


def test_models_offers_its_names_lazily() -> None:
    assert set(models.__all__) <= set(dir(models))
    for name in models.__all__:
        assert getattr(models, name).__module__.startswith("models.")
    with pytest.raises(AttributeError, match="it offers"):
        models.RecurentTransformer  # noqa: B018
