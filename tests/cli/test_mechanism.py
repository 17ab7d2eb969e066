"""`recurlens mechanism`: what it writes, that it repeats, which parts need graphs, and what it refuses."""

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest

from analyses.mechanism import study_mechanism
from dashboards.graph_view import default_view
from dashboards.mechanism import MECHANISM
from tests.cli.commands import recurlens

pytestmark = pytest.mark.usefixtures("real_models")
TEXT = "1 = a; 2 = b; a + b = c; c = d"


def test_every_file_is_written_and_a_config_repeats_the_run(model: Path, tmp_path: Path):
    out, again = tmp_path / "out", tmp_path / "again"
    done = recurlens("mechanism", TEXT, "-m", model, "--part", "changes", "--out", out)
    names = {f"mechanism.{kind}" for kind in ("csv", "parquet", "json", "html")} | {"config.yaml"}
    assert {path.name for path in out.iterdir()} == names | {"mechanism_changes_untrained.html"}
    frame = pd.read_parquet(out / "mechanism.parquet")
    assert set(frame["trained"]) == {True, False}
    assert done.out.splitlines()[-1].startswith(f"{model}: ")
    recurlens("mechanism", "--config", out / "config.yaml", "--out", again)
    assert (again / "mechanism.json").read_bytes() == (out / "mechanism.json").read_bytes()


def test_weights_need_no_graphs(model: Path, tmp_path: Path):
    file = tmp_path / "x.json"
    done = recurlens("mechanism", "-m", model, "--part", "composition", "--json", file, "--quiet")
    study = study_mechanism([], str(model), "composition")
    assert done.out.strip() == study.verdict()
    assert json.loads(file.read_text()) == json.loads(json.dumps(study.to_dict()))


def test_frequencies_of_a_table_are_all_alike_and_none_is_ablated(model: Path, tmp_path: Path):
    done = recurlens("mechanism", "-m", model, "--part", "ablation", "--out", tmp_path)
    assert "with that taken out 100.0% (another taken out 100.0%;" in done.out
    frame = pd.read_parquet(tmp_path / "mechanism.parquet")
    assert set(frame["test"]) == {"own", "phases", "curve"}
    assert "with and without their own frequency" in (tmp_path / "mechanism.html").read_text()
    assert (tmp_path / "mechanism_phases_2.html").is_file()


def test_the_command_of_the_page_says_what_the_page_says():
    view = default_view(MECHANISM.settings, 2).with_settings(part="changes")
    done = recurlens(*shlex.split(MECHANISM.line(view))[1:], "--quiet")
    assert done.out.strip() == MECHANISM.default_result("discrete-corrected", part="changes").verdict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "tails"], "There is no part 'tails': use one of heads, subspaces"),
        (["--part", "heads"], "No graphs were given: use one of GRAPH"),
        (["--part", "fourier", "--operation", "MUL"], "MUL"),
    ],
)
def test_bad_input_is_one_message(arguments: list[object], message: str, model: Path):
    assert message in recurlens("mechanism", "-m", model, *arguments, code=2).err
