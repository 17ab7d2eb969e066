"""The bundled checkpoints: each loads by name, carries a card, and does what its evaluation says."""

from __future__ import annotations

import json

import pytest
import torch

from models import ComputationGraph, available, load
from models.loading import ZOO
from models.loading import config as load_config
from models.solving import solve
from models.training.presets import METHODS, TRAINABLE

BUNDLED = [name for name in available() if name != "compiled"]


def test_every_method_is_bundled() -> None:
    assert {load_config(name).method for name in BUNDLED} == set(TRAINABLE)
    assert set(METHODS) <= set(BUNDLED)
    assert {"discrete-corrected-mixed", "discrete-corrected-20min"} <= set(BUNDLED)
    assert load_config("discrete-corrected-mixed").ops == ("ADD", "SUB", "MUL")


@pytest.mark.parametrize("name", BUNDLED)
def test_card_and_size(name: str) -> None:
    card = (ZOO / name / "README.md").read_text()
    for fact in (
        "recurlens train --method",
        "--seed",
        "--minutes",
        "recurlens evaluate",
        "processor",
        "date",
    ):
        assert fact in card, fact
    assert sum(path.stat().st_size for path in (ZOO / name).glob("*.*")) < 10 * 2**20
    evaluation = json.loads((ZOO / name / "evaluation.json").read_text())
    assert [size["n_nodes"] for size in evaluation["sizes"]] == list(range(8, 129, 8))


@pytest.mark.parametrize("name", BUNDLED)
def test_it_does_what_its_evaluation_says(name: str) -> None:
    """On 24 graphs of 24 nodes drawn here: no fewer solved than chance allows, given the measured rate."""
    model = load(name)
    sizes = json.loads((ZOO / name / "evaluation.json").read_text())["sizes"]
    (measured,) = [size["fully_solved"] for size in sizes if size["n_nodes"] == 24]
    run = solve(
        model,
        [ComputationGraph.sample(24, ops=model.vocabulary.ops, seed=7_000_000 + i) for i in range(24)],
    )
    solved = int(run.fully_solved.sum())
    slack = 4 * (24 * max(measured * (1 - measured), 0.02)) ** 0.5
    assert abs(solved - 24 * measured) <= slack


@pytest.mark.parametrize("name", BUNDLED)
def test_it_is_no_untrained_model(name: str) -> None:
    """Guard: fresh weights of the same shape solve nothing."""
    model = load(name)
    graphs = [ComputationGraph.sample(12, ops=model.vocabulary.ops, seed=i) for i in range(4)]
    assert not solve(model.untrained(seed=1), graphs, n_steps=6).fully_solved.any()
    assert torch.isfinite(model.W_U).all()
