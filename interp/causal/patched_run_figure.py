"""A patched run between the clean and the corrupt one: what every node shows after every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from jaxtyping import Int
from torch import Tensor

from interp.figures.cells import COLUMN, columns_width, frame_traces, number_traces
from interp.figures.resolution import NARROWEST
from interp.figures.run_axes import node_axis, room_below, state_axis
from interp.figures.template import (
    INK,
    LEAST_WIDTH,
    MARK_COLOUR,
    WRONG_COLOUR,
    discrete_scale,
    make_figure,
    state_label,
    value_colours,
    value_signs,
)
from models.trajectory import Trajectory

_SIDE_BY_SIDE = 22
"""Nodes up to which three panels fit beside each other with numbers in the cells; more are stacked."""

_ROW = 24


def patched_run_figure(
    clean: Trajectory,
    patched: Int[Tensor, "state node"],
    corrupt: Trajectory,
    base: str = "corrupt",
    nodes: Sequence[int] | None = None,
    state: int | None = None,
) -> go.Figure:
    """Three step x node heatmaps with the same nodes and colours: clean, patched, corrupt.

    In the patched panel every cell that is not the base run's is framed: blue where it is what the other run shows,
    red where it is neither run's. In the panel of the run that was patched from, or into, dark frames are where the
    two differ. The first trace of each panel is named as the panel is.

    Args:
        clean: the run on the clean graph, of one graph.
        patched: value symbols of the patched run, in as many states and nodes as the others have.
        corrupt: the run on the corrupt graph.
        base: which of the two was patched, ``"clean"`` or ``"corrupt"``.
        nodes: indices of the nodes to draw, in this order (default: all).
        state: index of the first state that the patch can change, pointed out.

    Raises:
        ValueError: runs of different shapes; another ``base``; a node that is not there.
    """
    values = {"clean": clean.values[:, 0], "patched": patched, "corrupt": corrupt.values[:, 0]}
    shapes = {name: tuple(of_run.shape) for name, of_run in values.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"the runs must be equally long and of equally many nodes, got {shapes}")
    if base not in ("clean", "corrupt"):
        raise ValueError(f"base must be 'clean' or 'corrupt', got {base!r}")
    n_states, n_nodes = shapes["clean"]
    shown = list(range(n_nodes)) if nodes is None else list(nodes)
    if any(not 0 <= node < n_nodes for node in shown):
        raise ValueError(f"nodes are {shown}; allowed are 0 to {n_nodes - 1}")
    cells = {name: [[int(v) for v in line] for line in of_run[:, shown]] for name, of_run in values.items()}
    runs = {"clean": clean, "patched": clean if base == "clean" else corrupt, "corrupt": corrupt}
    other = "clean" if base == "corrupt" else "corrupt"
    frames = {
        other: [],
        base: frame_traces(_where(cells, base, other), INK, "clean and corrupt differ", 0.46),
        "patched": [
            *frame_traces(_where(cells, "patched", base, other), WRONG_COLOUR, "neither run's value", 0.46),
            *frame_traces(
                _where(cells, "patched", base, same=other), MARK_COLOUR, f"now as in the {other} run", 0.46
            ),
        ],
    }
    titles = {"clean": "clean", "patched": f"{base}, patched from {other}", "corrupt": "corrupt"}
    beside = len(shown) <= _SIDE_BY_SIDE
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    for place, (name, run) in enumerate(runs.items()):
        axes = {"xaxis": f"x{place + 1}", "yaxis": f"y{place + 1}"}
        panel = [_heatmap(titles[name], run, cells[name], shown), *_numbers(run, cells[name]), *frames[name]]
        traces += [trace | axes for trace in panel]
        layout |= _axes(place, beside, run, shown, n_states)
        title = {"text": f"<b>{titles[name]}</b>", "x": -0.5, "y": -0.5, "xanchor": "left", "yshift": 13}
        layout["annotations"].append(title | _ON | {"xref": axes["xaxis"], "yref": axes["yaxis"]})
        if name == "patched" and state is not None and 0 <= state < n_states:
            pointer = {"text": "▶", "x": -0.5, "y": state, "xshift": -7, "font": {"color": MARK_COLOUR}}
            layout["annotations"].append(pointer | _ON | {"xref": axes["xaxis"], "yref": axes["yaxis"]})
    below = _below(runs["clean"], shown)
    one = 34 + _ROW * n_states + below
    width = columns_width(len(shown), 68) if not beside else max(NARROWEST, 3.5 * COLUMN * len(shown) + 68)
    layout |= {
        "width": width if width > LEAST_WIDTH and not beside else None,
        "height": 30 + one * (1 if beside else 3),
        "margin": {"l": 60, "r": 8, "t": 64, "b": below} if beside else {"l": 60, "r": 8, "t": 64, "b": 0},
        "legend": {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 1}
        | {"xanchor": "right", "itemclick": False},
    }
    return make_figure(traces, layout, width)


_ON = {"showarrow": False}


def _where(
    cells: dict[str, list[list[int]]], name: str, *others: str, same: str | None = None
) -> list[tuple[int, int]]:
    """Cells (state, column) where a run shows what none of ``others`` does, and what ``same`` does."""
    return [
        (state, column)
        for state, line in enumerate(cells[name])
        for column, code in enumerate(line)
        if all(cells[other][state][column] != code for other in others)
        and (same is None or cells[same][state][column] == code)
    ]


def _heatmap(title: str, run: Trajectory, cells: list[list[int]], shown: Sequence[int]) -> dict[str, Any]:
    graph, symbols = run.encoded.graphs[0], run.vocabulary.symbols("value")
    colours = value_colours(run.vocabulary.modulus)
    hover: list[list[str]] = []
    for state, line in enumerate(cells):
        when = "before step 0" if state == 0 else f"after step {state_label(state)}"
        hover.append(
            [
                f"<b>{graph.equation(node)}</b><br>{title}: {when} it shows {symbols[code]}<br>"
                f"true value of this text {graph.values_by_node[node]}"
                for node, code in zip(shown, line, strict=True)
            ]
        )
    return {
        "type": "heatmap",
        "name": title,
        "z": cells,
        "colorscale": discrete_scale(colours),
        "zmin": -0.5,
        "zmax": len(colours) - 0.5,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "text": hover,
        "hoverinfo": "text",
    }


def _numbers(run: Trajectory, cells: list[list[int]]) -> list[dict[str, Any]]:
    return number_traces(cells, value_signs(run.vocabulary), value_colours(run.vocabulary.modulus))


def _axes(
    place: int, beside: bool, run: Trajectory, shown: Sequence[int], n_states: int
) -> dict[str, dict[str, Any]]:
    """The axes of one panel: a third of the width, or of the height."""
    names = [run.encoded.graphs[0].nodes[node].name for node in shown]
    x = node_axis(names) | {"anchor": f"y{place + 1}"}
    y = state_axis(n_states, height=_ROW) | {"ticklabelstandoff": 16, "anchor": f"x{place + 1}"}
    if beside:
        x["domain"] = [place * 0.35, place * 0.35 + 0.3]
        if place:
            del y["title"]
    else:
        share = _ROW * n_states / (34 + _ROW * n_states + _below(run, shown))
        y["domain"] = [(2 - place + 1 - share) / 3, (2 - place + 1) / 3]
    return {f"xaxis{place + 1 if place else ''}": x, f"yaxis{place + 1 if place else ''}": y}


def _below(run: Trajectory, shown: Sequence[int]) -> int:
    """Height of the names under a panel, in pixels."""
    return room_below([run.encoded.graphs[0].nodes[node].name for node in shown])
