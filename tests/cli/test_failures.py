"""`recurlens failures`: what it prints and writes, that it repeats, and what it refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest

from analyses.failures import PARTS, study_failures
from analyses.inputs import InputError
from interp.failures.sharpening import sharpened
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from tests.cli.commands import recurlens

pytestmark = pytest.mark.usefixtures("real_models")
SMALL = {"modulus": 5, "n_variables": 32}
SHAPE = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 16, "n_layers": 2}
TEXT = "1 = a; 2 = b; a + b = c; c + a = d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: `compiled`, the same `broken`, and random ones of the other methods."""
    folder = tmp_path_factory.mktemp("models")
    compiled = compile_model(("ADD",), **SMALL)
    compiled.save_pretrained(folder / "compiled")
    sharpened(compiled, [(1, 1)], 0.03).save_pretrained(folder / "broken")
    others = {
        "continuous": {"bottleneck": "continuous"},
        "recurrent": {"bottleneck": "continuous", "default_steps": 2},
        "chain-of-thought": {},
    }
    for method, options in others.items():
        cfg = RecurrentConfig.from_dict(SMALL | SHAPE | {"method": method} | options)
        RecurrentTransformer(cfg).save_pretrained(folder / method)
    return folder


def test_sizes_are_sampled_and_repeat(folder: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    arguments = ("--sizes", "8,32", "--graphs", 4, "--seed", 1000, "--model", folder / "broken")
    done = recurlens("failures", *arguments, "--out", out, "--json", tmp_path / "f.json")
    assert "head (layer.head) 1.1 (middle operand) misses its key" in done.out
    data = json.loads((tmp_path / "f.json").read_text())
    assert data == json.loads((out / "failures.json").read_text())
    assert data["sizes"] == [8, 32] and data["n_graphs"] == 8
    assert list(data["verdicts"]) == ["writes", "fetching", "sharpening"]
    tables = {f"failures_{name}.csv" for name in ("writes", "fetching", "sharpening", "first_wrong", "runs")}
    figures = {"failures_fetching.html"}
    main = {f"failures.{kind}" for kind in ("csv", "parquet", "json", "html")} | {"config.yaml"}
    assert {path.name for path in out.iterdir()} == tables | figures | main
    frame = pd.read_parquet(out / "failures.parquet")
    assert set(frame["part"]) == {"writes", "fetching", "sharpening"}
    solved = frame[(frame["part"] == "writes") & (frame["what"] == "graphs solved")]
    assert solved["total"].tolist() == [4, 4]
    recurlens("failures", "--config", out / "config.yaml", "--out", again)
    assert (again / "failures.json").read_text() == (out / "failures.json").read_text()


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("compiled", ["writes", "fetching"]),
        ("continuous", ["drift", "snapping"]),
        ("recurrent", ["reach"]),
        ("chain-of-thought", ["place"]),
    ],
)
def test_what_applies_depends_on_the_method(folder: Path, model: str, parts: list[str]) -> None:
    graph = ComputationGraph.parse(TEXT, **SMALL)
    study = study_failures([graph], str(folder / model))
    assert list(study.parts) == parts and set(study.reasons) == set(PARTS) - set(parts)
    assert list(study.figures()) == [part for part in parts if part != "sharpening"]
    frame = study.to_frame()
    assert set(frame["part"]) == set(parts) and frame["low"].le(frame["high"]).all()
    said = recurlens("failures", TEXT, "--model", folder / model, "-q").out.strip()
    assert said == study.verdict() and said.count("Does not apply: ") == 1


def test_a_graph_of_leaves_alone_is_no_error(folder: Path) -> None:
    for model in ("compiled", "continuous", "recurrent", "chain-of-thought"):
        recurlens("failures", "1 = a", "--model", folder / model, "-q")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--sizes", "x"], "neither START:STOP:STEP"),
        (["--sizes", "8", "--n-nodes", "8"], "--n-nodes and --sizes were given together"),
        ([], "No graphs were given: use one of GRAPH, --graph, --graphs-file, --n-nodes or --sizes"),
        (["--sizes", "64"], "64"),
    ],
)
def test_what_cannot_be_used_is_said(folder: Path, given: list[str], message: str) -> None:
    done = recurlens("failures", *given, "--model", folder / "compiled", code=2)
    assert message in done.err
    with pytest.raises(InputError, match="There are no graphs"):
        study_failures([], str(folder / "compiled"))
