"""Attention on the graph: edges from operands to nodes, as strong as a node's attention to its operand's value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.captioned import captioned
from interp.figures.layout import curve, layer
from interp.figures.template import EDGE_COLOUR, INK, LEAST_WIDTH, UNSOLVED_COLOUR, legend_below, make_figure
from interp.mechanism.attention_figure import OTHER_COLOUR

if TYPE_CHECKING:
    from interp.data.rhs_patterns import RhsPattern

Floats32 = NDArray[np.float32]
CLASSES: Final = (
    (0.05, 1.5, "#b9c6f2"),
    (0.25, 2.2, "#7f9bea"),
    (0.5, 3.2, "#3f5fc9"),
    (0.75, 4.4, "#1f36a0"),
)
"""Lowest attention of a class of edges, width of its lines in pixels, colour."""
_CROWDED: Final = 11
"""Nodes in one column from which they are drawn smaller."""
_NAME: Final = 10
"""Size of a name in pixels."""
_LETTER: Final = 0.6
"""Width of a letter of a name, as a share of its size."""
HEAD_COLOURS: Final = ("#1f36a0", "#c2571a", "#1e8769", "#8e3fb5", "#b8860b", "#0f7c9c", "#b0355f", "#6b7080")
"""Of the heads of a layer; of several layers, of the heads with the most attention, the last for all that follow."""
_FILL: Final = {"waiting": "#ffffff", "computing": "#f0b42d", "done": "#eceef3"}


def attention_graph_figure(
    pattern: RhsPattern,
    block: int | None = None,
    head: int | None = None,
    width: int = 1000,
    computing: bool = False,
) -> go.Figure:
    """The graph, an edge from operand to node as strong as the node's attention to the operand's right-hand side.

    block, head: whose attention; None: the largest of all layers, of all heads, each in its own colour. Of one head
    also edges to nodes that are no operands are drawn, in another colour and dotted. The hover of a node says where
    every head looks from there, on whatever token. computing: only edges to nodes that the step computes.

    Raises:
        ValueError: a layer or head that the model does not have.
    """
    chosen = pattern.between_nodes
    heads = list(range(pattern.n_heads)) if head is None else [head]
    blocks = list(range(pattern.n_layers)) if block is None else [block]
    if not (set(heads) <= set(range(pattern.n_heads)) and set(blocks) <= set(range(pattern.n_layers))):
        raise ValueError(
            f"layer {block} and head {head}; allowed: 0..{pattern.n_layers - 1} and 0..{pattern.n_heads - 1}"
        )
    chosen = chosen[np.ix_(blocks, heads)].reshape(-1, *chosen.shape[2:])
    names = [f"{b}.{h}" for b in blocks for h in heads]
    weight, best = chosen.max(0), chosen.argmax(0)
    graph, places = pattern.graph, layer(pattern.graph)
    n_columns = max(graph.depths_by_node) + 1
    n_rows = max(3.0, 2 * max(abs(y) for _, y in places) + 1)
    diameter = 21 if n_rows > _CROWDED else 26
    longest = max(len(node.name) for node in graph.nodes)
    pitch = max(diameter, _LETTER * _NAME * longest) + 14
    shown = [node for node in range(len(graph)) if not computing or pattern.status[node] == "computing"]
    links = [(node, operand) for node in range(len(graph)) for operand in graph.nodes[node].operands]
    plain = [(node, operand) for node, operand in links if node in shown]
    others = [
        (node, other)
        for node, other in product(shown, range(len(graph)))
        if len(names) == 1 and node != other and weight[node, other] >= CLASSES[0][0]
        if other not in graph.nodes[node].operands
    ]
    traces = [_edges(places, links, EDGE_COLOUR, 1.0) | {"showlegend": False}]
    colours = [head_colour(h) for h in heads] if len(blocks) == 1 else None
    traces += (
        _weighted(places, plain, weight)
        if len(names) == 1
        else _by_head(places, plain, weight, best, names, colours)
    )
    traces += _weighted(places, others, weight, other=True)
    spots = [(node, o) for node, o in [*plain, *others] if weight[node, o] >= CLASSES[0][0]]
    traces.append(_midpoints(pattern, places, spots, weight, best, names))
    traces += _nodes(pattern, places, diameter, looks_at(pattern, blocks, heads))
    entries = dict.fromkeys(str(trace["name"]) for trace in traces if trace.get("showlegend", True))
    legend, below = legend_below(list(entries), width, 46)
    whose = f"head {names[0]}" if len(names) == 1 else f"the strongest of {len(names)} heads"
    whose += f" of layer {block}" if head is None and block is not None else ""
    layout = captioned(
        f"Attention on the graph at step {pattern.step}, {whose}",
        "An edge from operand to node is as strong as the attention from the node's right-hand side to the operand's "
        "right-hand side, where its value is; faint where there is none"
        + (", or to a node that the step does not compute" if computing else "")
        + ". A node's number is what it shows as the step is entered, its filling says whether it waits, is computed "
        "in this step, or is done; its hover, where heads look from there.",
        width,
        int((diameter + _NAME + 8) * n_rows) + 20,
        left=12,
        right=12,
        bottom=below,
    )
    layout |= {
        "legend": legend,
        "xaxis": {
            "range": [-0.6, n_columns - 0.4],
            "tickvals": list(range(n_columns)),
            "ticktext": [str(depth) for depth in range(n_columns)],
            "tickangle": 0,
            "title": {"text": "depth", "standoff": 2, "font": {"size": 12}},
            "showgrid": False,
        },
        "yaxis": {"range": [-n_rows / 2 - 0.1, n_rows / 2 + 0.1], "visible": False},
    }
    return make_figure(traces, layout, max(LEAST_WIDTH, pitch * (n_columns + 0.2) + 24))


def head_colour(head: int) -> str:
    """The colour of a head among those of its layer, in every figure that has one colour per head."""
    return HEAD_COLOURS[head % len(HEAD_COLOURS)]


def _edges(
    places: Sequence[tuple[float, float]], pairs: Sequence[tuple[int, int]], colour: str, width: float
) -> dict[str, Any]:
    """One line per (node, operand)."""
    curves = [curve(places[operand], places[node]) for node, operand in pairs]
    return {
        "type": "scatter",
        "x": [x for along, _ in curves for x in along],
        "y": [y for _, up in curves for y in up],
        "mode": "lines",
        "line": {"color": colour, "width": width, "shape": "spline", "smoothing": 0.8},
        "hoverinfo": "skip",
    }


def _weighted(
    places: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[int, int]],
    weight: Floats32,
    other: bool = False,
) -> list[dict[str, Any]]:
    """A trace a class of attention; with a legend entry each, or one where the node is not an operand."""
    bounds = [*(low for low, _, _ in CLASSES), np.inf]
    traces: list[dict[str, Any]] = []
    for number, (low, width, colour) in enumerate(CLASSES):
        mine = [pair for pair in pairs if low <= weight[pair] < bounds[number + 1]]
        upper = 1 if number == len(CLASSES) - 1 else bounds[number + 1]
        trace = _edges(places, mine, OTHER_COLOUR if other else colour, width)
        if other:
            trace["line"]["dash"] = "dot"
        named = "to a node that is no operand" if other else f"{low:g} to {upper:g}"
        if mine:
            shown = not other or not any(one["showlegend"] for one in traces)
            traces.append(trace | {"name": named, "showlegend": shown})
    return traces


def _by_head(
    places: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[int, int]],
    weight: Floats32,
    best: NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str] | None,
) -> list[dict[str, Any]]:
    """A trace per head and class of attention, the strongest first, with a legend entry per head.

    colours: of the heads; None: by their order.
    """
    strong = [pair for pair in pairs if weight[pair] >= CLASSES[0][0]]
    strength: dict[int, float] = {}
    for pair in strong:
        strength[int(best[pair])] = strength.get(int(best[pair]), 0) + float(weight[pair])
    order = sorted(strength, key=lambda number: -strength[number])
    bounds = [*(low for low, _, _ in CLASSES), np.inf]
    traces: list[dict[str, Any]] = []
    for place, number in enumerate(order):
        colour = colours[number] if colours else HEAD_COLOURS[min(place, len(HEAD_COLOURS) - 1)]
        own: list[dict[str, Any]] = []
        for low, high, (_, width, _) in zip(bounds, bounds[1:], CLASSES, strict=False):
            mine = [pair for pair in strong if best[pair] == number and low <= weight[pair] < high]
            if mine:
                own.append(_edges(places, mine, colour, width) | {"opacity": 0.85})
        traces += [
            trace
            | {"name": f"head {names[number]}", "legendgroup": names[number], "showlegend": trace is own[-1]}
            for trace in own
        ]
    return traces


def looks_at(
    pattern: RhsPattern, blocks: Sequence[int], heads: Sequence[int], least: float = 0.25
) -> list[list[tuple[str, str, float]]]:
    """For every node where some heads look from its right-hand side: (head, token with its position, attention) of at
    least so much, the strongest first.
    """
    values = pattern.pattern[np.ix_(blocks, heads)]
    found: list[list[tuple[str, str, float]]] = [[] for _ in range(values.shape[2])]
    for block, head, node, pos in np.argwhere(values >= least).tolist():
        name = f"{blocks[block]}.{heads[head]}"
        token = f"{pattern.tokens[pos]} ({pos})"
        found[node].append((name, token, float(values[block, head, node, pos])))
    return [sorted(one, key=lambda look: -look[2]) for one in found]


def _midpoints(
    pattern: RhsPattern,
    places: Sequence[tuple[float, float]],
    pairs: Sequence[tuple[int, int]],
    weight: Floats32,
    best: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Invisible points half-way along edges, for hovering."""
    x: list[float] = []
    y: list[float] = []
    for node, operand in pairs:
        along, up = (np.array(part[:-1], float) for part in curve(places[operand], places[node]))
        x.append(float(along.mean()))
        y.append(float(up[1:-1].mean()))
    nodes = pattern.graph.nodes
    return {
        "type": "scatter",
        "name": "attention",
        "mode": "markers",
        "x": x,
        "y": y,
        "marker": {"size": 12, "opacity": 0},
        "hovertext": [
            f"<b>{nodes[node].name} looks at {nodes[other].name}'s right-hand side</b><br>"
            f"attention {weight[node, other]:.3f}, head {names[int(best[node, other])]}"
            for node, other in pairs
        ],
        "customdata": [round(float(weight[pair]), 4) for pair in pairs],
        "hoverinfo": "text",
        "showlegend": False,
    }


def _told(looks: Sequence[tuple[str, str, float]], most: int = 12) -> str:
    """Lines of a hover: which head looks at what."""
    lines = [f"<br>{head} looks at {token}: {attention:.2f}" for head, token, attention in looks[:most]]
    return "".join(lines) + (f"<br>and {len(looks) - most} more" if len(looks) > most else "")


def _nodes(
    pattern: RhsPattern,
    places: Sequence[tuple[float, float]],
    diameter: int,
    looks: Sequence[Sequence[tuple[str, str, float]]],
) -> list[dict[str, Any]]:
    """A trace per status, with what the nodes show inside, and the names."""
    status = pattern.status
    common: dict[str, Any] = {"type": "scatter", "mode": "markers+text"}
    traces: list[dict[str, Any]] = []
    for name, fill in _FILL.items():
        mine = [node for node, own in enumerate(status) if own == name]
        if mine:
            traces.append(
                common
                | {
                    "name": f"{name} node",
                    "x": [places[node][0] for node in mine],
                    "y": [places[node][1] for node in mine],
                    "text": [pattern.shown[node] if pattern.shown[node].isdigit() else "•" for node in mine],
                    "textfont": {"size": 12, "color": INK},
                    "hovertext": [
                        f"<b>{pattern.graph.equation(node)}</b><br>{name}{_told(looks[node])}"
                        for node in mine
                    ],
                    "hoverinfo": "text",
                    "marker": {
                        "size": diameter,
                        "color": fill,
                        "opacity": 1,
                        "line": {"color": UNSOLVED_COLOUR, "width": 2},
                    },
                }
            )
    labels = common | {
        "name": "names",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "text": [node.name for node in pattern.graph.nodes],
        "textposition": "top center",
        "textfont": {"size": _NAME},
        "cliponaxis": False,
        "marker": {"size": diameter, "color": "rgba(0,0,0,0)"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [*traces, labels]
