"""The tutorial of loops.md is taken literally: its files are written, and its commands run beside them."""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analyses import cli

TEXT = (Path(__file__).parents[3] / "analyses" / "docs" / "loops.md").read_text()
TUTORIAL = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    lines = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_the_tutorial_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TUTORIAL.startswith("Your own looped model in 15 lines")
    monkeypatch.chdir(tmp_path)
    files = {
        code.splitlines()[0].removeprefix("# "): code for language, code in BLOCKS if language == "python"
    }
    for name, code in files.items():
        Path(name).write_text(code)
    counted = [line for line in files["my_loop.py"].splitlines()[1:] if line.strip()]
    assert len(counted) <= 15
    monkeypatch.setattr(cli, "run_streamlit", lambda arguments: None)
    monkeypatch.setattr("analyses.loops.offered._OFFERED", {})
    with socket.socket() as free:
        free.bind((cli.HOST, 0))
        port = str(free.getsockname()[1])
    said = {}
    for arguments in commands():
        free_port = ["--port", port] if arguments[0] == "dashboard" else []
        done = CliRunner().invoke(cli.app, arguments + free_port)
        assert done.exit_code == 0, f"{arguments}: {done.output}"
        said[arguments[0]] = done.stdout
    assert "6 steps on 2 inputs of 5 positions" in said["solve"]
    assert (tmp_path / "motion" / "dynamics.csv").is_file()
    share = float(re.search(r"token ([\d.]+)% of 384 positions", said["evaluate"])[1])
    assert 3 < share < 25
    missing = CliRunner().invoke(cli.app, ["attention", "--model", "my_loop.py:Mixer", "--inputs", "3 1 4"])
    assert missing.exit_code == 2
    assert "needs `sites['pattern']`, which Mixer does not have" in " ".join(missing.stderr.split())
