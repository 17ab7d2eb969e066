"""`recurlens atlas`, `certificate` and `interchange`: what they write, that they repeat, and what they refuse."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.commands import recurlens
from tests.small_models import save_compiled

pytestmark = pytest.mark.usefixtures("real_models")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_compiled(tmp_path_factory.mktemp("models") / "compiled")


def test_the_atlas_of_the_known_model_has_no_exception_and_repeats(model: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    arguments = ("1 = a; 2 = b; 3 = c; a + b = d; d + c = e", "--model", model, "--edits", 80)
    done = recurlens("atlas", *arguments, "--out", out, "--json", tmp_path / "atlas.json")
    assert "80 of 80" in done.out
    data = json.loads((tmp_path / "atlas.json").read_text())
    assert data["edits"] == data["as_predicted"] == 80 and data["exceptions"] == []
    assert not data["exhaustive"] and data["fixed_point"]["state_stays"]["share"] == 1
    assert len(pd.read_parquet(out / "atlas.parquet")) == 80
    assert {"atlas_kinds.csv", "atlas_staying.csv", "atlas_returning.csv", "atlas_map.html"} <= {
        path.name for path in out.iterdir()
    }
    recurlens("atlas", "--config", out / "config.yaml", "--out", again)
    assert (again / "atlas.json").read_text() == (out / "atlas.json").read_text()


def test_certificate_and_interchange_write_their_numbers(model: Path, tmp_path: Path) -> None:
    arguments = ("--n-nodes", 8, "--graphs", 4, "--edits", 40, "--model", model)
    done = recurlens("certificate", *arguments, "--json", tmp_path / "c.json")
    assert "next state equals the algorithm's in" in done.out
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["off_trajectory"]["share"] == 1 and data["affected_ignoring_the_edit"]["count"] == 0
    few = ("--variables", "shown", "--last-step", 1, "--pairs", 20, "--epochs", 1)
    recurlens("interchange", *few, "--model", model, "--json", tmp_path / "i.json")
    (row,) = json.loads((tmp_path / "i.json").read_text())["variables"]
    assert row["variable"] == "shown" and row["tied"] < 0.5


def test_what_cannot_be_used_is_said(model: Path) -> None:
    assert "--edits" in recurlens("atlas", "--n-nodes", 8, "--edits", 0, "--model", model, code=2).err
    few = recurlens("certificate", "--n-nodes", 8, "--graphs", 1, "--model", model, code=2)
    assert "give 2 or more" in few.err
    unknown = recurlens("interchange", "--variables", "mood", "--model", model, code=2)
    assert "mood" in unknown.err
