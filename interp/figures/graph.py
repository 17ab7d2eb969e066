"""The computation graph of one run, drawn by depth in columns: operands left, results right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.layout import curve, layer
from interp.figures.resolution import NARROWEST
from interp.figures.template import (
    EDGE_COLOUR,
    INK,
    UNSOLVED_COLOUR,
    WRONG_COLOUR,
    discrete_scale,
    make_figure,
    step_colours,
    text_colour,
    value_signs,
)
from models.graph import ComputationGraph
from models.trajectory import Trajectory

_SIZES: Final = ((26, 13, 11), (21, 12, 10), (17, 10, 9), (15, 9, 8))
"""Diameter of a node, size of its number and of its name in pixels: the first that fits is taken."""
_CROWDED: Final = 11
"""Nodes in one column from which the largest size is not taken."""
_LETTER: Final = 0.6
"""Width of a letter of a name, as a share of its size."""
_SIDES: Final = 0.4
"""Free space left and right of the graph together, in columns."""
_LEGEND_UP_TO: Final = 6
"""Steps up to which each has an entry in the legend; more have a colour bar."""
_BAR: Final = 300


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
        width: width in pixels the figure will have. Nodes and names get smaller to fit, and where that is not enough
            the figure is wider, so that neither ever cover each other.

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
    names = [node.name for node in graph.nodes]
    longest = max(map(len, names))
    sizes = _SIZES[1 if n_rows > _CROWDED else 0 :]
    diameter, number_size, name_size = next(
        (size for size in sizes if _pitch(size, longest) * (n_columns + _SIDES) + 16 <= width), sizes[-1]
    )
    pitch = _pitch((diameter, number_size, name_size), longest)
    least = round(pitch * (n_columns + _SIDES)) + 16

    colours = step_colours(max(*solved_at, *graph.depths_by_node) + 1)
    own = [colours[step] if step >= 0 else UNSOLVED_COLOUR for step in solved_at]
    fill = [colour if 0 <= step < state else "#ffffff" for colour, step in zip(own, solved_at, strict=True)]
    empty = run.vocabulary.empty
    wrong = [code not in (empty, true) for code, true in zip(codes, graph.values_by_node, strict=True)]
    ink = [
        UNSOLVED_COLOUR if code == empty else INK if back == "#ffffff" else text_colour(back)
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
        "textfont": {"size": number_size, "color": ink},
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
        "textposition": "top center",
        "textfont": {"size": name_size},
        "cliponaxis": False,
        "marker": {"size": diameter, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    edges = [_edges(graph, places, range(n_nodes), EDGE_COLOUR, 1.0)]
    if highlight is not None:
        edges.append(_edges(graph, places, [highlight], INK, 2.0))
    steps = sorted(set(solved_at) - {-1})
    barred = len(steps) > _LEGEND_UP_TO
    legend = [_bar(colours)] if barred else [_legend_entry(str(step), colours[step]) for step in steps]
    if -1 in solved_at:
        legend.append(_legend_entry("never", UNSOLVED_COLOUR))
    if any(wrong):
        legend.append(_legend_entry("wrong value", "#ffffff", WRONG_COLOUR))
    row_height = diameter + name_size + 7
    above = 66 if barred else 56
    layout = {
        "height": int(52 + above + row_height * n_rows),
        "width": least if least > width else None,
        "margin": {"l": 8, "r": 8, "t": above, "b": 34},
        "legend": {
            "title": {"text": "" if barred else "solved at step", "font": {"size": 13}},
            "orientation": "h",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "x": min(0.99, (_BAR + 40) / max(least, width)) if barred else 0,
            "itemclick": False,
        },
        "xaxis": {
            "range": [-0.5 - _SIDES / 2, n_columns - 0.5 + _SIDES / 2],
            "tickvals": list(range(n_columns)),
            "ticktext": [
                f"depth {depth}" if max(pitch, (width - 16) / (n_columns + _SIDES)) > 60 else str(depth)
                for depth in range(n_columns)
            ],
            "showgrid": False,
        },
        "yaxis": {"range": [-n_rows / 2 - 0.1, n_rows / 2 + 0.1], "visible": False},
    }
    return make_figure([*edges, *legend, nodes, labels], layout, max(least, NARROWEST))


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


def _pitch(size: tuple[int, int, int], longest: int) -> float:
    """Pixels from one column to the next, for nodes and names of a size; longest: letters of a name."""
    diameter, _, name = size
    return max(diameter + 4, _LETTER * name * longest) + 4


def _bar(colours: Sequence[str]) -> dict[str, Any]:
    """A bar above the graph with the colour of every step."""
    every = -(-len(colours) // 14)
    bar = {
        "orientation": "h",
        "title": {"text": "solved at step", "font": {"size": 13}},
        "thickness": 11,
        "len": _BAR,
        "lenmode": "pixels",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "ypad": 4,
        "tickvals": list(range(0, len(colours), every)),
        "tickfont": {"size": 10},
    }
    marker: dict[str, Any] = {"color": [0], "colorscale": discrete_scale(list(colours)), "cmin": -0.5}
    marker |= {"cmax": len(colours) - 0.5, "showscale": True, "colorbar": bar}
    return {
        "type": "scatter",
        "name": "solved at step",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "marker": marker,
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
