"""Attention from right-hand sides: the pattern is the run's, and what is drawn is the pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interp.data.rhs_patterns import RhsPattern, rhs_pattern
from interp.figures.template import LEAST_WIDTH
from interp.mechanism.attention_figure import (
    all_heads_figure,
    pattern_figure,
    targets_figure,
)
from interp.mechanism.attention_graph_figure import CLASSES, attention_graph_figure, head_colour
from interp.mechanism.attention_roles import ROLES, attention_targets
from models.compiled import compile_model
from models.graph import ComputationGraph

TEXT = "3 = a; 2 = b; a + b = total; total + b = twice; a = copy"


@pytest.fixture(scope="module")
def model():
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def graph():
    return ComputationGraph.parse(TEXT, modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def pattern(model, graph):
    return rhs_pattern(model, model.run(graph), 1)


def traces(figure) -> list[Any]:
    return list(figure.data)


def heatmaps(figure) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def test_the_pattern_is_the_runs_own(model, graph, pattern):
    encoded = model.to_encoded(graph)
    _, cache = model.run_with_cache(encoded, steps=[1], names="hook_pattern")
    for layer in range(model.cfg.n_layers):
        own = cache[f"blocks.{layer}.attn.hook_pattern"][0, 0][:, encoded.rhs[0]]
        np.testing.assert_allclose(pattern.pattern[layer], own.numpy(), atol=1e-6)
    np.testing.assert_allclose(pattern.pattern.sum(-1), 1, atol=1e-5)
    assert pattern.tokens[:4] == ("3", "=", "a", "[sep]") and len(pattern.tokens) == pattern.pattern.shape[-1]
    assert pattern.shown == ("3", "2", "EMPTY", "EMPTY", "EMPTY")
    assert pattern.status == ("done", "done", "computing", "waiting", "computing")
    assert [pattern.tokens[pos] for pos in pattern.rhs] == ["a", "b", "total", "twice", "copy"]


def test_a_step_alone_looks_as_it_does_in_the_run(model, graph, pattern):
    run, seen = model.run(graph), []
    hooks = [(f"steps.{step}.hook_embed", lambda _, hook: seen.append(hook.name)) for step in (0, 1)]
    with model.hooks(fwd_hooks=hooks):
        watched = rhs_pattern(model, run, 1)
    np.testing.assert_array_equal(watched.pattern, pattern.pattern)
    # A hook may change what enters a step, so the run is then run up to it.
    assert seen == ["steps.0.hook_embed", "steps.1.hook_embed"]


def test_the_frame_holds_all_that_is_large(pattern):
    frame = pattern.to_frame(0.5)
    assert len(frame) == (pattern.pattern >= 0.5).sum()
    for line in frame.head(5).to_dict("records"):
        node = [one.name for one in pattern.graph.nodes].index(line["node"])
        value = pattern.pattern[line["layer"], line["head"], node, line["pos"]]
        assert value == line["attention"] and pattern.tokens[line["pos"]] == line["token"]


def test_what_is_not_there_is_refused(model, graph, pattern):
    run = model.run(graph)
    with pytest.raises(ValueError, match=rf"step is 99; allowed: 0..{run.n_steps - 1}"):
        rhs_pattern(model, run, 99)
    with pytest.raises(ValueError, match="row is 1; allowed: 0..0"):
        rhs_pattern(model, run, 0, row=1)
    with pytest.raises(ValueError, match="layer 9 and head 0; allowed"):
        pattern_figure(pattern, 9, 0)
    with pytest.raises(ValueError, match="layer 0 and head 99; allowed"):
        attention_graph_figure(pattern, 0, 99)
    with pytest.raises(ValueError, match="step is 7; allowed"):
        targets_figure(attention_targets(model, [graph], 3), 7)


def test_a_heat_map_of_one_head_and_its_marks(pattern):
    heat, operands, own = traces(pattern_figure(pattern, 1, 0))
    np.testing.assert_allclose(np.array(heat.z), pattern.of(1, 0), atol=1e-4)
    by_name = {node.name: int(pos) for node, pos in zip(pattern.graph.nodes, pattern.rhs, strict=True)}
    expected = {(by_name[o], n) for n, names in ((2, "a b"), (3, "total b"), (4, "a")) for o in names.split()}
    assert set(zip(operands.x, operands.y, strict=True)) == expected
    assert list(own.x) == pattern.rhs.tolist()


def test_all_heads_are_drawn_in_order(pattern):
    drawn = traces(all_heads_figure(pattern))
    assert len(drawn) == pattern.n_layers * pattern.n_heads
    for trace, values in zip(
        drawn, pattern.pattern.reshape(len(drawn), *pattern.pattern.shape[2:]), strict=True
    ):
        np.testing.assert_allclose(np.array(trace.z), values, atol=1e-4)


def test_small_heat_maps_have_sparse_ticks_and_their_heads_names(pattern):
    drawn = all_heads_figure(pattern).layout
    assert {note.text for note in drawn.annotations} >= {
        "<b>head 0.0</b>",
        f"<b>head 0.{pattern.n_heads - 1}</b>",
    }
    assert drawn.yaxis.showticklabels and not drawn.yaxis2.showticklabels and not drawn.xaxis.showticklabels
    assert list(drawn.yaxis.ticktext) == [node.name for node in pattern.graph.nodes]
    last = drawn[f"xaxis{pattern.n_layers * pattern.n_heads}"]
    assert last.showticklabels and 1 < len(last.tickvals) < 6


def test_a_head_has_one_colour_in_the_text_and_on_the_graph(pattern):
    for layer in range(pattern.n_layers):
        lines = traces(attention_graph_figure(pattern, layer))
        drawn = {trace.name: trace.line.color for trace in lines if (trace.name or "").startswith("head ")}
        assert all(colour == head_colour(int(name.split(".")[1])) for name, colour in drawn.items())
    assert len({head_colour(head) for head in range(8)}) == 8


@pytest.mark.parametrize("n_nodes", [64, 128])
@pytest.mark.parametrize("width", [1000, 640])
def test_where_every_node_looks_most_is_seen_in_all_heads_of_a_wide_graph(n_nodes, width):
    """One cell stands out in every row of every head, and lies anywhere: it is drawn, in the node's own row."""
    wide = ComputationGraph.sample(n_nodes, seed=n_nodes)
    tokens = tuple(token for node in range(n_nodes) for token in (*wide.equation(node).split(), "[sep]"))
    random = np.random.default_rng(n_nodes)
    attention = random.uniform(0, 0.02, (2, 8, n_nodes, len(tokens))).astype(np.float32)
    peaks = random.integers(0, len(tokens), attention.shape[:3])
    np.put_along_axis(attention, peaks[..., None], random.uniform(0.3, 1, (*peaks.shape, 1)), axis=-1)
    wide_pattern = RhsPattern(
        wide, 1, tokens, ("EMPTY",) * n_nodes, np.flatnonzero(np.array(tokens) == "[sep]") - 1, attention
    )
    for drawn, values, at in zip(
        heatmaps(all_heads_figure(wide_pattern, width)),
        attention.reshape(16, n_nodes, -1),
        peaks.reshape(16, n_nodes),
        strict=True,
    ):
        shown = np.array(drawn.z)
        assert shown.shape[1] < len(tokens) / 2, "so narrow that tokens are pooled"
        np.testing.assert_allclose(shown.max(1), values.max(1), atol=1e-4)
        edges = np.array(drawn.x)[shown.argmax(1)[:, None] + [0, 1]]
        assert (edges[:, 0] < at).all() and (at < edges[:, 1]).all(), "in the block where it lies"
        assert (drawn.xgap, drawn.ygap, drawn.hoverinfo) == (0, 0, "skip")
    figure = all_heads_figure(wide_pattern, width)
    titles = [axis.title.text for axis in figure.select_yaxes() if axis.title.text]
    assert figure.layout.height < 1400 and len(titles) == 1 and "one in" in titles[0]


def test_edges_of_the_graph_are_the_attention_between_nodes(pattern):
    graph = pattern.graph
    edges = [(node, operand) for node, one in enumerate(graph.nodes) for operand in one.operands]
    strongest = pattern.between_nodes.max((0, 1))
    figure = attention_graph_figure(pattern)
    points = next(trace for trace in traces(figure) if trace.name == "attention")
    expected = [round(float(strongest[pair]), 4) for pair in edges if strongest[pair] >= CLASSES[0][0]]
    assert list(points.customdata) == expected
    assert min(expected) > 0.99, "the compiled heads look up every operand"
    names = {trace.name for trace in traces(figure)}
    assert "0.75 to 1" not in names and "to a node that is no operand" not in names
    best = pattern.between_nodes.reshape(-1, len(graph), len(graph)).argmax(0)
    used = {f"head {best[pair] // pattern.n_heads}.{best[pair] % pattern.n_heads}" for pair in edges}
    assert used == {name for name in names if name and name.startswith("head ")}
    assert {trace.name for trace in traces(attention_graph_figure(pattern, 2, 0))} & {"0.75 to 1"}
    shown = {name: trace for trace in traces(figure) if (name := trace.name or "").endswith(" node")}
    assert {name: list(trace.text) for name, trace in shown.items()} == {
        "waiting node": ["•"],
        "computing node": ["•", "•"],
        "done node": ["3", "2"],
    }


def test_only_nodes_that_compute_have_edges_and_a_node_tells_where_heads_look(pattern):
    graph = pattern.graph
    computing = [node for node, status in enumerate(pattern.status) if status == "computing"]
    figure = attention_graph_figure(pattern, computing=True)
    points = next(trace for trace in traces(figure) if trace.name == "attention")
    assert len(points.x) == sum(len(graph.nodes[node].operands) for node in computing)
    hover = next(trace for trace in traces(figure) if trace.name == "computing node").hovertext
    for node, told in zip(computing, hover, strict=True):
        block, head, pos = np.argwhere(pattern.pattern[:, :, node] > 0.99)[0]
        assert f"{block}.{head} looks at {pattern.tokens[pos]} ({pos}): " in told or "more" in told


def test_roles_are_drawn_by_status(model, graph):
    targets = attention_targets(model, [graph], 3, detect=False)
    assert np.isnan(targets.detected).all()
    drawn = heatmaps(targets_figure(targets, 1))
    assert len(drawn) == 3
    for trace, values in zip(drawn, targets.mass[:, 1], strict=True):
        np.testing.assert_allclose(np.array(trace.z, float), values.reshape(len(ROLES), -1), atol=1e-4)
    assert len(heatmaps(targets_figure(targets, 0))) == 2, "nothing is done as step 0 is entered"


def test_below_the_graph_there_is_room_for_a_legend_of_as_many_lines_as_a_narrow_page_needs(pattern):
    figure = attention_graph_figure(pattern)
    entries = {trace.name for trace in traces(figure) if trace.showlegend is not False}
    lines = -(-sum(46 + 7 * len(name) for name in entries) // LEAST_WIDTH)
    assert lines > 1 and figure.layout.margin.b >= 46 + 19 * lines
