"""`recurlens report`: what it writes, that it says what failed, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from analyses import cli
from analyses.reporting import sections
from tests.cli.commands import recurlens

pytestmark = pytest.mark.usefixtures("real_models")
SOME = "trajectory,changes,codes"


def test_the_page_the_numbers_and_the_table(model: Path, tmp_path: Path):
    out, numbers = tmp_path / "r.html", tmp_path / "r.json"
    arguments = ["--model", model, "--quick", "--sections", SOME, "--jobs", 1]
    done = recurlens("report", *arguments, "--out", out, "--json", numbers)
    assert f"Wrote {out}" in done.out and f"Wrote {numbers}" in done.out
    assert done.out.splitlines()[-1].endswith("of 2 claims 1 hold, 1 not.") or "of 2 claims" in done.out
    data = json.loads(numbers.read_text())
    assert [section["section"] for section in data["sections"]] == SOME.split(",")
    assert data["amounts"]["graphs"] == 6
    assert (tmp_path / "r_figures" / "trajectory.json").is_file()
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"model": str(model), "quick": True, "sections": SOME, "jobs": 1}))
    again = tmp_path / "again.html"
    done = recurlens("report", "--config", config, "--out", again, "--quiet")
    assert len(done.out.splitlines()) == 1
    assert again.read_bytes() == out.read_bytes()


def test_a_failed_section_is_said_and_ends_with_code_1(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise ArithmeticError("no numbers")

    table = tuple(replace(one, make=broken) if one.key == "codes" else one for one in sections.SECTIONS)
    monkeypatch.setattr(sections, "SECTIONS", table)
    arguments = ["--model", model, "--quick", "--sections", SOME, "--jobs", 1, "--out", tmp_path / "r.html"]
    done = CliRunner().invoke(cli.app, ["report", *(str(argument) for argument in arguments)])
    assert done.exit_code == 1
    assert "Section codes failed: ArithmeticError: no numbers" in done.stderr
    assert "no numbers" in (tmp_path / "r.html").read_text()


def test_bad_input_is_one_message(model: Path, tmp_path: Path):
    out = tmp_path / "r.html"
    done = recurlens("report", "--model", "nobody", "--out", out, code=2)
    assert "no model 'nobody'" in done.err and not out.exists()
    done = recurlens("report", "--model", model, "--out", tmp_path / "no" / "r.html", code=2)
    assert "there is no folder" in done.err
    done = recurlens("report", "--model", model, "--out", tmp_path, code=2)
    assert "it is a folder" in done.err
    (tmp_path / "n_figures").write_text("")
    done = recurlens("report", "--model", model, "--out", out, "--json", tmp_path / "n.json", code=2)
    assert "it is a file" in done.err
    done = recurlens("report", "--model", model, "--out", out, "--sections", "codes,poems", code=2)
    assert "There is no section poems" in done.err
    done = recurlens("report", "--model", model, "--out", out, "--ops", "MUL", code=2)
    assert "knows ADD, not MUL" in done.err
