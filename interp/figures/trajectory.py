"""Heatmap of one run: what every node shows after every step."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from jaxtyping import Bool
from torch import Tensor

from interp.figures.cells import columns_width, frame_traces, number_traces
from interp.figures.depths import depth_marks
from interp.figures.run_axes import node_axis, room_below, row_height, state_axis
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

_LEFT = 72
_RIGHT = 8


def trajectory_figure(
    run: Trajectory,
    row: int = 0,
    state: int | None = None,
    first_state: int = 0,
    changed: Bool[Tensor, "state node"] | None = None,
) -> go.Figure:
    """Step x node: the value symbol at every node's rhs, one colour per value, EMPTY light grey.

    Row ``t`` is what step t wrote; row ``start`` is the state before step 0. Nodes are in text order, with a line
    where the depth changes. Columns keep the width of a number, so that the figure of many nodes is wide and scrolls. A
    red frame is a wrong value. The hover has the equation, the true value and the probability of the symbol. ``x`` and
    ``y`` of the trace ``values`` are the index of the node and of the row.

    Args:
        run: the run.
        row: which graph of the batch.
        state: index of a state to point out, counted as ``first_state`` is.
        first_state: what state of a longer run ``run.states[0]`` is (a resumed run).
        changed: cells to mark with a dark frame, such as the differences from another run.

    Raises:
        ValueError: ``changed`` of another shape than [state, node].
    """
    graph = run.encoded.graphs[row]
    n_nodes, n_states = len(graph), len(run.states)
    codes = run.values[:, row, :n_nodes]
    if changed is not None and changed.shape != codes.shape:
        raise ValueError(f"changed must be {tuple(codes.shape)}, got {tuple(changed.shape)}")
    cells = [[int(code) for code in line] for line in codes]
    colours = value_colours(run.vocabulary.modulus)
    labels = [state_label(first_state + index) for index in range(n_states)]
    heatmap = {
        "type": "heatmap",
        "name": "values",
        "z": cells,
        "colorscale": discrete_scale(colours),
        "zmin": -0.5,
        "zmax": len(colours) - 0.5,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "text": _hover(run, row, cells, labels),
        "hoverinfo": "text",
    }
    traces = [heatmap, *number_traces(cells, value_signs(run.vocabulary), colours)]
    n_plain = len(traces)
    if changed is not None:
        marked = [(int(step), int(node)) for step, node in changed.nonzero()]
        traces += frame_traces(marked, INK, "differs from the original run", 0.46)
    allowed = [{run.vocabulary.empty, true} for true in graph.values_by_node]
    wrong = [
        (step, node)
        for step, line in enumerate(cells)
        for node, code in enumerate(line)
        if code not in allowed[node]
    ]
    traces += frame_traces(wrong, WRONG_COLOUR, "wrong value", 0.45 if changed is None else 0.38)
    width = columns_width(n_nodes, _LEFT + _RIGHT)
    shapes, annotations = depth_marks(graph.depths_by_node, n_states, width - _LEFT - _RIGHT)
    if state is not None and 0 <= state - first_state < n_states:
        y = state - first_state
        mark = {"type": "rect", "x0": -0.5, "x1": n_nodes - 0.5, "y0": y - 0.5, "y1": y + 0.5}
        shapes.append(mark | {"line": {"color": MARK_COLOUR, "width": 2}})
        pointer = {"text": "▶", "x": -0.5, "y": y, "xshift": -7, "showarrow": False}
        annotations.append(pointer | {"font": {"size": 12, "color": MARK_COLOUR}})
    names = [node.name for node in graph.nodes]
    legend = 22 if len(traces) > n_plain else 0
    below = room_below(names)
    layout = {
        "height": 24 + legend + row_height(n_states) * n_states + below,
        "width": width if width > LEAST_WIDTH else None,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": 24 + legend, "b": below},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "x": 1,
            "xanchor": "right",
            "itemclick": False,
        },
        "shapes": shapes,
        "annotations": annotations,
        "xaxis": node_axis(names),
        "yaxis": state_axis(n_states, first_state) | {"ticklabelstandoff": 14},
    }
    return make_figure(traces, layout, width)


def _hover(run: Trajectory, row: int, cells: list[list[int]], labels: Sequence[str]) -> list[list[str]]:
    graph = run.encoded.graphs[row]
    symbols = run.vocabulary.symbols("value")
    confidence = [[float(p) for p in line] for line in run.value_confidence[:, row]]
    hover: list[list[str]] = []
    for index, line in enumerate(cells):
        when = "before step 0" if labels[index] == "start" else f"after step {labels[index]}"
        texts: list[str] = []
        for node, code in enumerate(line):
            sure = (
                f"confidence {confidence[index - 1][node]:.4f}"
                if index
                else "as given, before the first step run"
            )
            shown = f"{when} it shows {symbols[code]}, true value {graph.values_by_node[node]}"
            texts.append(f"<b>{graph.equation(node)}</b><br>{shown}<br>{sure}")
        hover.append(texts)
    return hover
