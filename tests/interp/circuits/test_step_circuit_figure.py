"""The circuit of one step as a figure: what has an effect is on it, and only that."""

from __future__ import annotations

import pytest

from interp import Component, story
from interp.circuits.step_circuit_figure import carried
from models import ComputationGraph, load


def test_the_planted_heads_are_on_the_way_of_what_they_fetch() -> None:
    model = load("compiled")
    told = story(model, ComputationGraph.parse("20 = a; 2 = b; a + b = c"), "c", n=1)
    found = carried(told, 1)
    by_thing = {
        (kind, operand): [
            str(one.part) for one in found if (one.thing.kind, one.thing.operand) == (kind, operand)
        ]
        for kind, operand in {(one.thing.kind, one.thing.operand) for one in found}
    }
    heads = {part for parts in by_thing.values() for part in parts if part.startswith("head")}
    backed = [claim for claim in told.claims if claim.step == 1 and claim.backed]
    assert heads >= {str(part) for claim in backed for part in claim.parts if part.head is not None}
    figure = told.circuit_figure(1)
    texts = [text for trace in figure.data if trace.mode == "markers+text" for text in trace.text]
    assert texts[-1].startswith("22<br>")
    assert {text for text in texts if "." in text and text[0].isdigit() and "<" not in text} == {
        head.removeprefix("head ") for head in heads
    }
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert lines and all(max(trace.x) <= max(lines[-1].x) for trace in lines)
    assert Component(0, 5) not in {one.part for one in found}
    with pytest.raises(ValueError, match="step is 9; allowed are 0 to"):
        told.circuit_figure(9)
