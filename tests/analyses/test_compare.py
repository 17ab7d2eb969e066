"""Two runs beside each other: where they part first, and what is said of it."""

from __future__ import annotations

import pytest

from analyses.catalogue.compare import COMPARE
from analyses.compare import study_compare
from analyses.edits import Edit, HeadEdit, parse_edit
from analyses.inputs import InputError
from analyses.reporting.parts import Amounts, Job
from analyses.reporting.recorded import contents
from interp import (
    HeadOff,
    Overwrite,
    ZeroAblate,
    head_off,
    overwrite_value,
    run_difference,
    run_interventions,
)
from interp.engine.sites import Site
from models import ComputationGraph, load
from models.compiled import compile_model

TEXT = "20 = a; 2 = b; a + b = c; c + b = d"
GRAPH = ComputationGraph.parse(TEXT)


@pytest.fixture(scope="module")
def model():
    return load("compiled")


def test_an_edit_of_the_second_run_is_found_at_its_step_and_node(model) -> None:
    study = study_compare(GRAPH, other_edit="c@1=7")
    found = study.to_dict()
    assert (found["first_step"], found["first_nodes"]) == (1, ["c"])
    assert found["differing"] == ["c", "d"] and found["differing_at_end"] == []
    assert study.verdict().startswith(
        "The runs differ first after step 1, at c; 2 of 4 nodes differ at some time, and none"
    )
    edited = overwrite_value(model, model.run(GRAPH), Overwrite(2, 2, 7)).whole()
    assert study.second.run.states.tolist() == edited.states.tolist()
    frame = study.to_frame()
    row = frame[(frame.step == 1) & (frame.node == "c")].iloc[0]
    assert (row["first"], row["second"], bool(row["value_differs"]), bool(row["syntax_differs"])) == (
        "22", "7", True, False,
    )  # fmt: skip
    cells = study.figures()["value"].data[0].z
    assert [sum(line) for line in cells] == frame.groupby("step").value_differs.sum().tolist()


def test_the_same_twice_differs_nowhere() -> None:
    study = study_compare(GRAPH)
    assert study.verdict().startswith("Both runs are the same in every state.")
    assert len(study.table().rows) == 0


def test_another_leaf_differs_in_the_text_and_another_graph_is_only_told() -> None:
    leaf = study_compare(GRAPH, other_graph=TEXT.replace("2 = b", "3 = b"))
    assert leaf.to_dict()["first_step"] == -1 and leaf.to_dict()["first_nodes"] == ["b"]
    other = study_compare(GRAPH, other_nodes=8, other_seed=3)
    assert other.difference is None and len(other.second.graph) == 8
    assert "no comparing node by node" in other.verdict()
    assert list(other.figures()) == ["first", "second"]


def test_symbols_are_compared_by_their_names_not_by_their_numbers() -> None:
    """A model with more operations numbers them otherwise."""
    study = study_compare(GRAPH, other="compiled-max")
    assert study.first.run.vocabulary.ops != study.second.run.vocabulary.ops
    assert study.difference is not None and study.difference.first_state is None


@pytest.mark.parametrize("given", [{"edit": "c"}, {"edit": "z@1=3"}, {"edit": "9.0@all=off"}, {"edit": "0.0@99=off"},
                                   {"other_graph": "1 = a", "other_seed": 3}, {"other": "nobody"}])  # fmt: skip
def test_what_cannot_be_compared_is_a_message(given) -> None:
    with pytest.raises(InputError):
        study_compare(GRAPH, **given)


@pytest.mark.parametrize("text", ["x_7@3=12", "17.variable@start=x_9", "2.0@3=off", "2.0@all=off"])
def test_an_edit_is_its_text(text) -> None:
    assert str(parse_edit(text)) == text
    assert isinstance(parse_edit(text), HeadEdit if text.endswith("off") else Edit)


def test_a_head_that_is_off_does_what_the_engine_says() -> None:
    """Also in a model that has run no step with hooks before."""
    small = compile_model(("ADD",), modulus=5, n_variables=16)
    graph = ComputationGraph.parse(
        "1 = x_0; 2 = x_1; x_0 + x_1 = x_2; x_2 + x_1 = x_3", modulus=5, n_variables=16
    )
    found = head_off(small, small.run(graph), HeadOff(0, 2, 1))
    (replay,) = run_interventions(small, graph, [ZeroAblate(Site("z", 1, 0, head=2))], n_steps=6)
    shown = found.whole().values[:, 0]
    assert found.nodes and shown.tolist() == replay.values[: len(shown)].tolist()
    assert found.healed_at is not None and not found.control_changed.any()
    for_good = head_off(small, small.run(graph), HeadOff(0, 2))
    assert for_good.healed_at is None and for_good.since == 0
    with pytest.raises(ValueError, match="head is 99; allowed are 0 to"):
        head_off(small, small.run(graph), HeadOff(0, 99))


def test_runs_of_other_nodes_are_no_difference(model) -> None:
    with pytest.raises(ValueError, match="other nodes"):
        run_difference(model.run(GRAPH), model.run("1 = a"))


def test_the_report_has_a_head_off_beside_the_run(model) -> None:
    found = contents(COMPARE)(model, Job("compiled", amounts=Amounts(nodes=6, graphs=1)))
    (sentence,) = found.sentences
    assert sentence.startswith("The runs differ first after step 0")
    assert (
        "compiled has 6 of 6 nodes right" in sentence and "compiled with 0.0@all=off has 0 of 6" in sentence
    )
    assert [one.name for one in found.drawings] == ["compare_value"]
