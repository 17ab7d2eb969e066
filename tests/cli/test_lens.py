"""`recurlens lens`: what it writes, that it repeats, what it says, and what it refuses."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analyses.inputs import InputError
from analyses.lens import study_lens
from models import ComputationGraph
from tests.cli.commands import recurlens

pytestmark = pytest.mark.usefixtures("real_models")
TEXT = "1 = a; 2 = b; a + b = c; c + a = d"


def test_every_file_is_written_and_says_the_same(model: Path, tmp_path: Path):
    out, json_file = tmp_path / "new", tmp_path / "x.json"
    arguments = [
        "--n-nodes",
        8,
        "--graphs",
        4,
        "--model",
        model,
        "--tuned",
        "--out",
        out,
        "--json",
        json_file,
    ]
    done = recurlens("lens", *arguments)
    tables = {"lens", "lens_all_steps", "lens_by_operands", "lens_attribution", "lens_tuned"}
    assert {path.stem for path in out.glob("*.csv")} == tables
    pages = {
        "by_status",
        "rank",
        "graph",
        "tuned",
        *(f"attribution_{s}" for s in ("waiting", "computing", "done")),
    }
    assert {path.stem for path in out.glob("*.html")} == {"lens", *(f"lens_{page}" for page in pages)}
    frame = pd.read_parquet(out / "lens.parquet")
    rows = list(csv.DictReader((out / "lens.csv").open()))
    assert [float(row["rank"]) for row in rows] == frame["rank"].tolist()
    summary = json.loads(json_file.read_text())
    assert summary == json.loads((out / "lens.json").read_text())
    assert summary["appears_at"] == "final_post" == summary["points"][-1]
    assert (summary["n_graphs"], summary["factor"], summary["positions"]) == (4, "value", "rhs")
    assert summary["attribution_remainder"] < 1e-4
    for record in summary["lens"]:
        group = frame[(frame["status"] == record["status"]) & (frame["point"] == record["point"])]
        assert record["n"] == group["n"].sum()
        assert record["best"] == pytest.approx((group["best"] * group["n"]).sum() / group["n"].sum())
    assert done.out.splitlines()[-1].startswith(
        "The value of a computing node is read from final_post on (100.0% of nodes); one point earlier, at 2_mid, "
        "in 0.0%"
    )
    assert done.out.splitlines()[-1].endswith(
        "MLP 2 contributes most directly to a computing node's logit difference: on average 30.00 of 30.00 logits."
    )
    again = tmp_path / "again"
    recurlens("lens", "--config", out / "config.yaml", "--out", again)
    assert yaml.safe_load((again / "config.yaml").read_text())["tuned"] is True
    assert (again / "lens.json").read_text() == (out / "lens.json").read_text()


def test_without_attribution_and_with_another_factor(model: Path):
    done = recurlens("lens", TEXT, "--model", model, "--factor", "variable", "--no-attribution", "--steps", 3)
    assert "The variable of a computing node is read from 0_pre on (100.0% of nodes)." in done.out
    assert "contribut" not in done.out
    quiet = recurlens("lens", TEXT, "--model", model, "--quiet", "--steps", 3)
    assert len(quiet.out.splitlines()) == 1


def test_a_model_that_reads_nothing_says_so(model: Path, monkeypatch: pytest.MonkeyPatch):
    """An untrained model of the same shape: no layer point, and no more than labels that are shuffled."""
    import analyses.lens as module

    untrained = module.load_model(str(model)).untrained(1)
    monkeypatch.setattr(module, "load_model", lambda name: untrained)
    graphs = [ComputationGraph.sample(8, n_leaves=3, seed=s, modulus=5, n_variables=16) for s in range(6)]
    study = study_lens(graphs, "untrained", n_steps=3, attribution=False)
    assert study.to_dict()["appears_at"] is None
    assert study.verdict().startswith(
        "The value of a computing node is read in 90% of nodes at no layer point; at most in"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--factor", "colour"], "there is no factor 'colour'; there are syntax, variable, operation, value"),
        (["--positions", "left"], "positions is 'left'; allowed are 'rhs', 'operands', 'all'"),
        (["--kl-steps", "3"], "--kl-steps fits the tuned lens, so it needs --tuned"),
        (["--tuned"], "there is 1 graph; a tuned lens needs at least 2"),
        (["--steps", "0"], "--steps is 0: it must be from 1 to 10000."),
    ],
)
def test_bad_input(model: Path, arguments: list[str], message: str):
    assert message in recurlens("lens", TEXT, "--model", model, *arguments, code=2).err


def test_chain_of_thought_is_refused():
    done = recurlens("lens", "--n-nodes", 5, "--graphs", 1, "--model", "chain-of-thought", code=2)
    assert "chain-of-thought model writes its solution as text" in done.err


def test_no_graphs():
    with pytest.raises(InputError, match="no graphs to read"):
        study_lens([])
