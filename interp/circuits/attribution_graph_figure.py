"""An attribution graph as a figure: equations from top to bottom, steps from left to right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.captioned import captioned
from interp.figures.template import EDGE_COLOUR, MARK_COLOUR, legend_below, make_figure, step_colours

if TYPE_CHECKING:
    from interp.circuits.attribution_graph import AttributionGraph, GraphNode

_COLUMN: Final = 92
"""Least pixels between two states; a figure with more steps is wider, and scrolls."""
_ROW: Final = 44
_LEFT: Final = 74
_RIGHT: Final = 30
_SHADES: Final = ((0.02, 1.0), (0.1, 1.8), (0.3, 3.0), (1.01, 4.6))
"""Share of what makes a node, up to which an edge is so wide."""


def attribution_graph_figure(result: AttributionGraph, width: int = 1000) -> go.Figure:
    """A mark per code, head or MLP, at its equation; size: influence on the target. A line per edge; width: share of
    what makes the node that it leads to. The top path is drawn over it.
    """
    from interp.circuits.influence import normalised

    n_layers = result.run.model.cfg.n_layers
    equations = sorted({node.equation for node in (*result.nodes, *result.top_path)})
    rows = {equation: place for place, equation in enumerate(equations)}
    begin = min(node.step for node in (*result.nodes, *result.top_path))
    span = max(result.target.step - begin, 1)
    width = max(width, _COLUMN * span * (n_layers + 1) // 2 + _LEFT + _RIGHT)

    def at(node: GraphNode) -> tuple[float, float]:
        if node.kind == "code":
            offset = {"syntax": -0.27, "operation": -0.14, "variable": 0.0, "value": 0.18}[node.factor]
            return float(node.step), rows[node.equation] + offset
        heads = result.run.model.cfg.n_heads
        across = (2 * node.layer + 1 + (node.head < 0)) / (2 * n_layers + 1)
        down = 0.18 if node.head < 0 else -0.36 + 0.72 * node.head / max(heads - 1, 1)
        return node.step + across, rows[node.equation] + down

    shares = normalised(result.links)
    traces: list[dict[str, Any]] = []
    least = 0.0
    for most, thick in _SHADES:
        xs: list[float | None] = []
        ys: list[float | None] = []
        for (source, end), share in shares.items():
            if least <= share < most:
                (x0, y0), (x1, y1) = at(source), at(end)
                xs += [x0, x1, None]
                ys += [y0, y1, None]
        least = most
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": xs,
                "y": ys,
                "line": {"color": EDGE_COLOUR, "width": thick},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    points = [at(node) for node in result.top_path]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "top path",
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "line": {"color": MARK_COLOUR, "width": 2.5},
            "hoverinfo": "skip",
        }
    )
    kinds = ("value", "variable", "operation", "syntax", "head", "mlp")
    colours = dict(zip(kinds, step_colours(len(kinds)), strict=True))
    symbols = {"head": "square", "mlp": "diamond"}
    names = [node.name for node in result.run.graph.nodes]
    entries = ["top path"]
    shown = {*result.nodes, *result.top_path}
    for kind in kinds:
        nodes = [
            node for node in sorted(shown, key=lambda one: one.place) if kind in (node.factor, node.kind)
        ]
        if not nodes:
            continue
        entries.append(kind)
        hover: list[str] = []
        for node in nodes:
            said = result.symbol(node)
            where = f"state {node.step}" if node.kind == "code" else f"step {node.step}"
            hover.append(
                f"<b>{names[node.equation]}: {node.name}</b>{' = ' + said if said else ''}<br>{where}"
                f"<br>influence {result.influence.get(node, 0.0):.3f}"
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": {"head": "head", "mlp": "MLP"}.get(kind, kind),
                "x": [at(node)[0] for node in nodes],
                "y": [at(node)[1] for node in nodes],
                "marker": {
                    "color": colours[kind],
                    "symbol": symbols.get(kind, "circle"),
                    "size": [7 + 11 * min(result.influence.get(node, 0.0), 1.0) for node in nodes],
                    "line": {"color": "white", "width": 1},
                },
                "hovertext": hover,
                "hoverinfo": "text",
            }
        )
    reading = (
        f"What makes {names[result.target.equation]} = {result.symbol(result.target)} in state {result.target.step}: "
        "codes (circles) of the states, heads (squares) and MLPs (diamonds) between them. Size: influence; width of a "
        f"line: share of what makes the element at its right end. {len(result.nodes)} of {result.unpruned[0]} elements "
        f"are kept. Completeness: {result.between:.3f} between steps, {result.inside:.2f} inside a step."
    )
    legend, below = legend_below(entries, width, 60)
    layout = captioned(
        "Attribution graph", reading, width, max(_ROW * len(equations), 200), _LEFT, _RIGHT, bottom=below
    )
    layout["legend"] = legend
    states = list(range(begin, result.target.step + 1))
    layout["xaxis"] = {
        "tickvals": states,
        "ticktext": ["text" if state == 0 else f"state {state}" for state in states],
        "range": [begin - 0.15, result.target.step + 0.15],
        "showgrid": True,
    }
    layout["yaxis"] = {
        "tickvals": list(rows.values()),
        "ticktext": [names[equation] for equation in equations],
        "range": [len(rows) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
    }
    return make_figure(traces, layout)
