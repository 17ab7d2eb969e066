"""`recurlens patch`: what it writes, that it repeats, that workers change nothing, and what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from analyses.patching import Where, patch
from analyses.sweeps import BACKENDS, sweep_graphs
from interp.causal.pairs import sample_pairs
from models import ComputationGraph
from tests.cli.commands import recurlens

pytestmark = pytest.mark.usefixtures("real_models")
CLEAN = "1 = a; 2 = b; a + b = c; c + a = d"
CORRUPT = "4 = a; 2 = b; a + b = c; c + a = d"
SHORTER = "4 = a; 2 = b; a + b = c; c = d"


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "patching.parquet")


def test_every_file_is_written_and_says_the_same(model: Path, tmp_path: Path):
    out, json_file = tmp_path / "new", tmp_path / "x.json"
    arguments = ["--model", model, "--clean", CLEAN, "--corrupt", CORRUPT, "--sites", "resid_pre,z"]
    done = recurlens("patch", *arguments, "--out", out, "--json", json_file)
    names = {path.name for path in out.iterdir()}
    assert names == {f"patching.{kind}" for kind in ("csv", "parquet", "json", "html")} | {"config.yaml"}
    assert f"No {out / 'patching.png'} was written: there is no browser" in done.err
    assert "Wrote" in done.out and str(out / "patching.html") in done.out
    frame = table(out)
    rows = list(csv.DictReader((out / "patching.csv").open()))
    assert [float(row["raw"]) for row in rows] == frame["raw"].tolist()
    assert [row["site"] for row in rows] == frame["site"].tolist()
    summary = json.loads(json_file.read_text())
    assert summary == json.loads((out / "patching.json").read_text())
    assert summary["pairs"][0]["nodes"] == ["a", "c", "d"]
    assert summary["summary"]["patches"] == len(frame)
    assert summary["strongest"][0]["raw"] == frame["raw"][summary["strongest"][0]["patch"]]
    assert frame["effect"].abs().max() == pytest.approx(abs(summary["strongest"][0]["effect"]))
    assert f"of {len(frame)} patches" in done.out.splitlines()[-1]


@pytest.mark.parametrize("exact", ["dense", "checked"])
def test_what_is_computed_does_not_change_what_comes_back(exact: str, model: Path, tmp_path: Path):
    options = ["--model", model, "--clean", CLEAN, "--corrupt", CORRUPT, "--sites", "resid_pre,z"]
    recurlens("patch", *options, "--out", tmp_path / "states")
    recurlens("patch", *options, "--exact", exact, "--out", tmp_path / exact)
    assert (table(tmp_path / "states")["effect"] - table(tmp_path / exact)["effect"]).abs().max() < 1e-6


@pytest.mark.parametrize(
    "command",
    [
        ["ablate", "--graph", CLEAN, "--components", "0.1,mlp2"],
        ["ablate", "--graph", CLEAN, "--keep", "0.0,2.0", "--draws", "1"],
        ["cross-step", "--graph", CLEAN, "--site", "resid_post", "--layer", "2", "--pos", "rhs"],
    ],
    ids=["ablate", "keep", "cross-step"],
)
def test_other_commands_take_the_mode_too(command: list[str], model: Path, tmp_path: Path):
    found = [
        recurlens(*command, "-m", model, "--exact", exact, "--json", tmp_path / exact).out
        for exact in ("states", "dense")
    ]
    assert json.loads((tmp_path / "states").read_text()) == json.loads((tmp_path / "dense").read_text())
    assert found[0].splitlines()[0] == found[1].splitlines()[0]
    refused = recurlens(*command, "-m", model, "--exact", "fast", code=2)
    assert "--exact is 'fast': it must be one of states, dense, checked" in refused.err


def test_how_much_was_computed_is_said(model: Path, tmp_path: Path):
    arguments = ["-m", model, "--clean", CLEAN, "--corrupt", CORRUPT, "--json", tmp_path / "summary.json"]
    out = recurlens("patch", *arguments).out
    engine = json.loads((tmp_path / "summary.json").read_text())["engine"]
    assert engine["exact"] == "states"
    assert engine["unchanged"] > 0
    assert out.strip().endswith(f"{engine['sentence']}.")


def test_the_leafs_own_value_restores_everything(model: Path, tmp_path: Path):
    recurlens("patch", "-m", model, "--clean", CLEAN, "--corrupt", CORRUPT, "--out", tmp_path, "--step", "0")
    frame = table(tmp_path)
    first = frame[frame["layer"] == 0].set_index("position")["effect"]
    assert first[0] == pytest.approx(1, abs=1e-4)
    assert np.abs(first.drop(0)).max() < 1e-4
    noise = recurlens("patch", "-m", model, "--clean", CLEAN, "--corrupt", CORRUPT, "--out", tmp_path, "--step",
                      "0", "--direction", "noise", "--quiet")  # fmt: skip
    assert noise.out.startswith("noise: logit_diff is ") and len(noise.out.splitlines()) == 1
    assert table(tmp_path).query("layer == 0").set_index("position")["effect"][0] == pytest.approx(
        -1, abs=1e-4
    )


@pytest.mark.parametrize(
    "source",
    [
        ["--clean", CLEAN, "--corrupt", CORRUPT, "--read", "c,d"],
        [CLEAN, "--pair-kind", "operand", "--seed", 3],
        ["--n-nodes", 8, "--seed", 2, "--pair-kind", "leaf-swap", "--n-pairs", 2, "--pos", "rhs"],
    ],
)
def test_a_config_repeats_the_run_exactly(source: list[object], model: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--sites", "z,hook_resid_post", "--step", "0:2", "--head", "together", "--metric", "prob"]
    recurlens("patch", "--model", model, *source, *options, "--out", first)
    recurlens("patch", "--config", first / "config.yaml", "--out", second)
    pd.testing.assert_frame_equal(table(first), table(second), check_exact=True)
    assert (first / "config.yaml").read_text() == (second / "config.yaml").read_text()
    assert (first / "patching.json").read_bytes() == (second / "patching.json").read_bytes()
    assert not {"out", "quiet", "json", "config"} & set(yaml.safe_load((first / "config.yaml").read_text()))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_change_nothing(backend: str, model: Path, tmp_path: Path):
    options = ["--model", model, "--n-nodes", 7, "--n-pairs", 3, "--pos", "rhs", "--seed", 4]
    recurlens("patch", *options, "--out", tmp_path / "one")
    recurlens("patch", *options, "--out", tmp_path / "two", "--jobs", 2, "--backend", backend)
    pd.testing.assert_frame_equal(table(tmp_path / "one"), table(tmp_path / "two"), check_exact=True)
    assert table(tmp_path / "one")["pair"].unique().tolist() == [0, 1, 2]


def test_pair_i_of_a_seed_is_the_first_of_seed_plus_i(model: Path, tmp_path: Path):
    options = ["--model", model, "--n-nodes", 7, "--pos", "rhs", "--quiet"]
    recurlens("patch", *options, "--seed", 4, "--n-pairs", 2, "--out", tmp_path / "both")
    recurlens("patch", *options, "--seed", 5, "--out", tmp_path / "second")
    both = table(tmp_path / "both").query("pair == 1")["raw"].tolist()
    assert both == table(tmp_path / "second")["raw"].tolist()


def test_results_stream_and_threads_are_given_back(model: Path):
    import torch

    before = torch.get_num_threads()
    graphs = [ComputationGraph.parse(text, modulus=5, n_variables=16) for text in (CLEAN, CORRUPT)]
    seen: list[int] = []

    def task(loaded: object, graph: ComputationGraph) -> int:
        seen.append(graph.values_by_node[0])
        return graph.values_by_node[0]

    results = sweep_graphs(task, graphs, str(model))
    assert next(results) == 1 and seen == [1]
    assert list(results) == [4]
    assert torch.get_num_threads() == before


def test_the_function_takes_many_pairs_and_draws_their_mean(model: Path):
    pairs = sample_pairs(3, "leaf-value", 9, modulus=5, n_variables=16)
    where = Where(names=("z",), steps=(0, 1), positions="rhs")
    result = patch([(pair.clean, pair.corrupt) for pair in pairs], where, model=str(model))
    (first, *_) = result.figure().data
    group = result.frame.query("layer == 0 and head == 3 and step == 0")
    depths = [pair.clean.depths_by_node[node] for pair in pairs for node in range(9)]
    leaves = group[[depth == 0 for depth in depths]].groupby("pair")["effect"]
    assert first.z[3][0] == pytest.approx(leaves.agg(lambda e: e.iloc[e.abs().argmax()]).mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sites", "resid_pri"], "resid_pre, "),
        (["--layer", "7"], "layers 0..2"),
        (["--sites", "z", "--head", "99"], "there is no head 99"),
        (["--pos", "400"], "there is no position 400"),
        (["--pos", "left"], "--pos is 'left': give rhs, operands, all, together"),
        (["--step", "0:60"], "there is no step 4; the run has steps 0..3"),
        (["--step", "4:4"], "--step is '4:4'"),
        (["--step", "soon"], "--step is 'soon': give all, together, indices"),
        (["--metric", "loss"], "--metric is 'loss': it must be one of logit_diff, prob, accuracy"),
        (["--direction", "up"], "--direction is 'up': it must be one of denoise, noise"),
        (["--exact", "fast"], "--exact is 'fast': it must be one of states, dense, checked"),
        (["--read", "zz"], "there is no node 'zz'; there are 0..3, named a, b, c, d"),
        (["--corrupt", SHORTER], "tokens"),
        (["--corrupt", "4 = a; b"], "'b'"),
        (["--backend", "slurm"], "There is no backend 'slurm': use one of loky, threading, ray, dask"),
        (["--n-nodes", "8"], "--n-nodes and --clean with --corrupt were given together"),
        (["--model", "nope"], "there is no model 'nope'"),
    ],
)
def test_bad_input_is_one_message(arguments: list[str], message: str, model: Path):
    given = ["--model", model, "--clean", CLEAN]
    given += [] if "--corrupt" in arguments else ["--corrupt", CORRUPT]
    assert message in recurlens("patch", *given, *arguments, code=2).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "use one of GRAPH, --graph, --graphs-file, --n-nodes or --clean with --corrupt"),
        (["--clean", CLEAN], "give both"),
        ([CLEAN, "--pair-kind", "typo"], "leaf-value, operand, operation, leaf-swap"),
        ([CLEAN, "--n-pairs", "3"], "--n-pairs 3 draws graphs, so it needs --n-nodes"),
        ([CLEAN, "--pair-kind", "operation"], "operation"),
        (["--n-nodes", "8", "--jobs", "0"], "--jobs is 0"),
        (["--n-nodes", "8", "--n-pairs", "2", "--read", "x_1"], "leave it out"),
    ],
)
def test_bad_pairs_are_one_message(arguments: list[str], message: str, model: Path):
    assert message in recurlens("patch", "--model", model, *arguments, code=2).err


def test_a_backend_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, model: Path):
    monkeypatch.setitem(BACKENDS, "ray", "no_such_package")
    error = recurlens("patch", "-m", model, CLEAN, "--backend", "ray", code=2).err
    assert "Backend 'ray' needs the package 'no_such_package'" in error
    assert "installed: loky, threading" in error
