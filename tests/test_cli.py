"""The commands: what they print and write, and that every mistake is one message on stderr with exit code 2."""

import csv
import io
import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import models
from analyses import cli, evaluate
from analyses.inputs import InputError, parse_operations, parse_sizes
from analyses.solve import solve
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FactoredVocabulary

TEXT = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23"
RECORD = {"equations": ["20 = a", "5 = b", "a ADD b = c"], "values": {"a": 20, "b": 5, "c": 2}}


class LevelByLevel:
    """A model that solves one level a step; a node named `bad` is EMPTY or wrong for ever, `late` wrong once."""

    vocabulary = FactoredVocabulary(ops=("ADD", "SUB"))
    cfg = SimpleNamespace(positions="none", n_ctx=1024)

    def run(self, graphs: list[ComputationGraph], n_steps: int | None = None) -> Trajectory:
        encoded = self.vocabulary.encode(graphs)
        steps = int(encoded.depths.max()) + 2 if n_steps is None else n_steps
        states = encoded.factors.repeat(steps + 1, 1, 1, 1)
        for row, graph in enumerate(graphs):
            for node, (value, depth) in enumerate(
                zip(graph.values_by_node, graph.depths_by_node, strict=True)
            ):
                position = int(encoded.rhs[row, node])
                wrong = (value + 1) % graph.modulus
                states[depth + 1 :, row, position, 3] = wrong if graph.nodes[node].name == "bad" else value
                if graph.nodes[node].name == "late":
                    states[depth + 1, row, position, 3] = wrong
        changed = (states[1:] != states[:-1]).flatten(2).any(-1)
        settled = ~changed[-1]
        last = torch.stack([changed[:, row].nonzero().max() for row in range(len(graphs))])
        return Trajectory(
            states=states,
            confidence=torch.full((steps, *encoded.factors.shape), 0.25),
            encoded=encoded,
            vocabulary=self.vocabulary,
            fixed_point=torch.where(settled, last, -1),
            cycle=settled.long(),
            hit_bound=~settled,
            bound=steps,
        )


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> LevelByLevel:
        if name != "compiled":
            raise ValueError(f"there is no model {name!r}; bundled are: compiled")
        return LevelByLevel()

    # Into the module itself: setattr would first import the real one.
    monkeypatch.setitem(vars(models), "load", load)


@pytest.fixture
def real_models(fake_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(models), "load")


def recurlens(*arguments: object, code: int = 0) -> SimpleNamespace:
    """Run a command in this process; checks the exit code, and that an error is one message on stderr alone."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if code:
        assert "Traceback" not in result.stderr
        assert result.stderr.count("Error") == 1
        assert result.stdout == ""
    return SimpleNamespace(out=result.stdout, err=result.stderr)


def write_lines(path: Path, *records: object) -> Path:
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("\n".join(lines) + "\n")
    return path


def table_rows(out: str) -> dict[str, list[str]]:
    """First cell -> the others; columns of a table have two spaces or more between them."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in rows}


# ---- solve -------------------------------------------------------------------------------------------------------


def test_solve_shows_every_value_over_the_steps():
    out = recurlens("solve", TEXT).out
    rows = table_rows(out)
    assert rows["x_7"] == ["20 = x_7", "0", "✓20", "20", "step 0"]
    assert rows["x_23"] == ["x_7 ADD x_42 = x_23", "1", "·", "✓22", "step 1"]
    assert "step 0" in out
    assert out.splitlines()[-1] == (
        "Matches the symbolic oracle: all 3 nodes are right, and nothing changes after step 1."
    )


def test_solve_marks_wrong_values_and_says_which():
    rows = table_rows(recurlens("solve", "3 = bad; 4 = late; bad ADD late = sum").out)
    assert rows["bad"] == ["3 = bad", "0", "✗4", "✗4", "never"]
    assert rows["late"][2:] == ["✗5", "✓4", "step 1"]
    last = recurlens("solve", "3 = bad; 4 = late; bad ADD late = sum").out.splitlines()[-1]
    assert last.startswith("Differs from the symbolic oracle: 1 of 3 nodes are wrong (bad is 4, should be 3)")


def test_a_narrow_terminal_gets_every_value_in_several_tables():
    model = cast(RecurrentTransformer, LevelByLevel())
    solution = solve(model, [ComputationGraph.sample(n_nodes=60, seed=1)])
    ((tables, _),) = solution.report(width=80)
    console = Console(width=80, file=io.StringIO())
    console.print(*tables)
    out = cast(io.StringIO, console.file).getvalue()
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("✓") == 60 + len(tables)
    headers = [str(column.header).removeprefix("step ") for table in tables for column in table.columns]
    shown = [header for header in headers if header.isdecimal()]
    assert shown == [str(step) for step in range(int(solution.run.fixed_point[0]) + 1)]
    ((one,), _) = next(iter(solution.report(width=1000)))
    assert len(one.columns) == 4 + solution.run.n_steps - 1


def test_plain_ascii_has_its_own_signs():
    solution = solve(cast(RecurrentTransformer, LevelByLevel()), [ComputationGraph.parse("1 = bad; bad = a")])
    ((tables, _),) = solution.report(width=80, ascii_only=True)
    buffer = io.BytesIO()
    with io.TextIOWrapper(buffer, encoding="ascii") as file:
        Console(width=80, file=file).print(*tables)
        file.flush()
        text = buffer.getvalue().decode("ascii")
    assert "!2" in text
    assert "+1" in text


def test_solve_runs_the_steps_asked_for():
    assert table_rows(recurlens("solve", TEXT, "--steps", 1).out)["x_23"][2:] == ["·", "never"]
    assert table_rows(recurlens("solve", TEXT, "--steps", 4).out)["x_23"][2:] == [
        "·",
        "✓22",
        "22",
        "22",
        "step 1",
    ]
    last = recurlens("solve", TEXT, "--steps", 1).out.splitlines()[-1]
    assert "x_23 is EMPTY, should be 22" in last
    assert "after 1 steps, with the state still changing" in last


def test_solve_writes_json_and_folder(tmp_path: Path):
    json_file, folder = tmp_path / "run.json", tmp_path / "new" / "folder"
    out = recurlens("solve", "--graph", TEXT, "--json", json_file, "--out", folder).out
    written = json.loads(json_file.read_text())
    assert written["model"] == "compiled"
    (graph,) = written["graphs"]
    assert graph["fully_solved"] is True
    assert graph["nodes"][2]["values"][:3] == ["EMPTY", "EMPTY", "22"]
    assert graph["nodes"][2]["confidence"][0] == 0.25
    assert json.loads((folder / "solve.json").read_text()) == written
    rows = list(csv.DictReader((folder / "solve.csv").open()))
    assert [row["value"] for row in rows if row["node"] == "x_23"] == ["", "22"]
    assert str(folder / "solve.csv") in out


def test_solve_samples_reproducibly():
    first = recurlens("solve", "--n-nodes", 12, "--seed", 3, "--ops", "ADD,SUB").out
    assert first == recurlens("solve", "--n-nodes", 12, "--seed", 3, "--ops", "sub, add").out
    assert first != recurlens("solve", "--n-nodes", 12, "--seed", 4, "--ops", "ADD,SUB").out
    assert "all 12 nodes" in first
    assert "all 2 nodes" in recurlens("solve", "--n-nodes", 2).out


def test_solve_a_file_of_graphs(tmp_path: Path):
    graphs = write_lines(tmp_path / "g.jsonl", RECORD, "", {"equations": ["1 = bad"]})
    out = recurlens("solve", "--graphs-file", graphs).out
    assert out.count("Matches") == 1
    assert out.count("Differs") == 1
    assert out.splitlines()[-1] == "1 of 2 graphs match the symbolic oracle."
    quiet = recurlens("solve", "--graphs-file", graphs, "--quiet").out
    assert quiet == "1 of 2 graphs match the symbolic oracle.\n"


# ---- evaluate ----------------------------------------------------------------------------------------------------


Z = 1.959963984540054
"""The normal quantile of a 95 % interval."""

# Wilson (1927): (p + z^2/2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), p = 2/3, n = 3.
CENTRE, SPREAD = 2 / 3 + Z**2 / 6, Z * ((2 / 9) / 3 + Z**2 / 36) ** 0.5
WILSON_2_OF_3 = ((CENTRE - SPREAD) / (1 + Z**2 / 3), (CENTRE + SPREAD) / (1 + Z**2 / 3))


def test_evaluate_counts_graphs_and_nodes_by_size(tmp_path: Path):
    graphs = write_lines(
        tmp_path / "g.jsonl",
        RECORD,
        {"equations": ["1 = bad", "2 = b", "b = c"]},
        {"equations": ["1 = a"]},
        {"equations": ["1 = a", "a = b", "b = c"]},
    )
    json_file = tmp_path / "accuracy.json"
    out = recurlens("evaluate", "--graphs-file", graphs, "--json", json_file).out
    written = json.loads(json_file.read_text())
    assert written == {
        "model": "compiled",
        "graphs": 4,
        "fully_solved": 0.75,
        "node_accuracy": 9 / 10,
        "sizes": [
            {
                "n_nodes": 1,
                "graphs": 1,
                "fully_solved": 1.0,
                "fully_solved_low": pytest.approx(1 / (1 + Z**2)),
                "fully_solved_high": 1.0,
                "node_accuracy": 1.0,
                "solved_by_step": [1.0, 1.0],
                "mean_steps": 1.0,
                "max_steps": 1,
                "mean_levels": 1.0,
                "unsettled": 0,
            },
            {
                "n_nodes": 3,
                "graphs": 3,
                "fully_solved": 2 / 3,
                "fully_solved_low": pytest.approx(WILSON_2_OF_3[0]),
                "fully_solved_high": pytest.approx(WILSON_2_OF_3[1]),
                "node_accuracy": 8 / 9,
                "solved_by_step": [0.0, 1 / 3, 2 / 3, 2 / 3],
                "mean_steps": 7 / 3,
                "max_steps": 3,
                "mean_levels": 7 / 3,
                "unsettled": 0,
            },
        ],
    }
    assert out.splitlines()[-1] == "3 of 4 graphs fully solved (90.00% of the nodes)."


def test_evaluate_correction_errors(tmp_path: Path):
    graphs = write_lines(tmp_path / "g.jsonl", RECORD)
    source = ("evaluate", "--graphs-file", graphs)
    assert "needs --corrupt" in recurlens(*source, "--at-step", 1, code=2).err
    assert "leave out --steps" in recurlens(*source, "--corrupt", 0.1, "--steps", 2, code=2).err
    assert "at most 1" in recurlens(*source, "--corrupt", 7, code=2).err


def test_evaluate_samples_sizes(tmp_path: Path):
    folder = tmp_path / "out"
    recurlens(
        "evaluate", "--sizes", "8:24:8", "--graphs", 3, "--seed", 1, "--ops", "ADD,SUB", "--out", folder
    )
    rows = list(csv.DictReader((folder / "evaluate.csv").open()))
    assert [(row["n_nodes"], row["graphs"], row["fully_solved"]) for row in rows] == [
        ("8", "3", "1.0"),
        ("16", "3", "1.0"),
        ("24", "3", "1.0"),
    ]


def test_a_sampled_graph_does_not_depend_on_the_other_sizes():
    model = cast(RecurrentTransformer, LevelByLevel())
    alone = evaluate.sample_sizes(model, [16], graphs=2, ops=("ADD",), seed=5)
    together = evaluate.sample_sizes(model, [8, 16], graphs=2, ops=("ADD",), seed=5)
    assert together[2:] == alone
    assert alone[0] != alone[1]


def test_batches_hold_every_graph_once_sorted_by_size_and_length():
    graphs = [ComputationGraph.sample(n_nodes=8 + 8 * (seed % 2), seed=seed) for seed in range(150)]
    batches = list(evaluate.batches(graphs))
    assert sorted(index for batch in batches for index in batch) == list(range(150))
    assert [len(batch) for batch in batches] == [64, 11, 64, 11]
    for batch in batches:
        assert len({len(graphs[index]) for index in batch}) == 1
    lengths = [evaluate.n_tokens(graphs[index]) for index in batches[0] + batches[1]]
    assert lengths == sorted(lengths)


def test_n_tokens_is_the_length_the_vocabulary_gives():
    for seed in range(5):
        graph = ComputationGraph.sample(n_nodes=20, seed=seed)
        assert evaluate.n_tokens(graph) == FactoredVocabulary().encode(graph).factors.shape[1]


def test_unsettled_runs_are_counted_with_the_bound_on_steps():
    model = cast(RecurrentTransformer, LevelByLevel())
    result = evaluate.evaluate(model, [ComputationGraph.parse("1 = a; a = b; b = c")], n_steps=2)
    assert (result.sizes[0].unsettled, result.sizes[0].max_steps, result.sizes[0].node_accuracy) == (
        1,
        2,
        2 / 3,
    )
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate.evaluate(model, [])


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("8:24:8", (8, 16, 24)), ("8:20:8", (8, 16)), ("3:5", (3, 4, 5)), ("32,8,8", (8, 32)), ("7", (7,))],
)
def test_sizes(text: str, sizes: tuple[int, ...]):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "8:", "8:4:1", "8:16:0", "0:8:4", "1:2:3:4", "a", "8,,16", "-8"])
def test_sizes_refused(text: str):
    with pytest.raises(InputError, match="START:STOP:STEP"):
        parse_sizes(text)


def test_operations_keep_the_order_of_the_vocabulary():
    assert parse_operations("mul,ADD") == ("ADD", "MUL")
    with pytest.raises(InputError, match="Unknown operations 'DIV'"):
        parse_operations("DIV")


@pytest.mark.usefixtures("real_models")
def test_the_compiled_model_solves_graphs_of_the_paper(data: Path, tmp_path: Path):
    records = [json.loads(line) for line in (data / "graphs.jsonl").read_text().splitlines()]
    graphs = write_lines(tmp_path / "g.jsonl", *(record for record in records if record["n_nodes"] < 128))
    out = recurlens("evaluate", "--graphs-file", graphs).out
    assert out.splitlines()[-1] == "16 of 16 graphs fully solved (100.00% of the nodes)."
    rows = table_rows(recurlens("solve", TEXT).out)
    assert rows["x_23"] == ["x_7 ADD x_42 = x_23", "1", "·", "✓22", "step 1"]


# ---- bad input ---------------------------------------------------------------------------------------------------


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
        (["solve", TEXT, "--steps", "-1"], "--steps is -1: it must be at least 1."),
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
        (["solve", "--n-nodes", "8", "--seed", "-1"], "--seed is -1: it must be at least 0."),
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


# ---- config ------------------------------------------------------------------------------------------------------


def test_config_gives_defaults_and_the_command_line_wins(tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(f"n-nodes: 9\nseed: 2\nops: [ADD, SUB]\nquiet: true\njson: {tmp_path / 'x.json'}\n")
    out = recurlens("solve", "--config", config).out
    assert out.startswith("Matches the symbolic oracle: all 9 nodes")
    assert json.loads((tmp_path / "x.json").read_text())["graphs"][0]["n_nodes"] == 9
    assert "all 7 nodes" in recurlens("solve", "--config", config, "--n-nodes", 7).out
    assert "all 3 nodes" in recurlens("solve", TEXT, "--config", config).out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3", "unknown options: stepz. Allowed here: graph, graphs-file, json, model, n-nodes"),
        ("config: x.yaml", "unknown options: config"),
        ("steps: -3", "--steps is -3"),
        ("steps: {a: 1}", "single value or a list"),
        ("- 1", "holds a list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_config(text: str, message: str, tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(text)
    assert message in recurlens("solve", TEXT, "--config", config, code=2).err


# ---- dashboard and start-up --------------------------------------------------------------------------------------


def test_dashboard_starts_streamlit_on_this_machine_only(monkeypatch: pytest.MonkeyPatch, root: Path):
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "run_streamlit", started.append)
    recurlens("dashboard", "--port", 8765)
    assert started == [
        ["run", str(root / "dashboards" / "app.py"), "--server.address=127.0.0.1", "--server.port=8765"]
    ]


def test_dashboard_says_when_the_port_is_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is not free" in recurlens("dashboard", "--port", port, code=2).err


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_command_line_imports_nothing_heavy():
    code = "import sys, analyses.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(python("-c", code).stdout.split())
    assert "typer" in loaded
    assert not loaded & {"torch", "transformer_lens", "transformers", "numpy", "pandas", "streamlit", "yaml"}


@pytest.mark.parametrize("command", [[], ["solve"], ["evaluate"], ["dashboard"]])
def test_help_answers_at_once(command: list[str]):
    """In processor time, so that other work on the machine does not count; on an idle one it is the time waited."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = python("-m", "analyses.cli", *command, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert result.returncode == 0
        assert "Usage" in result.stdout
    assert min(seconds) < 0.5


def test_exit_codes_of_the_process():
    bad = python("-m", "analyses.cli", "solve", TEXT, "--n-nodes", "4")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        "Error: GRAPH and --n-nodes were given together: use one of GRAPH, --graph, --graphs-file or --n-nodes.\n"
    )
    assert python("-m", "analyses.cli", "nothing").returncode == 2
