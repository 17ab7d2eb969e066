"""Out-of-distribution generalisation: fraction of graphs fully solved against graph size, one curve per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.resolution import NARROWEST
from interp.figures.template import INK, UNSOLVED_COLOUR, make_figure, step_colours, title_of

METHOD_COLOURS: Final[Mapping[str, str]] = {
    "discrete-corrected": "#3457d5",
    "discrete": "#1e8769",
    "continuous": "#e1692d",
    "recurrent": "#784bc3",
    "feedforward": "#874b1e",
    "chain-of-thought": "#d23ca5",
}
"""One colour per method, the same for our models and the paper's; other models share :data:`OTHER_COLOUR`."""
SYMBOLS: Final = ("diamond", "circle", "square", "triangle-up", "cross", "star", "triangle-down", "pentagon")
"""Marks that tell our models of one method apart, in the order they are given."""

OTHER_COLOUR: Final = "#5a781e"
TRAINED_UP_TO: Final = 32
"""Nodes of the largest graphs in training; everything to the right is out of distribution."""

_LEGEND: Final[dict[str, Any]] = {
    "orientation": "h",
    "x": 0,
    "y": -0.28,
    "yanchor": "top",
    "font": {"size": 11},
}
"""Under the axes, whose height is what it leaves: so it is never beside them, however narrow the figure is."""

_PER_ENTRY: Final = 42
"""Height of the figure for an entry of the legend, in pixels: on a phone they stand below each other, with two titles,
and plotly gives a legend half of the figure at most."""


@dataclass(frozen=True)
class Curve:
    """Fraction fully solved by size. ``low`` and ``high`` are interval bounds, or empty where none is known;
    ``minutes`` is the budget of the training, if known.
    """

    method: str
    name: str
    n_nodes: Sequence[int]
    fully_solved: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    minutes: float | None = None


def generalisation_figure(
    ours: Sequence[Curve], paper: Sequence[Curve], trained_up_to: int = TRAINED_UP_TO
) -> go.Figure:
    """Our curves solid, with their intervals as bars and their minutes of training in the legend; the paper's dashed
    and without markers. ``trained_up_to``: nodes of the largest graphs in training.
    """
    methods = [curve.method for curve in ours]
    traces = [
        *(
            _our_trace(curve, SYMBOLS[methods[:place].count(curve.method) % len(SYMBOLS)])
            for place, curve in enumerate(ours)
        ),
        *map(_paper_trace, paper),
    ]
    layout: dict[str, Any] = {
        "title": title_of("Graphs fully solved, by size", f"Trained on at most {trained_up_to} nodes."),
        "height": max(700, _PER_ENTRY * (len(traces) + 2)),
        "legend": _LEGEND,
        "xaxis": {"title": {"text": "nodes in the graph"}, "dtick": trained_up_to // 2, "tickangle": 0},
        "yaxis": {"title": {"text": "fraction of graphs fully solved"}, "range": [-0.03, 1.03]},
        "margin": {"l": 56, "r": 12, "t": 84, "b": 60},
        "shapes": [
            {
                "type": "line",
                "x0": trained_up_to,
                "x1": trained_up_to,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": UNSOLVED_COLOUR, "dash": "dot", "width": 1},
            }
        ],
        "annotations": [
            {
                "x": trained_up_to,
                "y": 1.0,
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "text": "largest in training",
                "font": {"size": 11, "color": INK},
            }
        ],
    }
    return make_figure(traces, layout, NARROWEST)


def _colour(curve: Curve) -> str:
    return METHOD_COLOURS.get(curve.method, OTHER_COLOUR)


def _paper_trace(curve: Curve) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(curve.n_nodes),
        "y": list(curve.fully_solved),
        "name": f"{curve.method} (paper: {curve.name})",
        "legendgroup": "paper",
        "legendgrouptitle": {"text": "the paper's models"},
        "line": {"dash": "dash", "width": 1.5, "color": _colour(curve)},
        "opacity": 0.7,
    }


def _our_trace(curve: Curve, symbol: str) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(curve.n_nodes),
        "y": list(curve.fully_solved),
        "name": curve.name if curve.minutes is None else f"{curve.name}, {curve.minutes:.0f} min",
        "legendgroup": "ours",
        "legendgrouptitle": {"text": "ours"},
        "line": {"width": 2.5, "color": _colour(curve)},
        "marker": {"symbol": symbol, "size": 8},
    }
    if curve.low and curve.high:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - y for high, y in zip(curve.high, curve.fully_solved, strict=True)],
            "arrayminus": [y - low for low, y in zip(curve.low, curve.fully_solved, strict=True)],
            "thickness": 1,
            "width": 2,
        }
    return trace


def solved_by_step_figure(curves: Mapping[int, Sequence[float]]) -> go.Figure:
    """Fraction of graphs fully solved after each step, one line per size.

    ``curves``: nodes in the graph -> fraction after step 0, 1, ...; each line stops where no graph of its size changes
    any more. Sizes are ordered, so their colours run from dark to light.
    """
    sizes = sorted(curves)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": list(range(len(curves[size]))),
            "y": list(curves[size]),
            "name": f"{size} nodes",
            "line": {"color": colour, "width": 2},
            "marker": {"size": 5},
        }
        for size, colour in zip(sizes, step_colours(len(sizes)), strict=True)
    ]
    layout: dict[str, Any] = {
        "title": title_of("Graphs fully solved, by step", "After each step, a line for every size."),
        "height": 520,
        "legend": _LEGEND,
        "xaxis": {"title": {"text": "step"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "fraction of graphs fully solved"}, "range": [-0.03, 1.03]},
        "margin": {"l": 56, "r": 12, "t": 84, "b": 60},
    }
    return make_figure(traces, layout, NARROWEST)
