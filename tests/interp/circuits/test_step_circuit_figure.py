"""The circuit of one step as a figure: what has an effect is on it, and only that."""

from __future__ import annotations

import itertools

import pytest

from interp import Component, story
from interp.circuits.step_circuit_figure import carried
from interp.figures.drawn import plain
from interp.figures.template import text_width
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


@pytest.mark.parametrize("seed", range(3))
def test_no_line_runs_behind_a_mark_that_it_does_not_lead_to(seed) -> None:
    graph = ComputationGraph.sample(8, seed=seed)
    figure = story(load("compiled"), graph, graph.nodes[-1].name, n=1).circuit_figure()
    marks = [
        (x, y)
        for trace in figure.data
        if trace.mode == "markers+text"
        for x, y in zip(trace.x, trace.y, strict=True)
    ]
    row = (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b) / (
        2 * figure.layout.yaxis.range[1]
    )
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert any(max(line.x) - min(line.x) > 1 for line in lines), "some line goes past a column"
    for line in lines:
        past = [(x, y) for x, y in zip(line.x, line.y, strict=True) if line.x[0] < x < line.x[-1]]
        near = [row * abs(y - up) for x, y in past for to, up in marks if to == x]
        assert all(apart > 19 + line.line.width / 2 for apart in near)


def test_headings_of_the_table_do_not_touch() -> None:
    graph = ComputationGraph.sample(16, seed=0)
    figure = story(load("compiled"), graph, graph.nodes[-1].name, n=1).figure()
    inner = figure.layout.meta["least_width"] - figure.layout.margin.l - figure.layout.margin.r
    low, high = figure.layout.xaxis2.range
    headings = [note for note in figure.layout.annotations if note.xref == "x2" and note.xanchor != "right"]
    for up in {note.yshift for note in headings}:
        line = sorted((note.x, plain(note.text)) for note in headings if note.yshift == up)
        assert len(line) > 2
        for (x, text), (other, after) in itertools.pairwise(line):
            room = (other - x) / (high - low) * inner
            assert room > (text_width(text) + text_width(after)) / 2
