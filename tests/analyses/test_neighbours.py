"""The commands of neighbouring papers' questions on a small known model: what they write, and that it repeats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import recurlens
from tests.small_models import save_compiled

TEXT = "1 = a; 2 = b; a + b = c"
COMMANDS: dict[str, tuple[str, ...]] = {
    "neurons": ("--draws", "1"),
    "modularity": ("--clusters", "2", "--shuffles", "1"),
    "massive": (TEXT,),
    "subnetwork": (TEXT, "--rounds", "2", "--draws", "1"),
    "degeneracy": (TEXT, "--chains", "1", "--length", "0.05"),
    "addition": (TEXT,),
    "separation": (TEXT,),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_compiled(tmp_path_factory.mktemp("model") / "small")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_its_tables_and_a_config_repeats_it(name: str, model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second.json"
    done = recurlens(name, "-m", model, *COMMANDS[name], "--out", first)
    assert f"{model}: " in done.out
    stem = name.replace("-", "_")
    assert {f"{stem}.csv", f"{stem}.html", "config.yaml"} <= {path.name for path in first.iterdir()}
    recurlens(name, "--config", first / "config.yaml", "--json", second, "--quiet")
    assert second.read_text() == (first / f"{stem}.json").read_text()
    assert json.loads(second.read_text())["verdict"] in done.out.replace("\n", " ")


def test_a_model_without_steps_is_refused() -> None:
    recurlens("neurons", "-m", "chain-of-thought", code=2)
