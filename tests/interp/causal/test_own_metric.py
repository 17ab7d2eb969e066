"""A metric of one's own, by file and function: in Python, in the shell, in another process, on the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.inputs import InputError
from analyses.own_metric import metric_name
from analyses.patching import Where, patch
from dashboards.patching.settings import _metric_label
from dashboards.patching.snippet import sweep_snippet
from dashboards.patching.view import View
from interp.causal import metric_records
from interp.causal.metric_records import METRICS, MetricRecord, register
from models import ComputationGraph
from tests.cli.commands import recurlens

CLEAN, CORRUPT = "1 = a; 2 = b; a + b = c", "4 = a; 2 = b; a + b = c"
FILE = '''
def last_value(run):
    """Value of the last node.

    More about it.
    """
    return run.final[run.base.encoded.rhs[0, 2], 3]


def all_values(run):
    return run.final[run.base.encoded.rhs[0], 3].float().mean()


def words(run):
    return "many"


number = 3
'''


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(copy)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_it_is_read_in_every_patched_run(file: Path, tmp_path: Path) -> None:
    pair = ComputationGraph.parse(CLEAN), ComputationGraph.parse(CORRUPT)
    found = patch([pair], Where(), f"{file}:last_value")
    (sweep,) = found.sweeps
    assert (sweep.metric, sweep.clean, sweep.corrupt) == ("last_value", 3.0, 6.0)
    assert set(np.unique(sweep.raw)) <= {3.0, 6.0} and 3.0 in sweep.raw
    out = tmp_path / "out"
    pairs = ["--n-nodes", "8", "--n-pairs", "2", "--jobs", "2", "--step", "0", "--layer", "0", "--pos", "rhs"]
    said = recurlens("patch", *pairs, "--metric", f"{file}:last_value", code=2).err
    assert "last_value is the same in the clean and the corrupt run of all 2 pairs" in said
    recurlens("patch", *pairs, "--metric", f"{file}:all_values", "--out", out, "--quiet")
    table = pd.read_parquet(out / "patching.parquet")
    assert json.loads((out / "patching.json").read_text())["metric"] == "all_values"
    again = tmp_path / "again"
    recurlens("patch", "--config", out / "config.yaml", "--out", again, "--quiet")
    pd.testing.assert_frame_equal(table, pd.read_parquet(again / "patching.parquet"))


def test_the_page_offers_it_and_prints_code_that_knows_it(file: Path) -> None:
    name = metric_name(f"{file}:last_value")
    assert metric_name(f"{file}:last_value") == name == "last_value"
    assert _metric_label(name) == "last_value: Value of the last node"
    view, problems = View.from_params({"clean": CLEAN, "corrupt": CORRUPT, "metric": name}, View())
    assert not problems and view.settings.metric == name
    scope: dict[str, object] = {}
    exec(sweep_snippet(view, 2, (2,)).replace(".show()", ""), scope)
    assert scope["sweep"].metric == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "loss",
            "--metric is 'loss': it must be one of logit_diff, prob, accuracy, states_changed, or FILE.py:FUNCTION",
        ),
        ("no/such.py:mean", "There is no file no/such.py"),
        ("{file}:mean", "has no function 'mean'; it has last_value, all_values, words"),
        ("{file}:number", "has no function 'number'"),
        ("{broken}:mean", "broken.py cannot be run: ZeroDivisionError"),
    ],
)
def test_what_names_no_metric_is_said(text: str, message: str, file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    with pytest.raises(InputError, match=message.replace("(", "\\(")):
        metric_name(text.format(file=file, broken=broken))


def test_it_must_give_one_number_and_have_a_name_of_its_own(file: Path, tmp_path: Path) -> None:
    pair = ComputationGraph.parse(CLEAN), ComputationGraph.parse(CORRUPT)
    with pytest.raises(InputError, match="a metric must give one number, got 'many'"):
        patch([pair], Where(), f"{file}:words")
    taken = tmp_path / "taken.py"
    taken.write_text("def prob(run):\n    return 0.0\n")
    with pytest.raises(InputError, match="there is a metric 'prob' already"):
        metric_name(f"{taken}:prob")
    register(METRICS["prob"])  # the same again is none
    assert metric_records.smooth_metrics() == ["logit_diff", "prob"]
    assert isinstance(METRICS["accuracy"], MetricRecord)
