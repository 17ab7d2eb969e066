"""Measured edges of one step: the planted path and no other; nothing where nothing is decided."""

from __future__ import annotations

import pytest

from interp import ControlledError, StepEdges, step_edges
from models import ComputationGraph, load

GRAPH = ComputationGraph.parse("20 = a; 2 = b; 3 = e; a + b = c; c + a = d")


@pytest.fixture(scope="module")
def found() -> StepEdges:
    return step_edges(load("compiled"), GRAPH, "c", n=1)


def paths(found: StepEdges, kind: str, operand: int) -> list[str]:
    """Start and end of everything that a thing goes over."""
    flows = [flow for flow in found.flows() if (flow.thing.kind, flow.thing.operand) == (kind, operand)]
    assert all(flow.effect == pytest.approx(1.0, abs=1e-3) for flow in flows)
    return [f"{flow.start or 'text'} > {flow.end or 'logits'}" for flow in flows]


def test_the_planted_paths_are_found_and_nothing_else(found: StepEdges) -> None:
    assert found.step == 1 and found.written == "22" and not found.missing
    assert paths(found, "name", 1) == [
        "text > head 0.1",
        "head 0.1 > head 2.0",
        "head 2.0 > MLP 2",
        "MLP 2 > logits",
    ]
    assert paths(found, "value", 1) == ["text > head 2.0", "head 2.0 > MLP 2", "MLP 2 > logits"]
    assert paths(found, "operation", 1) == ["text > head 0.2", "head 0.2 > MLP 2", "MLP 2 > logits"]
    assert paths(found, "name", 0)[:2] == ["text > head 0.3", "head 0.3 > head 1.1"]
    assert min(found.completeness.values()) > 0.99


def test_a_name_is_asked_for_and_a_value_is_carried(found: StepEdges) -> None:
    fetched = {flow.thing.kind: flow.by for flow in found.flows() if str(flow.end) == "head 2.0"}
    assert fetched["name"] == pytest.approx({"q": 1.0, "k": 0.0, "v": 0.0}, abs=1e-3)
    assert fetched["value"] == pytest.approx({"q": 0.0, "k": 0.0, "v": 1.0}, abs=1e-3)


def test_what_is_drawn_is_what_was_measured(found: StepEdges) -> None:
    figure = found.figure()
    assert len([trace for trace in figure.data if trace.mode == "lines"]) == len(found.flows())
    frame = found.to_frame()
    assert len(frame) == len(found.effects) * len(found.graph.edges)
    assert frame.effect.abs().sum() == pytest.approx(sum(abs(one.effect) for one in found.flows()), abs=0.05)


def test_where_an_operand_is_missing_nothing_is_measured() -> None:
    waiting = step_edges(load("compiled"), GRAPH, "d", 1)
    assert waiting.missing == ("c",) and not waiting.effects
    assert waiting.verdict().startswith("Step 1: c had no value yet")


def test_an_untrained_model_has_no_such_edges() -> None:
    untrained = step_edges(load("compiled").untrained(0), GRAPH, "c", n=1)
    assert not untrained.effects and untrained.verdict().startswith("Step 1: no change")


def test_bad_input_is_refused() -> None:
    with pytest.raises(ControlledError, match="entered by discrete states"):
        step_edges(load("continuous"), GRAPH, "c")
    with pytest.raises(ValueError, match="n is 0 and step None"):
        step_edges(load("compiled"), GRAPH, "c", n=0)
