"""`recurlens probe`: what it writes and says, that it repeats, and what it refuses."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from analyses.inputs import InputError
from analyses.probe_reading import study_reading
from analyses.probing import study_probes
from models import ComputationGraph
from tests.cli.commands import recurlens, write_lines

pytestmark = pytest.mark.usefixtures("real_models")
AFTER = "blocks.2.hook_resid_post"
SAMPLED = ["--n-nodes", 10, "--graphs", 12, "--folds", 2, "--steps", 2, "--sites", AFTER]


def test_every_file_is_written_and_a_config_repeats_the_run(model: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--transfer", AFTER, "--circular", "--status", "computing"]
    done = recurlens("probe", "-m", model, *SAMPLED, *options, "--out", first)
    names = {path.name for path in first.iterdir()}
    more = {f"probing_{name}.csv" for name in ("by_site", "transfer", "circular")}
    more |= {f"probing_{name}_computing.html" for name in ("probes", "transfer", "circular")}
    assert names == {f"probing.{kind}" for kind in ("csv", "parquet", "json", "html")} | more | {
        "config.yaml"
    }
    frame = pd.read_parquet(first / "probing.parquet")
    assert frame[["status", "step", "site"]].values.tolist() == [
        ["computing", 0, AFTER],
        ["computing", 1, AFTER],
    ]
    assert frame["accuracy"][0] == 1  # every leaf's number is copied, whatever the graph
    rows = list(csv.DictReader((first / "probing.csv").open()))
    assert [float(row["selectivity"]) for row in rows] == frame["selectivity"].tolist()
    summary = json.loads((first / "probing.json").read_text())
    assert summary["n_graphs"] == 12 and summary["folds"] == 2 and len(summary["transfer"]) == 4
    best = summary["by_site"][0]
    assert (
        f"value of computing nodes best at {AFTER}: accuracy {best['accuracy']:.1%}"
        in done.out.splitlines()[-1]
    )
    recurlens("probe", "--config", first / "config.yaml", "--out", second)
    pd.testing.assert_frame_equal(pd.read_parquet(second / "probing.parquet"), frame, check_exact=True)
    assert (first / "probing.json").read_bytes() == (second / "probing.json").read_bytes()


def test_what_one_status_does_not_have_is_left_out_and_said(model: Path):
    """All nodes that a step computes have one depth."""
    out = recurlens("probe", "-m", model, *SAMPLED, "--target", "depth", "--quiet").out
    assert out.startswith("Probes read the target depth of all nodes best at ") and len(out.splitlines()) == 1
    assert "Nothing of computing nodes could be read: no step can be measured" in out


def test_graphs_of_a_file(model: Path, tmp_path: Path):
    graphs = [
        ComputationGraph.sample(8, n_leaves=4, modulus=5, n_variables=16, seed=seed) for seed in range(6)
    ]
    file = write_lines(tmp_path / "g.jsonl", *({"equations": list(graph.equations)} for graph in graphs))
    json_file = tmp_path / "x.json"
    common = ["--folds", 2, "--steps", 1, "--sites", AFTER, "--status", "all"]
    recurlens("probe", "-m", model, "--graphs-file", file, *common, "--json", json_file)
    study = study_probes(graphs, str(model), sites=[AFTER], statuses=["all"], n_steps=1, folds=2)
    assert json.loads(json_file.read_text()) == json.loads(json.dumps(study.to_dict()))
    with pytest.raises(InputError, match="nothing to probe"):
        study_probes([], str(model))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "colour"], "there is no target 'colour'; there are role, operand, name, value"),
        (["--sites", "resid_pri"], "resid_pre, "),
        (["--sites", "blocks.9.hook_resid_post"], "layers 0..2"),
        (
            ["--transfer", "blocks.0.hook_resid_post"],
            "there is no site 'blocks.0.hook_resid_post' in the data",
        ),
        (["--status", "late"], "status is 'late'; allowed are all, waiting, computing, done"),
        (["--status", ","], "nothing to probe"),
        (["--status", "done", "--steps", 1], "no row of the steps [0] has status 'done'"),
        (["--positions", "left"], "positions is 'left'; allowed are 'rhs', 'operands', 'all'"),
        (["--role", "equals"], "has role 'equals'"),
        (["--kind", "forest"], "kind is 'forest'; allowed are logistic, ridge"),
        (["--kind", "ridge", "--mdl"], "needs probabilities"),
        (["--target", "operand_3", "--role", "operand"], "has role 'operand'"),
        (
            ["--folds", 13],
            "13 folds need 13 graphs or more, since no graph is split, and 2 folds at least; given: 12",
        ),
        (["--folds", 1], "--folds is 1: it must be from 2 to 100000."),
        (["--jobs", 0], "--jobs is 0"),
        (["--ops", "MUL"], "The model knows ADD, not MUL"),
    ],
)
def test_bad_input_is_one_message(arguments: list[object], message: str, model: Path):
    assert message in recurlens("probe", "-m", model, *SAMPLED, *arguments, code=2).err


def test_one_graph_is_read_with_probes_fitted_on_others(model: Path, tmp_path: Path):
    text, out, again = "1 = a; 3 = b; a + b = c; c + b = d", tmp_path / "out", tmp_path / "again"
    fitted = ["--sites", AFTER, "--fit-graphs", 8, "--fit-nodes", 10]
    done = recurlens("probe-reading", text, "-m", model, *fitted, "--out", out)
    assert {path.name for path in out.iterdir()} == {
        *(f"probe_reading.{kind}" for kind in ("csv", "parquet", "json", "html")),
        "config.yaml",
    }
    study = study_reading(
        [ComputationGraph.parse(text, 5, 16)], str(model), "value", [AFTER], n_training=8, n_nodes=10
    )
    assert done.out.splitlines()[-1] == study.verdict()
    pd.testing.assert_frame_equal(pd.read_parquet(out / "probe_reading.parquet"), study.to_frame())
    recurlens("probe-reading", "--config", out / "config.yaml", "--out", again)
    assert (again / "probe_reading.json").read_bytes() == (out / "probe_reading.json").read_bytes()


def test_where_nothing_is_read_the_files_are_there_and_it_is_said(model: Path, tmp_path: Path):
    fitted = ["--sites", AFTER, "--fit-graphs", 4, "--fit-nodes", 10, "--status", "waiting"]
    done = recurlens("probe-reading", "1 = a; 2 = b", "-m", model, *fitted, "--out", tmp_path)
    assert "No node is read: none is waiting" in done.out
    assert (tmp_path / "probe_reading.csv").is_file()


def test_further_graphs_have_files_of_their_own(model: Path, tmp_path: Path):
    sampled = ["--n-nodes", 6, "--graphs", 2, "--fit-graphs", 4, "--fit-nodes", 6, "--sites", AFTER]
    recurlens("probe-reading", "-m", model, *sampled, "--out", tmp_path)
    assert (tmp_path / "probe_reading_1.html").is_file()
    error = recurlens("probe-reading", "-m", model, *sampled, "--fit-graphs", 0, code=2).err
    assert "--fit-graphs is 0: it must be from 1 to 100000." in error
    error = recurlens("probe-reading", "-m", model, *sampled, "--target", "colour", code=2).err
    assert "there is no target 'colour'" in error


def test_a_count_of_graphs_samples(model: Path):
    error = recurlens("probe", "-m", model, "1 = a; a = b", "--graphs", 3, code=2).err
    assert "--graphs 3 samples graphs, so it needs --n-nodes" in error
    assert "use one of GRAPH" in recurlens("probe", "-m", model, code=2).err
    alone = recurlens("probe", "-m", model, "1 = a; a = b", code=2).err
    assert "5 folds need 5 graphs or more" in alone and "recurlens probe-reading" in alone
