"""Values far out of range, files far too large, YAML that is no plain values: refused at once, with one message."""

import time
from pathlib import Path

import pytest

from tests.cli.commands import RECORD, TEXT, recurlens, write_lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "--sizes", "1:9999999999"],
            "Sizes '1:9999999999' are more than 10000, which is the most",
        ),
        (["evaluate", "--sizes", "³"], "START:STOP:STEP"),
        (
            ["evaluate", "--sizes", "8", "--corrupt", "nan"],
            "--corrupt is nan: it must be a number above 0 and at most 1.",
        ),
        (
            ["evaluate", "--sizes", "8", "--graphs", "99999999"],
            "--graphs is 99999999: it must be from 1 to 100000.",
        ),
        (
            ["evaluate", "--sizes", "8", "--corrupt", "0.5", "--at-step", "0"],
            "--at-step is 0: it must be at least 1.",
        ),
        (
            ["patch", TEXT, "--pos", "0:9999999999999"],
            "--pos is '0:9999999999999': give rhs, operands, all, together, ",
        ),
        (["patch", TEXT, "--step", "0:999999"], "--step is '0:999999': it has more than 100000 indices."),
        (
            ["patch", TEXT, "--layer", "together"],
            "--layer is 'together': give all, indices (0,2) or a range (0:4).",
        ),
        (
            ["patch", TEXT, "--head", "²"],
            "--head is '²': give all, together, indices (0,2) or a range (0:4).",
        ),
        (["patch", TEXT, "--steps", "99999999"], "--steps is 99999999: it must be from 1 to 10000."),
        (["cross-step", TEXT, "--lag", "99999999"], "--lag is 99999999: it must be from 0 to 256."),
        (
            ["ablate", TEXT, "--components", "0.²"],
            "--components has '0.²': give LAYER.HEAD (0.3) or mlpLAYER (mlp1).",
        ),
        (["ablate", TEXT, "--jobs", "100000"], "--jobs is 100000: it must be from 1 to 256."),
        (
            ["story", TEXT, "--attention", "inf"],
            "--attention is inf: it must be a number above 0 and at most 1.",
        ),
        (
            ["dynamics", TEXT, "--tolerance", "nan"],
            "--tolerance is nan: it must be a number at least 0 and at most 1.",
        ),
        (["solve", "--n-nodes", "8", "--seed", "9" * 20], "it must be from 0 to 2147483647."),
        (["train", "--method", "discrete", "--seed", "2147483648"], "it must be from 0 to 2147483647."),
        (
            ["train", "--method", "discrete", "--threads", "99999"],
            "--threads is 99999: it must be from 1 to 256.",
        ),
        (
            ["train", "--method", "discrete", "--snapshots", "99999999"],
            "--snapshots is 99999999: it must be from 0 to",
        ),
        (
            ["train", "--method", "discrete", "--minutes", "inf"],
            "--minutes is inf: it must be a number at least 0.001.",
        ),
        (
            ["solve", TEXT, "--json", "a" * 300],
            "--json is aaaaaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaaaaaaa: file name too long.",
        ),
        (["solve", TEXT, "--out", "a\0b"], "null byte"),
        (["solve", TEXT, "--out", "\ud800"], "surrogates not allowed"),
        (["solve", "1 = a; " * 10_001], "The text has 10001 equations. Allowed: at most 10000"),
        (["solve", "a" * 1_000_001], "The text has 1000001 characters. Allowed: at most 1000000"),
    ],
)
def test_far_out_of_range(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    begin = time.process_time()
    assert message in " ".join(recurlens(*arguments, code=2).err.split())
    assert time.process_time() - begin < 60  # the first command of a process imports torch
    assert list(tmp_path.iterdir()) == []


def test_steps_that_change_nothing_cost_nothing(real_models: None):
    begin = time.process_time()
    out = recurlens("solve", "1 = a; a = b", "--steps", 99_999_999, "--quiet").out
    assert out == "Matches the symbolic oracle: all 2 nodes are right, and nothing changes after step 1.\n"
    assert (
        "1 of 1" in recurlens("evaluate", "--sizes", 2, "--graphs", 1, "--steps", 99_999_999, "--quiet").out
    )
    assert time.process_time() - begin < 60
    error = recurlens("solve", TEXT, "--model", "continuous", "--steps", 25_000_000, code=2).err
    assert "n_steps is 25000000; allowed are up to 10000 where every step is computed" in error
    error = recurlens("solve", TEXT, "--steps", "2" * 300, code=2).err
    assert "it must be from 1 to 1000000000" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: !!int abc", "has the tag 'tag:yaml.org,2002:int': allowed are plain values and lists."),
        ("steps: !!timestamp x", "has the tag 'tag:yaml.org,2002:timestamp'"),
        ("a: &a [x, x]\nb: [*a, *a]", "has the anchor or alias &a: allowed are plain values and lists."),
        ("steps: *a", "has the anchor or alias *a"),
        ("<<: {steps: 3}", "<< must be a single value or a list, not a mapping."),
        ("ops: " + "[" * 100_000, "the list of ops must hold single values, not lists or mappings."),
        ("? [a]\n: 1", "has a list or a mapping where the name of an option is due."),
        ("quiet: maybe", "quiet is 'maybe': it must be one of true, false, yes, no, on, off."),
        ("quiet: [yes]", "quiet is ['yes']: it must be one of"),
        ("steps: 1\nsteps: 2", "has steps more than once."),
        ("---\nsteps: 1\n---\nsteps: 2", "holds more than one document"),
        ("# " + "x" * 250_000, "has more than 250000 characters, which is the most allowed."),
        ('json: "a\\0b"', "null byte"),
        ("\x00", "is not valid YAML"),
        (
            "stepz: 3",
            "unknown options: stepz. Allowed here: graph, graphs-file, inputs, json, model, n-nodes",
        ),
        ("config: x.yaml", "unknown options: config"),
        ("steps: -3", "--steps is -3"),
        ("steps: {a: 1}", "single value or a list"),
        ("- 1", "holds a list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_config_files_hold_plain_values(text: str, message: str, tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(text)
    assert message in recurlens("solve", TEXT, "--config", config, code=2).err


def test_config_values_are_the_text_of_the_command_line(tmp_path: Path):
    """YAML would make a number of 8:16:8 (base 60), a date of 2020-13-45 (and fail), a truth value of no."""
    config = tmp_path / "c.yaml"
    config.write_text("sizes: 2:4:2\ngraphs: 1\nmodel: ~\nquiet: yes\n")
    assert "2 of 2" in recurlens("evaluate", "--config", config).out
    config.write_text("steps: 2020-13-45\n")
    assert "Invalid value for '--steps'" in recurlens("solve", TEXT, "--config", config, code=2).err
    config.write_text("node: no\nmodel: no\n")
    assert "there is no model 'no'" in recurlens("patch", TEXT, "--config", config, code=2).err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "This is not JSON (lists and objects are nested too deeply)"),
        ('{"equations": ["1 = a"], "note": ' + "[" * 100_000, "lists and objects are nested too deeply"),
        ('{"equations": ["1 = a"], "modulus": ' + "9" * 5000 + "}", "a number has more than 4300 digits"),
        ('"' + "a" * 4_000_000 + '"', "it has more than 4000000 characters, which is the most allowed."),
    ],
)
def test_deep_and_huge_json(line: str, message: str, tmp_path: Path):
    graphs = write_lines(tmp_path / "g.jsonl", RECORD, line)
    error = recurlens("solve", "--graphs-file", graphs, code=2).err
    assert f"{graphs}, line 2: " in error
    assert message in error


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_file_without_an_end():
    assert "line 1: it has more than 4000000" in recurlens("solve", "--graphs-file", "/dev/zero", code=2).err
    assert "more than 250000 characters" in recurlens("solve", TEXT, "--config", "/dev/zero", code=2).err
