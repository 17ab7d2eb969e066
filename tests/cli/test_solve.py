"""`recurlens solve`: what it prints and writes."""

import csv
import io
import json
from pathlib import Path
from typing import cast

from rich.console import Console

from analyses.solve import solve
from models.graph import ComputationGraph
from models.operations import OPERATIONS
from models.recurrent import RecurrentTransformer
from tests.cli.commands import RECORD, TEXT, LevelByLevel, recurlens, table_rows, write_lines


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
    assert "after 1 step, with the state still changing" in last


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


def test_a_compiled_model_is_built_for_the_operations_of_the_graphs(real_models, tmp_path):
    text = "3 = a; 17 = b; 1 = d; a MAX b - d = c"
    assert "all 4 nodes are right" in recurlens("solve", text, "--model", "compiled").out
    file = write_lines(
        tmp_path / "graphs.jsonl",
        {"equations": text.split("; "), "values": {"a": 3, "b": 17, "d": 1, "c": 16}},
    )
    done = recurlens("solve", "--graphs-file", file, "--json", tmp_path / "found.json", "-q")
    assert "Matches the symbolic oracle" in done.out
    assert json.loads((tmp_path / "found.json").read_text())["model"] == "compiled-max"
    assert "Matches" in recurlens("solve", "--n-nodes", 9, "--ops", "MAX,ADD", "-q").out
    assert "8 of 8" in recurlens("evaluate", "--sizes", "8,9", "--graphs", 4, "--ops", "MAX", "-q").out
    refused = recurlens("solve", text, "--model", "discrete-corrected", code=2).err
    assert "The graph uses SUB, MAX, and the model knows only ADD." in refused


def test_every_operation_is_an_option():
    assert ",".join(OPERATIONS) in recurlens("solve", "--help").out
