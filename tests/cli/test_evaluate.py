"""`recurlens evaluate`: accuracy by size, batches, intervals."""

import csv
import json
from pathlib import Path
from typing import cast

import pytest

from analyses import evaluate
from analyses.inputs import InputError, parse_operations, parse_sizes
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import FactoredVocabulary
from tests.cli.commands import RECORD, TEXT, LevelByLevel, recurlens, table_rows, write_lines

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
                "solved_at_depth": 1.0,
                "best_step": 0,
                "solved_best": 1.0,
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
                "solved_at_depth": 2 / 3,
                "best_step": 2,
                "solved_best": 2 / 3,
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


def test_leaves_and_operands_of_sampled_graphs_can_be_chosen():
    model = cast(RecurrentTransformer, LevelByLevel())
    drawn = evaluate.sample_sizes(model, [12], graphs=20, ops=("ADD",), seed=5, leaves=4, max_operands=2)
    assert {sum(node.value is not None for node in graph.nodes) for graph in drawn} == {4}
    assert {len(node.operands) for graph in drawn for node in graph.nodes} == {0, 1, 2}


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
