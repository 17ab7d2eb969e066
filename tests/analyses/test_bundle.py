"""What ships of a run: the model byte for byte, its settings, and a learning curve that keeps its ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analyses.bundle import FILES, bundle, thinned
from analyses.equal_budget import total_minutes
from analyses.inputs import InputError
from analyses.train import train
from models import load


def test_a_thinned_curve_keeps_its_ends_and_the_validations() -> None:
    records = [{"step": step} for step in range(100)]
    records.insert(40, {"step": 40, "event": "validation"})
    kept = thinned(records, 10)
    assert [record["step"] for record in kept if "event" not in record] == list(range(0, 100, 11))
    assert [record for record in kept if "event" in record] == [{"step": 40, "event": "validation"}]
    assert thinned(records, 1000) == records
    assert thinned([], 10) == []


def test_a_run_is_bundled_and_loads(tmp_path: Path) -> None:
    run = train("discrete", "smoke", steps=6, out=tmp_path / "run", quiet=True, snapshots=2)
    folder = bundle(run, tmp_path / "shipped", records=3)
    for name in FILES:
        assert (folder / name).read_bytes() == (run / name).read_bytes()
    kept = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in kept if "event" not in record] == [1, 3, 6]
    assert kept[-1]["event"] == "validation"
    assert {path.name for path in (folder / "snapshots").iterdir()} == {
        path.name for path in (run / "snapshots").iterdir()
    }
    assert not (folder / "checkpoint.pt").exists()
    assert load(folder).cfg == load(run).cfg


def test_what_a_run_began_with_is_named_and_its_minutes_are_counted(tmp_path: Path) -> None:
    first = train("discrete", "smoke", minutes=0.02, steps=2, out=tmp_path / "first", quiet=True)
    second = train(
        "discrete", "smoke", minutes=0.01, steps=2, out=tmp_path / "second", quiet=True, start=str(first)
    )
    third = train(
        "discrete", "smoke", minutes=0.04, steps=2, out=tmp_path / "third", quiet=True, start=str(second)
    )
    settings = json.loads((bundle(third, tmp_path / "shipped") / "training.json").read_text())
    assert settings["training"]["start"] == "second"
    spent = [
        json.loads((run / "log.jsonl").read_text().splitlines()[-2])["seconds"] for run in (first, second)
    ]
    assert settings["minutes_before"] == pytest.approx(sum(spent) / 60)
    assert total_minutes(settings, tmp_path) == pytest.approx(0.04 + sum(spent) / 60)


def test_weights_of_half_precision_are_half_as_large_and_load(tmp_path: Path) -> None:
    run = train("discrete", "smoke", steps=2, out=tmp_path / "run", quiet=True)
    folder = bundle(run, tmp_path / "shipped", half=True)
    sizes = [(at / "model.safetensors").stat().st_size for at in (folder, run)]
    assert sizes[0] < 0.6 * sizes[1]
    ours, theirs = load(folder), load(run)
    assert ours.cfg == theirs.cfg
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value.half().to(value.dtype))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no finished run: it has no config.json, model.safetensors"):
        bundle(tmp_path, tmp_path / "shipped")
