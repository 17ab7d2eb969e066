"""Every mistake is one message on stderr with exit code 2; configuration files."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import RECORD, TEXT, recurlens, write_lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve"], "No graphs were given: use one of GRAPH, --graph, --graphs-file or --n-nodes"),
        (["solve", TEXT, "--n-nodes", "8"], "GRAPH and --n-nodes were given together"),
        (["solve", "1 = a; a + b = c"], "'b'"),
        (["solve", ""], "There is no equation"),
        (["solve", "2 = a; 3 = b; a * b = c"], "The graph uses MUL, and the model knows only ADD, SUB"),
        (["solve", TEXT, "--model", "nope"], "there is no model 'nope'"),
        (["solve", "--n-nodes", "8", "--ops", "ADD,DIV"], "Unknown operations 'ADD,DIV'"),
        (["solve", "--n-nodes", "8", "--ops", "MUL"], "The model knows ADD, SUB, not MUL"),
        (["solve", "--n-nodes", "300"], "n_nodes is 300"),
        (["solve", "--n-nodes", "0"], "--n-nodes is 0: it must be at least 1."),
        (["solve", TEXT, "--steps", "-1"], "--steps is -1: it must be from 1 to 1000000000."),
        (["solve", TEXT, "--json", "missing/folder/x.json"], "there is no folder missing/folder"),
        (["solve", TEXT, "--json", "."], "it is a folder"),
        (
            ["solve", "--graphs-file", "missing.jsonl"],
            "Cannot read the graphs file missing.jsonl: no such file",
        ),
        (["solve", TEXT, "--config", "missing.yaml"], "Cannot read the config file missing.yaml"),
        (["evaluate"], "use one of --graphs-file or --sizes"),
        (["evaluate", "--sizes", "8:4"], "START:STOP:STEP"),
        (["evaluate", "--sizes", "8", "--graphs-file", "x"], "were given together"),
        (["evaluate", "--sizes", "8", "--graphs", "0"], "--graphs is 0"),
        (["solve", "--n-nodes", "8", "--seed", "-1"], "--seed is -1: it must be from 0 to 2147483647."),
        (["solve", TEXT, "--steps", "few"], "Invalid value for '--steps'"),
        (["dashboard", "--port", "0"], "--port is 0: it must be from 1 to 65535."),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert message in recurlens(*arguments, code=2).err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "object"),
        ({"values": {}}, "equations"),
        ({"equations": "1 = a"}, "equations"),
        ({"equations": ["1 = a", "a + b = c"]}, "'b'"),
        ({"equations": ["2 = a", "3 = b", "a MUL b = c"]}, "MUL"),
        (RECORD | {"values": {"a": 20, "b": 5, "c": 3}}, "c"),
        ({"equations": ["1 = a"], "modulus": 7}, "modulo 7"),
    ],
)
def test_a_bad_line_of_a_graphs_file_is_named(line: object, message: str, tmp_path: Path):
    graphs = write_lines(tmp_path / "g.jsonl", RECORD, line)
    for command in ("solve", "evaluate"):
        error = recurlens(command, "--graphs-file", graphs, code=2).err
        assert f"{graphs}, line 2: " in error
        assert message in error


def test_empty_and_binary_graphs_files(tmp_path: Path):
    assert (
        "holds no graphs" in recurlens("solve", "--graphs-file", write_lines(tmp_path / "g", ""), code=2).err
    )
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in recurlens("solve", "--graphs-file", tmp_path / "b", code=2).err


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    error = recurlens("solve", TEXT, "--out", tmp_path / "file" / "x", code=2).err
    assert f"Cannot create the folder {tmp_path / 'file' / 'x'}" in error


def test_config_gives_defaults_and_the_command_line_wins(tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(f"n-nodes: 9\nseed: 2\nops: [ADD, SUB]\nquiet: true\njson: {tmp_path / 'x.json'}\n")
    out = recurlens("solve", "--config", config).out
    assert out.startswith("Matches the symbolic oracle: all 9 nodes")
    assert json.loads((tmp_path / "x.json").read_text())["graphs"][0]["n_nodes"] == 9
    assert "all 7 nodes" in recurlens("solve", "--config", config, "--n-nodes", 7).out
    assert "all 3 nodes" in recurlens("solve", TEXT, "--config", config).out
