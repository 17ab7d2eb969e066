"""What is learnt when: onsets by hand, measures on known and untrained weights, snapshots of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyses.inputs import InputError
from analyses.train import train
from analyses.training_dynamics import study_training
from interp.mechanism.onsets import WORDS, measure, onset, training_dynamics
from models.compiled import compile_model
from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.snapshots import snapshot_files, snapshots
from models.storage import CheckpointError
from tests.cli.commands import recurlens

STEPS = np.array([10, 100, 1000])


def graphs_of(n: int) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(10, n_leaves=4, modulus=5, n_variables=16, seed=seed) for seed in range(n)
    ]


def test_onset_is_half_of_the_rise_on_a_log_scale_for_good() -> None:
    assert onset(STEPS, np.array([0.0, 0.0, 1.0])) == pytest.approx(10**2.5)
    assert onset(STEPS, np.array([0.8, 0.2, 1.0])) == pytest.approx(10**2.5), (
        "from the lowest value, not the first"
    )
    assert onset(STEPS, np.array([0.0, 1.0, 1.0])) == pytest.approx(10**1.5)
    assert onset(STEPS, np.array([1.0, 0.0, 1.0])) == pytest.approx(10**2.5), "an early peak does not count"
    assert np.isnan(onset(STEPS, np.array([0.5, 0.5, 0.55]))), "no rise"


def test_the_known_model_has_everything_and_an_untrained_one_nothing() -> None:
    known = measure(compile_model(("ADD",), modulus=5, n_variables=16), graphs_of(2))
    assert set(known) == set(WORDS)
    for name in ("solved", "committed", "right:1", "right:2", "right:3"):
        assert known[name] == 1.0, name
    for name in WORDS:
        if name.startswith(("name:", "value:")):
            assert known[name] == pytest.approx(1.0, abs=1e-6), name
    cfg = RecurrentConfig(
        modulus=5, n_variables=16, ops=("ADD",), n_layers=2, d_model=32, n_heads=4, d_head=8
    )
    untrained = measure(RecurrentTransformer(cfg).eval(), graphs_of(2))
    assert untrained["solved"] == 0.0 and untrained["committed"] < 0.5
    assert max(untrained[name] for name in untrained if name.startswith(("name:", "value:"))) < 0.5


def test_snapshots_of_a_run_are_measured_in_order(tmp_path: Path) -> None:
    train("discrete-corrected", "smoke", out=tmp_path / "run", quiet=True, snapshots=3)
    files = snapshot_files(tmp_path / "run")
    assert len(files) >= 2 and [step for step, _ in files] == sorted(step for step, _ in files)
    options = (
        "--model",
        tmp_path / "run",
        "--n-nodes",
        8,
        "--graphs",
        1,
        "--out",
        tmp_path / "out",
        "--quiet",
    )
    said = recurlens("training-dynamics", *options).out
    assert said.startswith(f"{tmp_path / 'run'}: ") and said.count("\n") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "training.csv", "training.json", "training.html", "training_onsets.csv", "training_onsets.html", "config.yaml"
    }  # fmt: skip
    lines = (tmp_path / "out" / "training.csv").read_text().splitlines()
    assert len(lines) == 1 + len(files) * len(WORDS)


def test_a_model_without_snapshots_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="compiled has no snapshots; of the bundled models discrete-corrected has"
    ):
        study_training(graphs_of(1), "compiled")
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (tmp_path / "config.json").write_text(RecurrentConfig().to_json())
    (folder / "step_0000001.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="step_0000001.safetensors is damaged"):
        list(snapshots(tmp_path))


def test_steps_must_rise() -> None:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    with pytest.raises(ValueError, match="there is no snapshot"):
        training_dynamics([], graphs_of(1))
    with pytest.raises(ValueError, match="snapshot of step 1 after one of step 2"):
        training_dynamics([(2, model), (1, model)], graphs_of(1))
