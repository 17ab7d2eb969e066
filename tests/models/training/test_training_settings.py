"""Single settings of a run: what `--set` and `train(settings=...)` change, where they land, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyses.inputs import InputError
from analyses.train import train
from models import load
from models.config import ConfigError
from models.training.overrides import flat, override, read_setting
from models.training.presets import SettingsError, training_config
from tests.cli.commands import recurlens

SMALL: dict[str, Any] = {"validation_sizes": [5], "validation_graphs": 1}
FEW = [f"--set={name}={json.dumps(value)}" for name, value in SMALL.items()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-3", ("learning_rate", 1e-3)),
        ("model.positions=rotary", ("model.positions", "rotary")),
        ("model.position_norm=false", ("model.position_norm", False)),
        ("model.default_steps=null", ("model.default_steps", None)),
        ("validation_sizes=8,16", ("validation_sizes", [8, 16])),
        ("validation_sizes=[8]", ("validation_sizes", [8])),
        ('phases.0.frozen=["a=b", "c"]', ("phases.0.frozen", ["a=b", "c"])),
        (" ema = NaN ", ("ema", "NaN")),
    ],
)
def test_a_value_is_json_or_a_text(text: str, expected: tuple[str, Any]) -> None:
    assert read_setting(text) == expected


def test_a_model_keeps_what_its_preset_says_besides() -> None:
    config = training_config("discrete", "staged")
    changed = override(config, {"model.modulus": 7, "phases.0.tokens": 100, "betas": [0.8, 0.9], "ema": 0.5})
    assert changed.model == config.model | {"modulus": 7}
    assert changed.phases[0] == config.phases[0].model_copy(update={"tokens": 100})
    assert changed.phases[1:] == config.phases[1:] and (changed.betas, changed.ema) == ((0.8, 0.9), 0.5)
    named = flat(changed.model_dump(mode="json"))
    was = flat(config.model_dump(mode="json"))
    assert {name for name in named if named[name] != was.get(name)} == {
        "model.modulus", "phases.0.tokens", "betas", "ema",
    }  # fmt: skip
    assert override(config, {}) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "learning_rat",
            1,
            r"no setting 'learning_rat'; allowed are model.NAME, .*learning_rate.*phases.NUMBER",
        ),
        ("learning_rate", -1, "learning_rate=-1: Input should be greater than 0"),
        ("learning_rate", "inf", "learning_rate='inf': Input should be a finite number"),
        ("learning_rate.x", 1, "learning_rate is a single setting and has no 'x'"),
        ("seed", 3, "seed has an option of its own: give it as --seed"),
        ("start", "x", "give it as --from"),
        ("phases.9.tokens", 1, r"there is no phase '9'; there are 0 \(.*\), 1 \("),
        ("phases.0.token", 1, "a phase has no setting 'token'; allowed are name, sizes"),
        ("phases.0.tokens", 0, "phases.0.tokens=0: Input should be greater than or equal to 1"),
        ("model.ops", ["ADD"], "model.ops is that of the run: give it as --ops"),
        ("model.width", 1, "the model has no setting 'width'; known are .*d_model"),
        ("model", {"modulus": 7}, "the model has no setting ''; known are"),
        ("model.n_heads", "8", "n_heads must be a positive integer, got '8'"),
        ("model.positions", "spiral", "positions='spiral' is not allowed; choose one of"),
        ("model.n_variables", 20, "graphs of 128 nodes .* need as many names, and model.n_variables is 20"),
    ],
)
def test_what_is_not_allowed_is_said_with_what_is(name: str, value: Any, message: str) -> None:
    with pytest.raises((SettingsError, ConfigError), match=message):
        override(training_config("discrete", "staged"), {name: value})


def test_the_command_trains_what_was_set_and_its_config_file_repeats_it(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    run = ["--method", "discrete", "--preset", "smoke", "--steps", 2, "--quiet"]
    sizes = ["model.modulus=7", "model.positions=rotary", "model.d_model=16", "learning_rate=1e-3"]
    wanted = [*FEW, *(f"--set={setting}" for setting in sizes)]
    recurlens("train", *run, *wanted, "--out", first)
    written = json.loads((first / "training.json").read_text())
    assert written["training"]["model"]["positions"] == written["model"]["positions"] == "rotary"
    assert (written["training"]["learning_rate"], written["model"]["modulus"]) == (1e-3, 7)
    cfg = load(first).cfg
    assert (cfg.modulus, cfg.positions, cfg.d_model, cfg.d_head) == (7, "rotary", 16, 8)
    assert yaml.safe_load((first / "config.yaml").read_text())["set"] == [
        text.removeprefix("--set=") for text in wanted
    ]

    recurlens("train", "--config", first / "config.yaml", "--out", again, "--quiet")
    assert (again / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()

    kept = (first / "config.yaml").read_text()
    refused = recurlens("train", *run, *FEW, "--out", first, code=2).err
    assert "already holds a run" in refused and (first / "config.yaml").read_text() == kept
    longer = [*run[:5], 3, *run[6:]]
    other = recurlens("train", *longer, *wanted[:-1], "--out", first, "--resume", code=2).err
    assert "was trained with learning_rate=0.001, not 0.005; resume with the same settings" in " ".join(
        other.split()
    )
    another = [*wanted[:-3], "--set=model.positions=none", *wanted[-2:]]
    other = recurlens("train", *longer, *another, "--out", first, "--resume", code=2).err
    assert "was trained with model.positions='rotary', not 'none'" in " ".join(other.split())
    recurlens("train", *longer, *wanted, "--out", first, "--resume")
    assert json.loads((first / "training.json").read_text())["training"]["steps"] == 3
    assert yaml.safe_load((first / "config.yaml").read_text())["steps"] == 3


def test_the_command_says_what_is_no_setting() -> None:
    run = ["--method", "discrete", "--preset", "smoke"]
    for given, message in (
        (["--set", "modulus"], "'modulus' is no setting: give NAME=VALUE, such as model.modulus=7"),
        (["--set", "ema=0.5", "--set", "ema=0.6"], "--set ema is given more than once"),
        (["--set", "model.n_heads=x"], "n_heads must be a positive integer, got 'x'"),
    ):
        assert message in " ".join(recurlens("train", *run, *given, code=2).err.split())
    assert "--set model.modulus=7" in " ".join(recurlens("train", "--help").out.split())


def test_in_python_settings_are_a_mapping(tmp_path: Path) -> None:
    settings = {"model.modulus": 5, "model.n_variables": 16, "learning_rate": 1e-3, **SMALL}
    folder = train("discrete", "smoke", steps=1, out=tmp_path / "run", quiet=True, settings=settings)
    assert (load(folder).cfg.modulus, load(folder).cfg.n_variables) == (5, 16)
    assert not (folder / "config.yaml").exists()
    with pytest.raises(InputError, match="was trained with model.modulus=5, not 23"):
        train("discrete", "smoke", steps=2, out=folder, resume=True, quiet=True,
              settings={name: value for name, value in settings.items() if name != "model.modulus"})  # fmt: skip
