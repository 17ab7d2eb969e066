"""`recurlens dynamics`: what it prints and writes, that it repeats, another model beside it, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.dynamics import study_dynamics
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from tests.cli.commands import recurlens
from tests.small_models import RANDOM

pytestmark = pytest.mark.usefixtures("real_models")
TEXT = "1 = a; 2 = b; a + b = c; c + a = d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models: `compiled`, random and `continuous`, random and `chain-of-thought`."""
    folder = tmp_path_factory.mktemp("models")
    compile_model(("ADD",), modulus=5, n_variables=16).save_pretrained(folder / "compiled")
    for method, bottleneck in (("continuous", "continuous"), ("chain-of-thought", "discrete")):
        cfg = RecurrentConfig.from_dict(RANDOM | {"method": method, "bottleneck": bottleneck})
        RecurrentTransformer(cfg).save_pretrained(folder / method)
    return folder


def test_the_table_and_the_verdict_of_one_graph(folder: Path) -> None:
    done = recurlens("dynamics", TEXT, "--model", folder / "compiled", "--longest", 2)
    rows = [line.replace("│", " ").split() for line in done.out.splitlines()]
    counts = {(row[0], row[1]): row[2:5] for row in rows if len(row) > 5 and row[0].isdigit()}
    assert counts["0", "computing"] == ["2", "100.0%", "0.0%"]
    assert counts["1", "waiting"] == ["1", "0.0%", "100.0%"]
    assert counts["5", "done"] == ["4", "100.0%", "100.0%"]
    verdict = done.out.splitlines()[-1]
    assert (
        "the run solves 1.000 levels of a graph per step. Of 4 nodes that were right 0 became wrong"
        in verdict
    )
    assert "states of 1 and the hidden states of 1 of 1 graph reach a fixed point within 6 steps" in verdict
    assert "After 2 times the steps that a graph needs, 100.0 % of nodes are right" in verdict
    assert "compared with the state after exactly these steps, 0.0 % show another symbol" in verdict
    assert "Drift over long runs" in done.out
    assert recurlens("dynamics", TEXT, "-m", folder / "compiled", "--longest", 2, "-q").out.strip() == verdict


def test_every_file_is_written_says_the_same_and_can_be_repeated(folder: Path, tmp_path: Path) -> None:
    out, json_file = tmp_path / "new", tmp_path / "x.json"
    models = ["--model", folder / "compiled", "--against", folder / "continuous"]
    sampled = ["--n-nodes", 9, "--graphs", 3, "--seed", 4, "--longest", 2]
    recurlens("dynamics", *sampled, *models, "--out", out, "--json", json_file)
    tables = {f"dynamics_{name}.csv" for name in ("frontier", "speed", "graphs", "drift")}
    figures = {f"dynamics_{name}.html" for name in ("trajectories", "frontier", "drift")}
    main = {f"dynamics.{kind}" for kind in ("csv", "parquet", "json", "html")}
    assert {path.name for path in out.iterdir()} == main | tables | figures | {"config.yaml"}
    summary = json.loads(json_file.read_text())
    assert summary == json.loads((out / "dynamics.json").read_text())
    first, second = summary["models"].values()
    assert first["discrete"] and not second["discrete"]
    assert first["speed"] == pytest.approx({"slope": 1, "low": 1, "high": 1, "intercept": 1})
    assert first["violations"]["nodes"] == 0 and first["state"]["fixed_points"] == 3
    assert [row["multiple"] for row in second["drift"]] == [1, 2]
    assert second["drift"][1]["distance"] > first["drift"][1]["distance"] == 0
    frame = pd.read_parquet(out / "dynamics.parquet")
    assert frame["model"].nunique() == 2
    assert frame[frame["model"] == str(folder / "compiled")]["right"].tolist() == [
        row["right"] for row in first["summary"]
    ]
    assert len(pd.read_csv(out / "dynamics_graphs.csv")) == 6
    again = tmp_path / "again"
    recurlens("dynamics", "--config", out / "config.yaml", "--out", again)
    assert (again / "dynamics.json").read_text() == (out / "dynamics.json").read_text()


def test_the_study_in_a_script(folder: Path) -> None:
    graph = ComputationGraph.sample(8, n_leaves=3, modulus=5, n_variables=16, seed=0)
    study = study_dynamics(
        [graph], str(folder / "continuous"), n_steps=12, against=[str(folder / "compiled")]
    )
    assert set(study.figures()) == {"motion", "trajectories", "frontier", "drift"}
    assert list(study.runs) == [str(folder / "continuous"), str(folder / "compiled")]
    assert study.run.n_steps == 12
    short = study_dynamics([graph], str(folder / "compiled"), n_steps=2)
    assert not short.drifts and "drift" not in short.figures() and "drift" not in short.frames()
    assert np.isnan(short.run.frontier.speed().low)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "chain-of-thought"], "a chain-of-thought model writes its solution token by token"),
        (["--steps", 1], "--steps is 1: it must be from 2 to 10000."),
        (["--longest", 0], "--longest is 0: it must be from 1 to 10000."),
        (["--tolerance", -1], "--tolerance is -1.0: it must be a number at least 0 and at most 1."),
        (["--against", "nowhere"], "nowhere"),
        (["--graphs", 3], "--graphs 3 samples graphs, so it needs --n-nodes."),
    ],
)
def test_what_cannot_be_used_is_said_in_one_message(
    folder: Path, options: list[object], message: str
) -> None:
    given = (
        ["--model", folder / "compiled"] if options[0] != "--model" else ["--model", folder / str(options[1])]
    )
    rest = options if options[0] != "--model" else []
    assert message in recurlens("dynamics", TEXT, *given, *rest, code=2).err


def test_another_model_that_cannot_read_the_graphs_is_refused(folder: Path, tmp_path: Path) -> None:
    RecurrentTransformer(RecurrentConfig.from_dict(RANDOM | {"modulus": 7})).save_pretrained(tmp_path)
    done = recurlens("dynamics", TEXT, "--model", folder / "compiled", "--against", tmp_path, code=2)
    assert "The graph is modulo 5 with 16 variables, and the model computes modulo 7 with 16." in done.err


def test_the_drift_table_has_a_row_a_model_and_multiple(folder: Path) -> None:
    done = recurlens("dynamics", TEXT, "--model", folder / "compiled")
    drift = done.out[done.out.index("Drift over long runs") :]
    assert drift.count("100.00%") == 4 * 3
    assert [drift.count(f" {multiple}x ") for multiple in (1, 2, 4, 8)] == [1] * 4
