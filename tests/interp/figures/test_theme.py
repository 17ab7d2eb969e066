"""Figures on a dark page: what is read there has the contrast that reading needs."""

from __future__ import annotations

import plotly.graph_objects as go

from interp.circuits.step_drawing import FILLS
from interp.figures.scales import DIVERGING
from interp.figures.template import (
    INK,
    MARK_COLOUR,
    ON_DARK,
    ON_LIGHT,
    UNSOLVED_COLOUR,
    WRONG_COLOUR,
    contrast,
    make_figure,
    step_colours,
    value_colours,
)
from interp.figures.theme import DARK_INK, DARK_PAPER, dark, on_dark


def test_ink_paper_and_scales_are_turned_and_colours_with_a_meaning_stay():
    cells = {
        "type": "heatmap",
        "z": [[0, 1]],
        "colorscale": [[0, "#ffff00"], [1, "#00003c"]],
        "text": [["#ffffff", INK]],
    }
    numbers = {"type": "scatter", "mode": "text", "text": ["1"], "textfont": {"color": ON_LIGHT}}
    lines = [{"type": "scatter", "y": [1], "line": {"color": colour}} for colour in step_colours(9)]
    axis = {"coloraxis": {"colorscale": [list(stop) for stop in DIVERGING]}}
    light = make_figure([cells, numbers, *lines], axis)
    before = light.to_json()
    shown = dark(light)
    layout, data = shown.layout, shown.data
    assert (layout.template.layout.paper_bgcolor, layout.template.layout.font.color) == (DARK_PAPER, DARK_INK)
    assert [colour for _, colour in data[0].colorscale] == ["#ffff00", "#00003c"]
    assert [list(row) for row in data[0].text] == [["#ffffff", INK]]
    assert data[1].textfont.color == ON_LIGHT
    assert all(contrast(trace.line.color, DARK_PAPER) >= 3 for trace in data[2:])
    assert layout.coloraxis.colorscale[2][1] == DARK_PAPER
    ends = [layout.coloraxis.colorscale[place][1] for place in (0, 4)]
    assert all(contrast(end, DARK_PAPER) > 7 for end in ends)
    assert light.to_json() == before and isinstance(shown, go.Figure)


def test_what_is_read_has_enough_contrast_on_both_papers():
    assert contrast(INK, "#ffffff") > 7 and contrast(DARK_INK, DARK_PAPER) > 7
    assert all(
        contrast(on_dark(colour, True), DARK_PAPER) >= 3
        for colour in (MARK_COLOUR, WRONG_COLOUR, UNSOLVED_COLOUR)
    )
    for colour in value_colours(23)[:-1]:
        assert max(contrast(ON_LIGHT, colour), contrast(ON_DARK, colour)) >= 4
    for fill in FILLS.values():
        assert contrast(INK, fill) >= 4.5 and contrast(DARK_INK, on_dark(fill)) >= 4.5
