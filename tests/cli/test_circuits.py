"""The commands about circuits write the JSON that they promise, and say what is wrong with bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analyses.cli import app

pytestmark = pytest.mark.usefixtures("real_models")
GRAPH = "3 = a; 1 = b; a + b = c; c + a = d"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_circuit(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "circuit.json"
    options = (
        "--model",
        str(model),
        "--graph",
        GRAPH,
        "--method",
        "EAP-IG",
        "--draws",
        "1",
        "--least",
        "0.9",
    )
    said = run("circuit", *options, "--json", str(file))
    assert "judged on the pair" in said
    written = json.loads(file.read_text())
    assert {"edges", "cpr", "cmd", "faithfulness"} <= set(written)
    assert set(written["edges"][0]) == {"step", "from", "to", "score", "kept"}
    steps = written["n_steps"]
    assert len(written["edges"]) == steps * written["n_edges"]
    assert sum(edge["kept"] for edge in written["edges"]) == steps * written["edges_kept"]


def test_attribution_graph(model: Path, tmp_path: Path) -> None:
    options = ("--model", str(model), "--graph", GRAPH, "--node", "c", "--draws", "1", "--random-paths", "2")
    run("attribution-graph", *options, "--out", str(tmp_path))
    written = json.loads((tmp_path / "attribution_graph.json").read_text())
    assert written["target"] == {"node": "c", "state": 2, "value": "4"}
    assert {"metadata", "qParams", "nodes", "links"} == set(written["graph"])


def test_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "benchmark.json"
    options = ("--models", "compiled", "--methods", "EAP,random", "--seeds", "1", "--n-pairs", "1")
    run("benchmark-circuits", *options, "--nodes", "6", "--json", str(file))
    rows = json.loads(file.read_text())["rows"]
    assert [row["method"] for row in rows] == ["EAP", "random"]
    assert set(rows[0]) == {"model", "method", "seed", "auroc", "precision", "seconds"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("circuit", "--graph", GRAPH, "--method", "guess"), "method is 'guess'; allowed are exact, EAP"),
        (("circuit", "--graph", GRAPH, "--sharing", "all"), "sharing is 'all'; allowed are tied, per-step"),
        (("circuit", "--graph", "1 = a", "--pair-kind", "operand"), "admits no edit of kind 'operand'"),
        (("attribution-graph", "--graph", GRAPH, "--node", "z"), "there is no node 'z'"),
        (("benchmark-circuits", "--models", "mine"), "allowed are compiled, compiled-spare"),
    ],
)
def test_bad_input(model: Path, arguments: tuple[str, ...], said: str) -> None:
    taken = () if arguments[0] == "benchmark-circuits" else ("--model", str(model))
    result = CliRunner().invoke(app, [*arguments, *taken])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
