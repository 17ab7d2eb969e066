"""What is drawn is what the run says."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.causal.overwrite import Overwrite, overwrite_value
from interp.figures import palette
from interp.figures.cells import number_traces
from interp.figures.charts import Chart, draw_charts
from interp.figures.graph import graph_figure
from interp.figures.layout import layer
from interp.figures.palette import VISIONS
from interp.figures.template import (
    EMPTY_COLOUR,
    INK,
    LEAST_WIDTH,
    MARK_COLOUR,
    N_A_COLOUR,
    ON_DARK,
    ON_LIGHT,
    VALUE_COLOURS,
    WRONG_COLOUR,
    discrete_scale,
    least_width,
    make_figure,
    state_label,
    step_colours,
    text_colour,
    text_width,
    value_colours,
    wrapped,
)
from interp.figures.trajectory import trajectory_figure
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, load

CHAIN = "20 = a; 2 = b; a + b = total; total * b = twice; twice = end"
EMPTY = 24


@pytest.fixture(scope="module")
def model():
    return load("compiled")


@pytest.fixture(scope="module")
def run(model):
    return model.run(CHAIN)


@pytest.fixture(scope="module")
def untrained_run():
    cfg = RecurrentConfig(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, n_ctx=64, seed=3)
    return RecurrentTransformer(cfg).run("20 = a; 2 = b; a + b = total", n_steps=3)


def traces(figure) -> list[Any]:
    return list(figure.data)


def trace(figure, name: str) -> Any:
    return next(trace for trace in traces(figure) if trace.name == name)


def layout(figure) -> Any:
    return figure.layout


def names(figure) -> list[str]:
    return [trace.name for trace in traces(figure)]


def test_value_colours_are_all_different_and_far_from_what_means_something_else():
    colours = [*VALUE_COLOURS, EMPTY_COLOUR, N_A_COLOUR, WRONG_COLOUR, INK, "#ffffff"]
    channels = [torch.tensor([int(c[k : k + 2], 16) for k in (1, 3, 5)]).float() for c in colours]
    distances = [float((one - other).norm()) for one, other in itertools.combinations(channels[:26], 2)]
    assert len(VALUE_COLOURS) == 23
    assert min(distances) > 25


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("n", "least"), [(5, 29), (11, 22), (23, 18), (31, 14), (64, 10)])
def test_value_colours_stay_apart_for_every_reader(vision, n, least):
    colours = [*value_colours(n), WRONG_COLOUR, INK, MARK_COLOUR]
    assert len(set(colours)) == n + 5
    apart = palette.distances(colours, vision)[:n]
    apart[range(n), range(n)] = 100
    assert apart.min() > least


def test_dichromats_do_not_tell_red_from_its_match():
    # What deuteranopia confuses: the two differ along its line of confusion (1, 0.372, ...) alone.
    seen = palette.simulated(["#ff0000", "#a37f00"], "deuteranopia")
    assert palette.distances(["#ff0000", "#a37f00"], "normal")[0, 1] > 60
    assert abs(seen[0] - seen[1]).max() < 0.06
    assert palette.simulated(["#4b96ff"], "normal")[0] * 255 == pytest.approx([75, 150, 255], abs=0.1)
    assert palette.simulated(["#ffffff"], "protanopia")[0] == pytest.approx([1, 1, 1], abs=1e-3)
    with pytest.raises(
        ValueError, match="vision is 'tritanopia'; allowed are normal, deuteranopia, protanopia"
    ):
        palette.simulated(["#ffffff"], "tritanopia")


def test_numbers_stand_in_the_cells_of_a_graph_of_any_size(model):
    run = model.run(ComputationGraph.sample(128, seed=0))
    figure = trajectory_figure(run)
    written = {
        (y, x): text
        for one in traces(figure)
        if one.type == "scatter" and one.mode == "text"
        for x, y, text in zip(one.x, one.y, one.text, strict=True)
    }
    values = run.values[:, 0]
    for (state, node), code in zip(
        itertools.product(*map(range, values.shape)), values.flatten().tolist(), strict=True
    ):
        assert written.get((state, node)) == (None if code == EMPTY else str(code))
    assert least_width(figure) >= 15 * 128


def test_long_runs_have_a_number_where_a_value_changes():
    cells = [[row // 20 % 3] * 50 for row in range(100)]
    (one,) = number_traces(cells, ["0", "1", "2"], ["#ffffff"] * 3)
    assert sorted(set(one["y"])) == sorted({*range(0, 100, 8), *range(0, 100, 20)})


def test_many_steps_have_a_bar_with_all_of_them_and_few_a_legend(model):
    chain = "1 = m; 2 = n0; " + "; ".join(f"n{i} + m = n{i + 1}" for i in range(20))
    figure = graph_figure(model.run(chain))
    bar = trace(figure, "solved at step").marker
    assert (bar.cmin, bar.cmax) == (-0.5, 20.5)
    assert len({colour for _, colour in bar.colorscale}) == 21
    assert not [one for one in traces(figure) if one.showlegend is not False]


def test_the_value_scale_is_constant_around_every_symbol():
    colours = value_colours(23)
    scale = discrete_scale(colours)
    assert len(colours) == 25
    assert colours[EMPTY] == EMPTY_COLOUR
    for symbol, colour in enumerate(colours):
        low, high = scale[2 * symbol], scale[2 * symbol + 1]
        place = (symbol + 0.5) / 25
        assert float(low[0]) < place < float(high[0])
        assert low[1] == high[1] == colour


def test_steps_run_from_dark_to_light():
    assert len(set(step_colours(9))) == 9
    assert len(step_colours(1)) == 1
    assert [text_colour(colour) for colour in (step_colours(9)[0], step_colours(9)[-1])] == [
        ON_DARK,
        ON_LIGHT,
    ]


def test_states_are_called_by_the_step_that_wrote_them():
    assert [state_label(state) for state in range(3)] == ["start", "0", "1"]


def test_layers_are_depths_and_no_place_is_taken_twice():
    for seed in range(5):
        graph = ComputationGraph.sample(64, seed=seed)
        places = layer(graph)
        assert [x for x, _ in places] == list(graph.depths_by_node)
        assert len(set(places)) == 64


def crossings(graph, places):
    """Pairs of edges, drawn straight, that change sides where both run."""

    def height(edge, x):
        (x0, y0), (x1, y1) = edge
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)

    edges = [(places[o], places[i]) for i, node in enumerate(graph.nodes) for o in node.operands]
    count = 0
    for one, other in itertools.combinations(edges, 2):
        low, high = max(one[0][0], other[0][0]), min(one[1][0], other[1][0])
        if low < high:
            before = height(one, low) - height(other, low)
            count += before * (height(one, high) - height(other, high)) < 0
    return count


@pytest.mark.parametrize("seed", range(4))
def test_layers_cross_less_than_the_text_order(seed):
    graph = ComputationGraph.sample(40, seed=seed)
    column_of = [[i for i, d in enumerate(graph.depths_by_node) if d == depth] for depth in range(40)]
    plain = [
        (float(depth), (len(column_of[depth]) - 1) / 2 - column_of[depth].index(index))
        for index, depth in enumerate(graph.depths_by_node)
    ]
    assert crossings(graph, layer(graph)) < crossings(graph, plain)


def test_graph_shows_the_values_of_the_state_and_fills_what_is_solved(run):
    nodes = trace(graph_figure(run, state=2), "nodes")
    colours = step_colours(4)
    assert list(nodes.x) == [0, 0, 1, 2, 3]
    assert list(nodes.text) == ["20", "2", "22", "•", "•"]
    assert list(nodes.marker.color) == [colours[0], colours[0], colours[1], "#ffffff", "#ffffff"]
    assert list(nodes.marker.line.color) == [colours[k] for k in (0, 0, 1, 2, 3)]
    assert "a ADD b = total" in nodes.hovertext[2]
    assert list(trace(graph_figure(run), "names").text) == ["a", "b", "total", "twice", "end"]


def test_graph_has_a_legend_entry_per_step_in_which_something_was_solved(run):
    figure = graph_figure(run)
    assert [t.name for t in traces(figure) if t.showlegend is not False] == ["0", "1", "2", "3"]


def test_graph_draws_the_operands_of_a_node_strongly(run):
    plain, strong = graph_figure(run), graph_figure(run, highlight=3)
    assert names(strong).count("edges") == names(plain).count("edges") + 1
    drawn = [t for t in traces(strong) if t.name == "edges"][1]
    assert list(drawn.x).count(None) == 2
    assert drawn.line.color == INK


def test_wrong_values_are_outlined_and_never_solved_is_said(untrained_run):
    values, truth = untrained_run.values, untrained_run.encoded.values
    wrong = (values != truth) & (values != EMPTY)
    assert wrong.any()
    assert (untrained_run.solved_at == -1).any()
    figure = graph_figure(untrained_run)
    outlines = trace(figure, "nodes").marker.line.color
    assert [colour == WRONG_COLOUR for colour in outlines] == wrong[-1, 0].tolist()
    assert {"never", "wrong value"} <= set(names(figure))
    frames = trace(trajectory_figure(untrained_run), "wrong value")
    assert frames.line.color == WRONG_COLOUR
    assert list(frames.x).count(None) == int(wrong.sum())


def test_heatmap_holds_every_state_of_every_node_in_text_order(run):
    figure = trajectory_figure(run)
    cells = trace(figure, "values")
    assert torch.equal(torch.tensor(cells.z), run.values[:, 0])
    assert list(layout(figure).xaxis.ticktext) == ["a", "b", "total", "twice", "end"]
    assert list(layout(figure).yaxis.ticktext) == ["start", "0", "1", "2", "3", "4"]
    assert "total MUL b = twice" in cells.text[3][3]
    assert "after step 2 it shows 21, true value 21" in cells.text[3][3]
    assert "confidence 1.0000" in cells.text[3][3]
    assert "wrong value" not in names(figure)


def test_heatmap_separates_depths_and_points_at_the_state(run):
    plain, pointed = trajectory_figure(run), trajectory_figure(run, state=2)
    assert [shape.x0 for shape in layout(plain).shapes] == [1.5, 2.5, 3.5]
    assert (layout(pointed).shapes[-1].y0, layout(pointed).shapes[-1].y1) == (1.5, 2.5)


def test_heatmap_of_an_edited_run_marks_what_differs(model, run):
    edited = overwrite_value(model, run, Overwrite(node=1, step=1, value=5))
    figure = trajectory_figure(edited.run, first_state=1, changed=edited.changed)
    marks = trace(figure, "differs from the original run")
    assert list(marks.x).count(None) == int(edited.changed.sum())
    assert layout(figure).yaxis.ticktext[0] == "0"
    with pytest.raises(ValueError, match="changed must be"):
        trajectory_figure(run, changed=edited.changed[:2])


def test_an_overwritten_value_spreads_by_one_depth_a_step_and_heals(model, run):
    edited = overwrite_value(model, run, Overwrite(node=1, step=1, value=5))
    assert edited.run.values[:5, 0].tolist() == [
        [20, 5, EMPTY, EMPTY, EMPTY],
        [20, 2, 2, EMPTY, EMPTY],
        [20, 2, 22, 4, EMPTY],
        [20, 2, 22, 21, 4],
        [20, 2, 22, 21, 21],
    ]
    assert edited.changed.nonzero().tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert edited.nodes == [1, 2, 3, 4]
    assert edited.healed_at == 4


def test_an_edit_after_the_end_is_compared_with_the_fixed_point(model, run):
    last = len(run.states) - 1
    edited = overwrite_value(model, run, Overwrite(node=0, step=last, value=EMPTY))
    assert len(edited.run.states) > 1
    assert edited.changed.nonzero().tolist()[0] == [0, 0]
    assert edited.healed_at == last + int(edited.changed.any(1).nonzero()[-1])


def test_an_edit_that_changes_nothing_is_said(model, run):
    edited = overwrite_value(model, run, Overwrite(node=0, step=2, value=20))
    assert edited.healed_at == -1
    assert edited.nodes == []
    assert len(edited.run.states) >= len(run.states) - 2


def test_an_edit_without_a_place_is_an_error(model, run):
    for edit, message in [
        (Overwrite(9, 0, 0), "node is 9; allowed are 0 to 4"),
        (Overwrite(0, 99, 0), "step is 99"),
        (Overwrite(0, 0, 25), "value is 25; allowed are 0 to 24"),
    ]:
        with pytest.raises(ValueError, match=message):
            overwrite_value(model, run, edit)
    with pytest.raises(ValueError, match="one graph, got 2"):
        overwrite_value(model, model.run([ComputationGraph.parse(CHAIN)] * 2), Overwrite(0, 0, 0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcdefWi.,", min_size=1, max_size=14), max_size=80))
def test_captions_fit(words):
    text = " ".join(words)
    lines = wrapped(text, 1000).split("<br>") if words else []
    assert " ".join(lines) == text
    assert all(text_width(line) < LEAST_WIDTH for line in lines)


@pytest.mark.parametrize("n", range(30, 60))
def test_no_word_of_a_caption_stands_alone(n):
    words = ("where right-hand sides look at a step " * 9).split()[:n]
    widths = [text_width(line) for line in wrapped(" ".join(words), 1000).split("<br>")]
    assert len(widths) > 1 and widths[-1] > 0.35 * max(widths)
    assert len(widths) == -(-sum(widths) // (LEAST_WIDTH - 40))


def test_a_bar_s_title_is_apart_from_its_numbers():
    bar = {"colorbar": {"title": {"text": "steps"}}}
    figure = make_figure([{"type": "heatmap", "z": [[0]], **bar}], {"coloraxis": bar})
    for one in (layout(figure).coloraxis, traces(figure)[0]):
        assert one.colorbar.title.text.endswith("<br>\u00a0<br>\u00a0")


def test_marks_of_one_place_stand_beside_each_other_with_their_numbers_where_it_is_the_only_one():
    def points(places: list[str], beside: bool) -> list[Any]:
        line = {
            "type": "scatter",
            "mode": "lines+markers",
            "x": places,
            "y": [1.0] * len(places),
            "name": "n",
        }
        chart = Chart("one", "x", "y", [line, line], {"type": "category"}, {}, beside=beside)
        return traces(draw_charts([chart], "t", "r.", 1, 1000))

    for one in points(["8"], beside=True):
        assert (one.mode, one.text) == ("markers+text", ("100.0%",))
    assert all(one.text is None for one in points(["8", "32"], beside=True))
    assert len({one.offsetgroup for one in points(["8", "32"], beside=True)}) == 2
    assert len({one.offsetgroup for one in points(["8", "32"], beside=False)}) == 1


@pytest.mark.parametrize("width", [1000, 640])
def test_charts_beside_each_other_keep_room_for_numbers_and_a_title(width):
    chart = Chart("one", "x", "y", [], {}, {})
    drawn = layout(draw_charts([chart, chart], "t", "r.", 2, width))
    inner = LEAST_WIDTH - drawn.margin.l - drawn.margin.r
    assert (drawn.xaxis2.domain[0] - drawn.xaxis.domain[1]) * inner >= 74
