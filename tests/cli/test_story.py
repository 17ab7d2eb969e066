"""`recurlens story`: what it writes, that it repeats, and what it refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.commands import recurlens, write_lines

pytestmark = pytest.mark.usefixtures("real_models")
TEXT = "1 = a; 2 = b; a + b = c; c = d"


def test_every_file_is_written_and_the_run_repeats(model: Path, tmp_path: Path):
    out, again = tmp_path / "new", tmp_path / "again"
    done = recurlens("story", TEXT, "--model", model, "--node", "c,a", "--variations", 2, "--out", out)
    names = {f"story.{kind}" for kind in ("csv", "parquet", "json", "html", "txt")} | {"config.yaml"}
    names |= {"story_effects.csv", "story_a.html", "story_c.html"}
    assert {path.name for path in out.iterdir()} == names
    data = json.loads((out / "story.json").read_text())
    assert [story["node"] for story in data["stories"]] == ["c", "a"]
    assert data["stories"][0]["text"] in (out / "story.txt").read_text()
    frame = pd.read_parquet(out / "story.parquet")
    assert set(frame["node"]) == {"c", "a"} and "no" not in set(frame["backed"])
    last = done.out.splitlines()[-2:]
    assert last[0].startswith("c: ") and last[1].startswith("a: ")
    assert "Step 1 (computing): the symbol EMPTY enters, and all that is needed is there." in done.out
    recurlens("story", "--config", out / "config.yaml", "--out", again, "--quiet")
    assert json.loads((again / "story.json").read_text()) == data


def test_the_last_node_is_the_default_and_quiet_is_one_line(model: Path):
    done = recurlens("story", TEXT, "--model", model, "--variations", 1, "--quiet")
    (line,) = done.out.splitlines()
    assert line.startswith("d: ") and "cases" in line


def test_bad_input_is_one_message(model: Path, tmp_path: Path):
    done = recurlens("story", TEXT, "--model", model, "--node", "z", code=2)
    assert "there is no node 'z'; there are 0..3, named a, b, c, d" in done.err
    done = recurlens("story", TEXT, "--model", model, "--attention", 2, code=2)
    assert "--attention is 2.0: it must be a number above 0 and at most 1." in done.err
    two = write_lines(tmp_path / "two.jsonl", {"equations": ["1 = a"]}, {"equations": ["2 = b"]})
    done = recurlens("story", "--graphs-file", two, "--model", model, code=2)
    assert "about one graph, and 2 were given" in done.err
