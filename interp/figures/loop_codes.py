"""Heatmap of one row of a loop's run: the symbol that every position shows in every state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.cells import COLUMN, columns_width, frame_traces, number_traces
from interp.figures.template import (
    EMPTY_COLOUR,
    INK,
    LEAST_WIDTH,
    VALUE_COLOURS,
    WRONG_COLOUR,
    discrete_scale,
    make_figure,
    state_label,
    title_of,
    wrapped,
)

_LEFT: Final = 72
_RIGHT: Final = 8
_LONGEST: Final = 9
"""Letters of a symbol in a cell; the hover has all of it."""
_LETTER: Final = 6.6
_OTHERS: Final[tuple[str, ...]] = ("#b9c7f2", EMPTY_COLOUR)
"""Of more symbols than there are colours: as in the last state, and another."""


def loop_codes_figure(
    codes: NDArray[np.int64],
    symbols: Sequence[str],
    tokens: Sequence[str],
    factor: str,
    wrong: NDArray[np.bool_] | None = None,
    halted: Sequence[int] = (),
    first: int = 0,
) -> go.Figure:
    """Step x position: the symbol, in a colour of its own, or, of more than 23, in that of whether it is the last one.

    Args:
        codes: int [state, pos]; state t + 1 is what step t wrote.
        symbols: a text for every code; codes beyond it stand as numbers.
        tokens: text of every position.
        factor: whose symbols.
        wrong: bool [state, pos], in a red frame: not what the task's own step would write.
        halted: of every position, the state in which it had first halted, -1 for none: in a dark frame.
        first: the number of the first state.
    """
    kinds = sorted({int(code) for code in codes.flat})
    texts = [symbols[code] if code < len(symbols) else str(code) for code in kinds]
    place = {code: index for index, code in enumerate(kinds)}
    every = len(kinds) <= len(VALUE_COLOURS)
    colours: list[str] = list(VALUE_COLOURS[: len(kinds)]) if every else [_OTHERS[1]] * len(kinds)
    cells = [[place[int(code)] for code in line] for line in codes]
    if every:
        shades, scale = cells, colours
    else:
        shades, scale = (codes != codes[-1]).astype(int).tolist(), [*_OTHERS]
    labels = [state_label(first + index) for index in range(len(codes))]
    shown = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in texts]
    column = max(COLUMN, round(_LETTER * max(map(len, shown), default=1)) + 4)
    width = columns_width(len(tokens) * column // COLUMN, _LEFT + _RIGHT)
    heatmap: dict[str, Any] = {
        "type": "heatmap",
        "name": "codes",
        "z": shades,
        "colorscale": discrete_scale(scale),
        "zmin": -0.5,
        "zmax": len(scale) - 0.5,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "text": _hover(cells, texts, tokens, labels, factor),
        "hoverinfo": "text",
    }
    traces = [heatmap, *number_traces(cells, shown, colours)]
    plain = len(traces)
    if wrong is not None:
        places = [(int(state), int(pos)) for state, pos in np.argwhere(wrong)]
        traces += frame_traces(places, WRONG_COLOUR, "not what the task's step writes", 0.45)
    stopped = [(state - first, pos) for pos, state in enumerate(halted) if state >= first]
    traces += frame_traces(stopped, INK, "has halted", 0.38)
    height = 24 if len(codes) <= 24 else max(13, 560 // len(codes))
    reading = "A row is a state, as the step of its number leaves it."
    reading += (
        " One colour a symbol."
        if every
        else " Blue: the symbol that the last state shows too; grey: another one."
    )
    text = wrapped(reading, LEAST_WIDTH)
    legend = 22 if len(traces) > plain else 0
    top = 72 + 16 * text.count("<br>") + legend
    longest = max(map(len, tokens), default=1)
    below = int(16 + 7 * min(longest, 24)) if longest > 2 else 34
    every_row = -(-16 // height)
    step = max(1, -(-9 // max(1, (max(width, LEAST_WIDTH) - _LEFT - _RIGHT) // max(1, len(tokens)))))
    layout: dict[str, Any] = {
        "height": top + height * len(codes) + below,
        "width": width if width > LEAST_WIDTH else None,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": top, "b": below},
        "title": title_of(f"{factor}: what every position shows", text),
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 1 - (top - legend - 4) / (top + height * len(codes) + below),
            "yanchor": "top",
            "x": 0,
            "xanchor": "left",
            "itemclick": False,
        },
        "xaxis": {
            "tickvals": list(range(0, len(tokens), step)),
            "ticktext": [token[:24] for token in tokens[::step]],
            "tickangle": -90 if longest > 2 else 0,
            "tickfont": {"size": 11},
            "showgrid": False,
            "range": [-0.5, len(tokens) - 0.5],
        },
        "yaxis": {
            "tickvals": list(range(0, len(codes), every_row)),
            "ticktext": labels[::every_row],
            "title": {"text": "step", "standoff": 4},
            "range": [len(codes) - 0.5, -0.5],
            "showgrid": False,
        },
    }
    return make_figure(traces, layout, width)


def _hover(
    cells: list[list[int]], texts: Sequence[str], tokens: Sequence[str], labels: Sequence[str], factor: str
) -> list[list[str]]:
    return [
        [
            f"<b>{tokens[pos]}</b>, position {pos}<br>"
            f"{'before step 0' if label == 'start' else f'after step {label}'}: {factor} {texts[code]}"
            for pos, code in enumerate(line)
        ]
        for label, line in zip(labels, cells, strict=True)
    ]
