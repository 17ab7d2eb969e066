"""A run as a tidy table: what its rows and columns say, against the tensors they come from."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch

from models import ComputationGraph, RecurrentTransformer, load
from models.vocabulary import FACTORS

TEXT = "20 = x; 2 = y; x + y = z; z - y + x = total"


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return load("compiled")


@pytest.fixture(scope="module")
def graphs() -> list[ComputationGraph]:
    return [ComputationGraph.parse(TEXT), ComputationGraph.parse("1 = a; a = b")]


def test_a_row_per_graph_node_and_step(compiled: RecurrentTransformer, graphs: list[ComputationGraph]):
    frame: Any = compiled.run(graphs, n_steps=3).to_frame()
    assert len(frame) == (4 + 2) * 3
    total = frame[(frame.graph == 0) & (frame.name == "total")]
    assert total.step.tolist() == [0, 1, 2]
    assert total.before.isna().tolist() == [True, True, True]
    assert total.value.isna().tolist() == [True, True, False]
    assert total.value.tolist()[-1] == 17 and total.true_value.tolist() == [17] * 3
    assert total.right.tolist() == [False, False, True]
    assert set(total.node) == {3} and set(total.depth) == {2} and set(total.solved_at) == {2}
    assert set(total.equation) == {"z SUB y ADD x = total"}
    x = frame[(frame.graph == 0) & (frame.name == "x")]
    assert x.before.tolist()[1:] == [20, 20] and x.value.tolist() == [20] * 3
    assert frame.dtypes[["before", "value"]].astype(str).tolist() == ["Int64", "Int64"]


def test_the_node_frame_says_what_the_tensors_say(
    compiled: RecurrentTransformer, graphs: list[ComputationGraph]
):
    run = compiled.run(graphs)
    for row in run.to_frame().itertuples():
        graph, node, step = row.graph, row.node, row.step
        symbol = int(run.values[step + 1, graph, node])
        shown = run.vocabulary.empty if pd.isna(row.value) else row.value
        assert shown == symbol
        assert row.position == run.encoded.rhs[graph, node]
        assert row.true_value == run.encoded.values[graph, node]
        assert row.right == bool(run.right[step + 1, graph, node])
        assert row.confidence == float(run.value_confidence[step, graph, node])
        assert row.solved_at == run.solved_at[graph, node]


def test_a_row_per_graph_position_and_step(compiled: RecurrentTransformer, graphs: list[ComputationGraph]):
    run = compiled.run(graphs)
    frame: Any = run.to_frame("position")
    assert len(frame) == int(run.encoded.mask.sum()) * run.n_steps
    last = frame[(frame.graph == 0) & (frame.step == run.n_steps - 1)]
    assert " ".join(last.token) == run.vocabulary.decode(run.states[-1, 0], graphs[0])[0]
    assert last[last.node == 3].value.tolist() == ["17"] and last[last.node == 3].token.tolist() == ["total"]
    for row in frame.itertuples():
        before, after = (
            run.states[row.step, row.graph, row.position],
            run.states[row.step + 1, row.graph, row.position],
        )
        symbols = tuple(run.vocabulary.symbols(f)[i] for f, i in zip(FACTORS, after.tolist(), strict=True))
        assert (row.syntax, row.variable, row.operation, row.value) == symbols
        assert row.changed == (not torch.equal(before, after))
        assert row.value_confidence == float(run.confidence[row.step, row.graph, row.position, 3])


def test_the_operands_position_belongs_to_no_node(compiled: RecurrentTransformer):
    frame: Any = compiled.run("1 = a; a = b", n_steps=1).to_frame("position")
    assert frame.token.tolist() == ["1", "=", "a", "[sep]", "a", "=", "b"]
    assert frame.node.tolist() == [-1, -1, 0, -1, -1, -1, 1]


def test_a_run_of_no_steps_has_columns_and_no_rows(compiled: RecurrentTransformer):
    run = compiled.run("1 = a; a = b", n_steps=0)
    for per in ("node", "position"):
        frame = run.to_frame(per)
        assert len(frame) == 0 and list(frame) == list(compiled.run("1 = a").to_frame(per))


def test_another_row_is_refused(compiled: RecurrentTransformer):
    with pytest.raises(ValueError, match="per is 'token'; allowed are 'node' and 'position'"):
        compiled.run("1 = a").to_frame("token")
