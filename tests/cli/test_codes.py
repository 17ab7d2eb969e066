"""`recurlens codes`: what it writes, that it repeats, and what it refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analyses.codes import study_codes
from analyses.inputs import InputError
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from tests.cli.commands import recurlens, write_lines
from tests.small_models import TINY

pytestmark = pytest.mark.usefixtures("real_models")
SIZES = {"modulus": 5, "n_variables": 16}
TEXT = "1 = a; 2 = b; a + b = c; c + a = d"


@pytest.fixture(scope="module")
def continuous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "continuous"
    cfg = RecurrentConfig(n_layers=1, bottleneck="continuous", method="continuous", **TINY, **SIZES)
    RecurrentTransformer(cfg).save_pretrained(folder)
    return folder


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "codes.parquet")


def test_every_file_is_written_and_compiled_is_perfect(model: Path, tmp_path: Path):
    out, json_file = tmp_path / "new", tmp_path / "x.json"
    arguments = ["--model", model, "--n-nodes", 8, "--graphs", 5, "--edits", 2]
    done = recurlens("codes", *arguments, "--out", out, "--json", json_file)
    tables = ("transitions", "detectors", "commits", "margins", "interventions")
    figures = ("information", "transitions", "commits", "margins", "interventions")
    names = {f"codes.{kind}" for kind in ("csv", "parquet", "json", "html")} | {"config.yaml"}
    names |= {f"codes_{name}.csv" for name in tables} | {f"codes_{name}.html" for name in figures}
    assert {path.name for path in out.iterdir()} == names
    assert f"Wrote {out / 'codes_commits.html'}" in done.out
    summary = json.loads(json_file.read_text())
    assert summary == json.loads((out / "codes.json").read_text())
    assert summary["illegal"] == dict.fromkeys(("syntax", "variable", "operation", "value"), 0)
    assert (summary["on_time"], summary["solved"], summary["n_nodes"]) == (1, 1, 40)
    assert [row["exact"] for row in summary["interventions"]] == [1, 1, 1]
    commits = pd.read_csv(out / "codes_commits.csv")
    assert len(commits) == 40 and (commits["commit"] == commits["depth"]).all()
    last = done.out.splitlines()[-1]
    assert last.startswith(
        f"0 of {sum(summary['transitions'].values()):,} transitions are illegal. Of 40 right-hand sides 100.0% commit"
    )
    assert "After 30 edits of a code, 100.0% of the next states equal the oracle's" in last
    frame = table(out)
    assert len(frame) == 2 * 4 * (summary["n_steps"] + 1) == len(summary["usage"])
    assert frame["illegal"].max() == 0 and frame.query("tokens == 'rhs'")["n_tokens"].unique() == [40]


def test_a_config_repeats_the_run_exactly(model: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--n-nodes", 7, "--graphs", 3, "--seed", 4, "--steps", 3, "--edits", 1]
    recurlens("codes", "--model", model, *options, "--out", first)
    recurlens("codes", "--config", first / "config.yaml", "--out", second)
    pd.testing.assert_frame_equal(table(first), table(second), check_exact=True)
    assert (first / "codes.json").read_bytes() == (second / "codes.json").read_bytes()
    assert yaml.safe_load((first / "config.yaml").read_text())["graphs"] == 3
    assert table(first)["state"].max() == 3


def test_graphs_of_every_source(model: Path, tmp_path: Path):
    records = [{"equations": text.split("; ")} for text in (TEXT, "3 = a; a = b")]
    file = write_lines(tmp_path / "graphs.jsonl", *records)
    for source, n_nodes in (([TEXT], 4), (["--graphs-file", file], 6)):
        recurlens("codes", "-m", model, *source, "--edits", 0, "--json", tmp_path / "x.json", "--quiet")
        summary = json.loads((tmp_path / "x.json").read_text())
        assert (summary["n_nodes"], summary["interventions"]) == (n_nodes, None)
        assert summary["no_interventions"] == "none were asked for"


def test_a_continuous_model_has_codes_but_none_to_set(continuous: Path):
    done = recurlens("codes", "-m", continuous, "--n-nodes", 6, "--graphs", 2, "--steps", 3)
    last = done.out.splitlines()[-1]
    assert (
        "No code interventions: this model (method 'continuous') passes on a hidden state, not codes" in last
    )
    assert not last.startswith("0 of")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No graphs were given: use one of GRAPH, --graph, --graphs-file or --n-nodes."),
        (["--n-nodes", 6, TEXT], "GRAPH and --n-nodes were given together"),
        ([TEXT, "--graphs", 3], "--graphs 3 samples graphs, so it needs --n-nodes"),
        ([TEXT, "--edits", -1], "--edits is -1: it must be from 0 to 100000."),
        (["1 = a; zz = b"], "zz"),
        (["--n-nodes", 6, "--steps", 0], "--steps is 0"),
        (["--n-nodes", 6, "--ops", "MUL"], "MUL"),
    ],
)
def test_bad_input_is_one_message(arguments: list[object], message: str, model: Path):
    assert message in recurlens("codes", "--model", model, *arguments, code=2).err


def test_models_without_states_are_refused():
    error = recurlens("codes", "-m", "chain-of-thought", TEXT, code=2).err
    assert "a chain-of-thought model writes its solution as text" in error
    assert "there is no model 'nope'" in recurlens("codes", "-m", "nope", TEXT, code=2).err


def test_the_function_needs_graphs(model: Path):
    with pytest.raises(InputError, match="no graphs to run"):
        study_codes([], str(model))
    graph = ComputationGraph.parse(TEXT, **SIZES)
    study = study_codes([graph, graph], str(model), edits=1)
    assert study.n_graphs == 2 and len(study.rhs) == 8
    assert list(study.figures()) == [
        "usage", "information", "transitions", "commits", "margins", "interventions"
    ]  # fmt: skip
