"""Any stdout: one that is full, that knows only ASCII, that went away; and nothing hidden in a message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analyses.options import wide_console
from tests.cli.commands import TEXT, recurlens

FULL = Path("/dev/full")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analyses.cli", *arguments]
    return subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload]


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_stdout_is_one_message():
    with FULL.open("w") as full:
        for arguments in (["solve", TEXT, "--quiet"], ["--help"]):
            result = run(*arguments, stdout=full)
            assert result.returncode == 2
            assert result.stderr == "Error: Cannot write the output: no space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_stderr_changes_no_exit_code():
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "analyses.cli", "solve"]
        assert subprocess.run(command, check=False, stderr=full).returncode == 2


def test_a_stdout_of_ascii_only_gets_escapes():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = run("solve", "1 = \u00e4", stdout=subprocess.PIPE, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 = \\xe4" in result.stdout
    assert result.stdout.isascii()
    help_text = run("solve", "--help", stdout=subprocess.PIPE, env=environment)
    assert (help_text.returncode, help_text.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        result = run("--help", stdout=pipe)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["solve", TEXT, "--model", "\x1b[2J\u202e\ud800"], "\\x1b[2J\\u202e\\ud800"),
        (["solve", "1 = a\x1b"], "1 = a\\x1b"),
        (["solve", "a\u202eb = c\ud800 + d"], "a\\u202eb = c\\ud800 + d"),
        (["solve", "--graphs-file", "one\ntwo\x07"], "one\\ntwo\\x07"),
        (["solve", TEXT, "--ste\x1b[31mp"], "--ste\\x1b[31mp"),
        (["sol\u202eve"], "sol\\u202eve"),
    ],
)
def test_nothing_hidden_in_a_message(arguments: list[str], shown: str):
    error = recurlens(*arguments, code=2).err
    assert shown in error
    assert all(line.isprintable() for line in error.splitlines())


def test_names_with_brackets_and_colons_are_no_markup(capsys: pytest.CaptureFixture[str]):
    wide_console().print("Wrote [/x] :smile: [red]", soft_wrap=True)
    assert capsys.readouterr().out == "Wrote [/x] :smile: [red]\n"
