"""Heatmap of where two runs differ: state x node, by factor."""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.run_difference import VALUE, RunDifference
from interp.figures.captioned import captioned
from interp.figures.cells import columns_width
from interp.figures.depths import depth_marks
from interp.figures.run_axes import node_axis, room_below, row_height, state_axis
from interp.figures.template import EMPTY_COLOUR, LEAST_WIDTH, make_figure, state_label
from models.factors import FACTORS

DIFFERS: Final = "#b34700"
_LEFT: Final = 72
_RIGHT: Final = 8


def run_difference_figure(
    found: RunDifference, factor: str = "value", names: tuple[str, str] = ("first", "second")
) -> go.Figure:
    """State x node: where a factor is not the same in both runs; of values the hover says what both show.

    names: of the runs.

    Raises:
        ValueError: an unknown factor.
    """
    if factor not in FACTORS:
        raise ValueError(f"factor is {factor!r}; allowed are {', '.join(FACTORS)}")
    differs = found.differs[FACTORS.index(factor)]
    n_states, n_nodes = differs.shape
    graph = found.first.encoded.graphs[0]
    nodes = [node.name for node in graph.nodes]
    width = columns_width(n_nodes, _LEFT + _RIGHT)
    layout = captioned(
        f"Where the {factor} differs",
        f"A column is a node, a row is what a step wrote. Filled: not the same {factor} in both runs, anywhere in the "
        "node's equation.",
        width,
        row_height(n_states) * n_states,
        left=_LEFT,
        right=_RIGHT,
        bottom=room_below(nodes),
    )
    shapes, marks = depth_marks(graph.depths_by_node, n_states, width - _LEFT - _RIGHT)
    layout |= {
        "width": width if width > LEAST_WIDTH else None,
        "shapes": shapes,
        "annotations": marks,
        "showlegend": False,
        "xaxis": node_axis(nodes),
        "yaxis": state_axis(n_states),
    }
    cells: Any = differs.int()
    heatmap: dict[str, Any] = {
        "type": "heatmap",
        "name": factor,
        "z": cells.tolist(),
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, EMPTY_COLOUR], [1, DIFFERS]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "text": [
            [_hover(found, factor, names, state, node) for node in range(n_nodes)]
            for state in range(n_states)
        ],
        "hoverinfo": "text",
    }
    return make_figure([heatmap], layout, width)


def _hover(found: RunDifference, factor: str, names: tuple[str, str], state: int, node: int) -> str:
    graph = found.first.encoded.graphs[0]
    when = "before step 0" if state == 0 else f"after step {state_label(state)}"
    head = f"<b>{graph.equation(node)}</b><br>{when}"
    if factor != FACTORS[VALUE]:
        return f"{head}<br>{factor}: {'not ' if found.differs[FACTORS.index(factor), state, node] else ''}the same"
    symbols = found.first.vocabulary.symbols("value")
    codes: Any = found.values[:, state, node]
    shown = [symbols[code] if code >= 0 else "?" for code in map(int, codes)]
    return "<br>".join([head, *(f"{name}: {value}" for name, value in zip(names, shown, strict=True))])
