"""Cells that have no pixel of their own are put together so that the strongest is seen; what is missing is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.figures.depths import depth_marks
from interp.figures.panels import Panel, draw
from interp.figures.resolution import NARROWEST, Span, each, missing_traces, pool
from interp.figures.scales import Scale


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 900), st.integers(1, 9), st.integers(1, 400), st.integers(0, 99))
def test_blocks_hold_every_cell_once_and_show_the_strongest(n_rows, n_columns, most_rows, most_columns, seed):
    draw_from = np.random.default_rng(seed)
    values = draw_from.normal(size=(n_rows, n_columns))
    values[draw_from.random(values.shape) < 0.3] = np.nan
    blocks = pool(values, most_rows, most_columns)
    assert blocks.values.shape[0] <= most_rows and blocks.values.shape[1] <= most_columns
    downs, acrosses = ((edges + 0.5).astype(int) for edges in (blocks.row_edges, blocks.column_edges))
    assert (downs[0], downs[-1], acrosses[0], acrosses[-1]) == (0, n_rows, 0, n_columns)
    for row, column in np.ndindex(*blocks.values.shape):
        own = values[downs[row] : downs[row + 1], acrosses[column] : acrosses[column + 1]]
        assert own.size
        shown = blocks.values[row, column]
        if np.isnan(own).all():
            assert np.isnan(shown)
        else:
            assert abs(shown) == np.nanmax(abs(own))
            assert values[blocks.rows[row, column], blocks.columns[row, column]] == shown
    # No block is narrower than an even share, which is what the number of blocks was chosen for.
    assert np.diff(acrosses).min() >= n_columns // -(-n_columns // -(-n_columns // most_columns))


def test_cells_have_three_pixels_and_one_on_the_narrowest_screen():
    span = Span.across(1000, 174)
    assert (span.wide, span.least, span.narrow) == (826, 466, NARROWEST - 174)
    assert span.most == NARROWEST - 174
    assert Span.across(NARROWEST, 100).most == 70
    assert (span.gap(20), span.gap(200)) == (1, 0)


def test_what_is_missing_is_hatched_and_the_rest_is_not():
    values = np.array([[1.0, np.nan, np.nan], [0.0, np.nan, np.nan], [np.nan, 0.0, 2.0]])
    (trace,) = missing_traces(each(values))
    corners = np.array(
        [[x, y] for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None]
    ).reshape(-1, 5, 2)
    assert [(one.min(0).tolist(), one.max(0).tolist()) for one in corners] == [
        ([0.5, -0.5], [2.5, 1.5]),
        ([-0.5, 1.5], [0.5, 2.5]),
    ]
    assert trace["fillpattern"]["shape"] == "/"
    assert missing_traces(each(np.zeros((2, 2)))) == []


def panel(n: int) -> Panel:
    values = np.zeros((2, n))
    values[1, 333 % n] = -1.0
    return Panel(
        title="one",
        rows=("0", "1"),
        columns=tuple(map(str, range(n))),
        row_title="",
        column_title="",
        values=values,
        hover=[[f"{row}.{column}" for column in range(n)] for row in range(2)],
        sites=np.arange(2 * n).reshape(2, n),
    )


@pytest.mark.parametrize("selectable", [False, True])
def test_a_wide_panel_shows_its_only_effect_and_says_where_it_is(selectable):
    figure = draw([panel(900)], "t", "r.", Scale("u"), selectable, 1060)
    heatmap = figure.data[0]
    z = np.array(heatmap.z, float)
    assert z.shape[1] <= NARROWEST - 174 and z.min() == -1
    row, column = np.unravel_index(z.argmin(), z.shape)
    assert heatmap.x[column] < 333 < heatmap.x[column + 1]
    assert "are one block" in figure.layout.title.subtitle.text.replace("<br>", " ")
    if selectable:
        points = next(trace for trace in figure.data if trace.name == "cells")
        place = row * z.shape[1] + column
        assert list(points.customdata[place]) == [1, 333, 1233] and 1230 in points.meta[place]
        assert points.hovertext[place].startswith("1.333<br>the strongest of")
    else:
        assert heatmap.text[row][column].startswith("1.333<br>the strongest of")


def test_missing_cells_have_one_entry_in_the_legend_of_all_panels():
    one = panel(10)
    lacking = replace(one, values=np.where(np.arange(10) < 5, one.values, np.nan))
    figure = draw([lacking, lacking], "t", "r.", Scale("u"), False, 1000)
    hatched = [trace for trace in figure.data if trace.name == "not computed"]
    assert [trace.showlegend for trace in hatched] == [True, False]
    assert "not computed" not in [
        trace.name for trace in draw([one], "t", "r.", Scale("u"), False, 1000).data
    ]


def test_a_panel_of_another_quantity_has_its_own_scale_and_bar():
    one, other = panel(10), replace(panel(10), title="other", scale=Scale("v", signed=False))
    layout = draw([one, other], "t", "r.", Scale("u"), False, 1000).layout
    assert (layout.coloraxis.cmin, layout.coloraxis.cmid) == (-layout.coloraxis.cmax, 0)
    assert (layout.coloraxis2.cmin, layout.coloraxis2.cmid) == (0, None)
    bars = [layout.coloraxis.colorbar, layout.coloraxis2.colorbar]
    assert bars[0].y - bars[0].len > bars[1].y


def test_columns_without_a_label_are_said():
    few, many = (draw([panel(n)], "t", "r.", Scale("u"), False, 1000).layout.xaxis for n in (10, 300))
    assert len(few.tickvals) == 10 and "labelled" not in few.title.text
    every = many.tickvals[1]
    assert every > 1 and f"one in {every} is labelled" in many.title.text


def test_depths_stand_in_full_or_beside_the_word():
    def texts(depths: list[int]) -> list[str]:
        return [note["text"] for note in depth_marks(depths, 4, 500)[1]]

    assert texts([0, 0, 1, 1]) == ["depth 0", "depth 1"]
    assert texts([0] * 9 + [1] * 2) == ["depth 0", "depth 1"]
    assert texts([0] * 20 + [1]) == ["depth", "0", "1"]
