"""The computation graph of one run, drawn by depth in columns: operands left, results right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.layout import curve, layer
from interp.figures.template import (
    EDGE_COLOUR,
    INK,
    UNSOLVED_COLOUR,
    WRONG_COLOUR,
    make_figure,
    step_colours,
    text_colour,
    value_signs,
)
from models.graph import ComputationGraph
from models.trajectory import Trajectory

_CROWDED = 11
"""Nodes in one column from which names stand beside the nodes, not above."""


def graph_figure(
    run: Trajectory, state: int = -1, row: int = 0, highlight: int | None = None, width: int = 1000
) -> go.Figure:
    """Every node at its depth, filled once it is solved, with the value it shows in a state.

    A node's colour is the step that first wrote its true value (``Trajectory.solved_at``). It is filled from the state
    after that step on, and before that only outlined; grey is never solved. A red outline is a wrong value, a dot
    is EMPTY. ``customdata`` of the trace ``nodes`` is the index of the node.

    Args:
        run: the run.
        state: index into ``run.states``, the state whose values are shown; negative counts from the end.
        row: which graph of the batch.
        highlight: index of a node whose operands are drawn strongly.
        width: width in pixels the figure will have; labels are sized to fit.

    Raises:
        IndexError: no such state or row.
    """
    graph = run.encoded.graphs[row]
    n_nodes = len(graph)
    state = range(len(run.states))[state]
    codes = [int(code) for code in run.values[state, row, :n_nodes]]
    solved_at = [int(step) for step in run.solved_at[row, :n_nodes]]
    places = layer(graph)
    n_columns = max(graph.depths_by_node) + 1
    n_rows = max(3.0, 2 * max(abs(y) for _, y in places) + 1)
    crowded = n_rows > _CROWDED
    diameter = 21 if crowded else 26
    pitch = width / (n_columns + 0.3)
    names = [node.name for node in graph.nodes]
    room = pitch - diameter if crowded else pitch
    name_size = max(7.0, min(11.0, 1.7 * room / max(len(name) for name in names)))

    colours = step_colours(max(*solved_at, *graph.depths_by_node) + 1)
    own = [colours[step] if step >= 0 else UNSOLVED_COLOUR for step in solved_at]
    fill = [colour if 0 <= step < state else "#ffffff" for colour, step in zip(own, solved_at, strict=True)]
    empty = run.vocabulary.empty
    wrong = [code not in (empty, true) for code, true in zip(codes, graph.values_by_node, strict=True)]
    ink = [
        UNSOLVED_COLOUR if code == empty else text_colour(back)
        for code, back in zip(codes, fill, strict=True)
    ]
    signs = value_signs(run.vocabulary)
    nodes = {
        "type": "scatter",
        "name": "nodes",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "mode": "markers+text",
        "text": [signs[code] or "•" for code in codes],
        "textfont": {"size": 12 if crowded else 13, "color": ink},
        "customdata": list(range(n_nodes)),
        "hovertext": _hover(run, row, state, codes, solved_at),
        "hoverinfo": "text",
        "marker": {
            "size": diameter,
            "color": fill,
            "opacity": 1,
            "line": {
                "color": [WRONG_COLOUR if bad else colour for bad, colour in zip(wrong, own, strict=True)],
                "width": [3.5 if bad else 2 for bad in wrong],
            },
        },
        "showlegend": False,
    }
    labels = {
        "type": "scatter",
        "name": "names",
        "x": nodes["x"],
        "y": nodes["y"],
        "mode": "markers+text",
        "text": names,
        "textposition": "middle right" if crowded else "top center",
        "textfont": {"size": name_size},
        "marker": {"size": diameter, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    edges = [_edges(graph, places, range(n_nodes), EDGE_COLOUR, 1.0)]
    if highlight is not None:
        edges.append(_edges(graph, places, [highlight], INK, 2.0))
    legend = [_legend_entry(str(step), colours[step]) for step in sorted(set(solved_at) - {-1})]
    if -1 in solved_at:
        legend.append(_legend_entry("never", UNSOLVED_COLOUR))
    if any(wrong):
        legend.append(_legend_entry("wrong value", "#ffffff", WRONG_COLOUR))
    row_height = diameter + 5 if crowded else diameter + name_size + 9
    layout = {
        "height": int(92 + row_height * n_rows),
        "margin": {"l": 8, "r": 8, "t": 40, "b": 34},
        "legend": {
            "title": {"text": "solved at step", "font": {"size": 13}},
            "orientation": "h",
            "y": 1,
            "yanchor": "bottom",
            "x": 0,
            "itemclick": False,
        },
        "xaxis": {
            "range": [-0.6, n_columns - 0.4],
            "tickvals": list(range(n_columns)),
            "ticktext": [f"depth {depth}" if pitch > 60 else str(depth) for depth in range(n_columns)],
            "showgrid": False,
        },
        "yaxis": {"range": [-n_rows / 2 - 0.1, n_rows / 2 + 0.1], "visible": False},
    }
    return make_figure([*edges, *legend, nodes, labels], layout)


def _edges(
    graph: ComputationGraph,
    places: Sequence[tuple[float, float]],
    nodes: Sequence[int],
    colour: str,
    width: float,
) -> dict[str, Any]:
    """One curve per operand of the nodes."""
    x: list[float | None] = []
    y: list[float | None] = []
    for index in nodes:
        for operand in graph.nodes[index].operands:
            along, up = curve(places[operand], places[index])
            x += along
            y += up
    return {
        "type": "scatter",
        "name": "edges",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {"color": colour, "width": width, "shape": "spline", "smoothing": 0.8},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _legend_entry(name: str, colour: str, outline: str | None = None) -> dict[str, Any]:
    marker = {"size": 11, "color": colour, "line": {"color": outline or colour, "width": 3 if outline else 0}}
    return {"type": "scatter", "name": name, "x": [None], "y": [None], "mode": "markers", "marker": marker}


def _hover(
    run: Trajectory, row: int, state: int, codes: Sequence[int], solved_at: Sequence[int]
) -> list[str]:
    graph = run.encoded.graphs[row]
    symbols = run.vocabulary.symbols("value")
    texts: list[str] = []
    for index, (code, step) in enumerate(zip(codes, solved_at, strict=True)):
        lines = [
            f"<b>{graph.equation(index)}</b>",
            f"shows {symbols[code]}, true value {graph.values_by_node[index]}",
            f"depth {graph.depths_by_node[index]}, "
            + (f"solved at step {step}" if step >= 0 else "never solved"),
        ]
        if state > 0:
            lines.append(f"confidence {float(run.value_confidence[state - 1, row, index]):.4f}")
        texts.append("<br>".join(lines))
    return texts
