"""Attention from right-hand sides at one step: on the tokens, of all heads at once, and by role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.data.labels import STATUSES
from interp.figures.captioned import captioned
from interp.figures.resolution import Blocks, Span, missing_traces, pool
from interp.figures.template import EDGE_COLOUR, LEAST_WIDTH, make_figure, text_width
from interp.mechanism.attention_roles import ROLES
from interp.mechanism.heads_figure import SHARE

if TYPE_CHECKING:
    from interp.data.rhs_patterns import RhsPattern
    from interp.mechanism.attention_roles import AttentionTargets

Floats32 = NDArray[np.float32]
OTHER_COLOUR: Final = "#e1692d"
"""Rings and crosses at right-hand sides, and edges to a node that is not an operand."""
_LETTERS: Final = 8.0
"""Width of a column in pixels from which every token has its label; of narrower ones only right-hand sides have."""
_SMALL: Final = 1200
"""Cells of one small heat map up to which hover texts are made for it."""
_HEAD: Final = 11
"""Pixels of a head's column, which has room for its name."""
_ABOVE: Final = 66
"""Room in pixels for a colour bar above the axes."""
_TICK: Final = 9
"""Size of the numbers and names beside small heat maps."""
_FEW: Final = 120
"""Tokens up to which eight small heat maps stand beside each other; of more, four."""


def pattern_figure(pattern: RhsPattern, layer: int, head: int, width: int = 1000) -> go.Figure:
    """One head: node (its right-hand side) x token; rings stand at the operands' right-hand sides.

    Raises:
        ValueError: a layer or head that the model does not have.
    """
    values = pattern.of(layer, head)
    n_nodes, n_pos = values.shape
    row = 20 if n_nodes <= 24 else 12
    labels = _equations(pattern)
    names = {int(pos): node.name for pos, node in zip(pattern.rhs, pattern.graph.nodes, strict=True)}
    left = min(300, 30 + 7 * max(map(len, labels)))
    span = Span.across(width, left + 96, narrowest=LEAST_WIDTH)
    blocks = pool(values, n_nodes, span.most)
    layout = captioned(
        f"Head {layer}.{head} at step {pattern.step}: where right-hand sides look",
        "A row is a node's right-hand side, the symbol it shows as the step is entered after the colon; a column is a "
        "token of the text. Every row sums to 1. Rings: right-hand sides of the node's operands; crosses: its own."
        + _pooled(blocks),
        width,
        row * n_nodes,
        left=left,
        right=96,
        bottom=70,
    )
    pitch = (min(width, LEAST_WIDTH) - left - 96) / n_pos
    all_labelled = pitch >= _LETTERS
    ticks = list(range(n_pos)) if all_labelled else [int(pos) for pos in pattern.rhs]
    ticks = ticks[:: max(1, -(-len(ticks) // 60))] if not all_labelled else ticks
    layout |= _colours(row * n_nodes) | {
        "showlegend": False,
        "xaxis": {
            "tickvals": ticks,
            "ticktext": [pattern.tokens[pos] if all_labelled else names.get(pos, str(pos)) for pos in ticks],
            "tickangle": -90,
            "tickfont": {"size": max(8.0, min(11.0, pitch)) if all_labelled else 9},
            "title": {
                "text": "token" if all_labelled else "token (right-hand sides are named)",
                "standoff": 6,
                "font": {"size": 12},
            },
            "range": [-0.5, n_pos - 0.5],
            "showgrid": False,
        },
        "yaxis": {
            "tickvals": list(range(n_nodes)),
            "ticktext": labels,
            "tickfont": {"size": 11 if n_nodes <= 24 else 8},
            "range": [n_nodes - 0.5, -0.5],
            "showgrid": False,
        },
    }
    operands = [
        (int(pattern.rhs[operand]), node)
        for node, one in enumerate(pattern.graph.nodes)
        for operand in one.operands
    ]
    size = max(6.0, min(11.0, 0.8 * row, 1.5 * pitch))
    marks = [
        _marks(operands, "circle-open", size),
        _marks([(int(pos), node) for node, pos in enumerate(pattern.rhs)], "x-thin-open", size - 2),
    ]
    return make_figure([_heatmap(blocks, span, _hover(pattern, blocks)), *marks], layout)


def all_heads_figure(pattern: RhsPattern, width: int = 1000) -> go.Figure:
    """Every head small, a row of heat maps per layer: node x token, as :func:`pattern_figure`."""
    n_layers, n_heads, n_nodes, _ = pattern.pattern.shape
    n_pos = pattern.pattern.shape[-1]
    folded = -(-n_heads // (8 if n_pos <= _FEW else 4))
    per_line = -(-n_heads // folded)
    lines = n_layers * folded
    names = [node.name for node in pattern.graph.nodes]
    left, right, gap = 24 + int(text_width(max(names, key=len), _TICK)) + 14, 12, 30
    inner = width - left - right
    high = float(np.clip(5.5 * n_nodes, 70, max(170, 2 * n_nodes)))
    total = lines * high + (lines - 1) * gap
    span = Span.across(width, left + right + 12 * per_line, 1 / per_line, narrowest=LEAST_WIDTH)
    small = [pool(one, n_nodes, span.most) for one in pattern.pattern.reshape(-1, n_nodes, n_pos)]
    layout = captioned(
        f"All heads at step {pattern.step}: where right-hand sides look",
        "A small heat map per head: a row is a node's right-hand side, a column is a token, both in text "
        "order. A diagonal is attention to what stands a fixed distance back; scattered cells are lookups."
        + _pooled(small[0]),
        width,
        int(total),
        left=left,
        right=right,
        bottom=48,
    )
    layout |= _colours(total) | {"annotations": [], "showlegend": False}
    above = {"orientation": "h", "len": 220, "lenmode": "pixels", "x": 1, "xanchor": "right", "thickness": 10}
    layout["margin"]["t"] += _ABOVE
    layout["height"] += _ABOVE
    begin = 1 - (layout["margin"]["t"] - _ABOVE - 8) / layout["height"]
    above |= {"y": begin, "yref": "container", "yanchor": "top", "ypad": 0}
    layout["coloraxis"]["colorbar"] = above
    # A title of the bar's own would lie over it.
    corner = {"xref": "paper", "yref": "paper", "x": 1, "y": 1, "xanchor": "right", "yanchor": "middle"}
    beside = {"xshift": -228, "yshift": _ABOVE + 3, "showarrow": False, "font": {"size": 12}}
    layout["annotations"].append({"text": "attention", **corner, **beside})
    tokens, nodes = _every(n_pos, 4), _every(n_nodes, high / 13)
    node_title = f"node (one in {nodes[1]} named)" if len(nodes) > 1 and nodes[1] > 1 else "node"
    traces: list[dict[str, Any]] = []
    for number, (block, head) in enumerate(np.ndindex(n_layers, n_heads)):
        line, place = block * folded + head // per_line, head % per_line
        suffix = "" if number == 0 else str(number + 1)
        top = line * (high + gap)
        begin = place / per_line
        layout[f"xaxis{suffix}"] = _bare(f"y{suffix}") | {
            "domain": [begin, begin + 1 / per_line - 12 / inner],
            "tickvals": tokens,
            "ticktext": [str(pos) for pos in tokens],
            "showticklabels": line == lines - 1,
            "title": {
                "text": "position of the token" if line == lines - 1 and place == per_line // 2 else "",
                "standoff": 2,
                "font": {"size": 11},
            },
        }
        layout[f"yaxis{suffix}"] = _bare(f"x{suffix}") | {
            "domain": [max(0.0, 1 - (top + high) / total), 1 - top / total],
            "autorange": "reversed",
            "tickvals": nodes,
            "ticktext": [names[node] for node in nodes],
            "showticklabels": place == 0,
            "title": {
                "text": node_title if place == 0 and line == lines // 2 else "",
                "standoff": 2,
                "font": {"size": 11},
            },
        }
        layout["annotations"].append(
            {
                "text": f"<b>head {block}.{head}</b>",
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix} domain",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
            }
        )
        own = small[number]
        hover = _hover(pattern, own) if own.values.size <= _SMALL else None
        heatmap = _heatmap(own, span, hover) | {"xgap": 0, "ygap": 0}
        traces.append(heatmap | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"})
    return make_figure(traces, layout)


def targets_figure(targets: AttentionTargets, step: int, width: int = 1000) -> go.Figure:
    """Role x head at one step, a panel a status that some node has: mean attention from the right-hand sides.

    Raises:
        ValueError: a step that was not run.
    """
    if not 0 <= step < targets.n_steps:
        raise ValueError(f"step is {step}; allowed: 0..{targets.n_steps - 1}")
    present = [s for s in range(len(STATUSES)) if targets.nodes[s, step]]
    n_layers, n_heads = targets.mass.shape[3:]
    names = [f"{block}.{head}" for block, head in np.ndindex(n_layers, n_heads)]
    height, left, gap = 19 * len(ROLES), 130, 0.04
    layout = captioned(
        f"What stands where heads look, at step {step}",
        "Mean attention from right-hand sides by what stands there, a panel per status of the node as the step is "
        "entered; operands are counted from the end of the left-hand side. Hatched: no node has that role.",
        width,
        height,
        left=left,
        right=96,
        bottom=64,
    )
    layout |= _colours(height) | {"plot_bgcolor": "#eceef3", "annotations": [], "showlegend": False}
    layout["margin"]["t"] += 16
    layout["height"] += 16
    share = (1 + gap) / len(present)
    span = Span.across(width, left + 96, share - gap)
    traces: list[dict[str, Any]] = []
    for number, s in enumerate(present):
        suffix = "" if number == 0 else str(number + 1)
        values = targets.mass[s, step].reshape(len(ROLES), -1)
        chance = targets.chance[s, step]
        hover = [
            [
                f"<b>head {name}, {role}</b><br>attention {cell:.3f}, chance {alike:.3f}"
                for name, cell in zip(names, line, strict=True)
            ]
            for role, line, alike in zip(ROLES, values, chance, strict=True)
        ]
        blocks = pool(values, len(ROLES), len(names))
        panel = [_heatmap(blocks, span, hover), *missing_traces(blocks)]
        traces += [trace | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"} for trace in panel]
        layout[f"xaxis{suffix}"] = {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-0.5, len(names) - 0.5],
            "domain": [number * share, min(1.0, (number + 1) * share - gap)],
            "anchor": f"y{suffix}",
            "showgrid": False,
            "tickangle": -90,
            "tickfont": {"size": 10},
            "title": {"text": "head (layer.head)", "standoff": 4, "font": {"size": 12}},
        }
        layout[f"yaxis{suffix}"] = {
            "tickvals": list(range(len(ROLES))),
            "ticktext": list(ROLES),
            "range": [len(ROLES) - 0.5, -0.5],
            "anchor": f"x{suffix}",
            "showgrid": False,
            "showticklabels": number == 0,
            "tickfont": {"size": 11},
        }
        count = int(targets.nodes[s, step])
        layout["annotations"].append(
            {
                "text": f"<b>{STATUSES[s]}</b>, {count} node{'s' * (count != 1)}",
                "xref": f"x{suffix} domain",
                "yref": "paper",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
    room = _HEAD * len(names) / (share - gap) + left + 96
    return make_figure(traces, layout, max(LEAST_WIDTH, room))


def _colours(height: float) -> dict[str, Any]:
    bar = {"title": {"text": "attention"}, "thickness": 14, "len": min(1.0, 240 / height)}
    axis = {"colorscale": [list(stop) for stop in SHARE], "cmin": 0, "cmax": 1}
    return {"coloraxis": axis | {"colorbar": bar | {"y": 1, "yanchor": "top"}}}


def _heatmap(blocks: Blocks, span: Span, hover: list[list[str]] | None) -> dict[str, Any]:
    gap = 0 if blocks.pooled else span.gap(blocks.values.shape[1])
    told = {"hoverinfo": "skip"} if hover is None else {"text": hover, "hoverinfo": "text"}
    return {
        "type": "heatmap",
        # Four digits are what a colour can show, and a fifth of the bytes that go to the browser.
        "z": np.round(blocks.values, 4),
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
        **blocks.placed,
        **told,
    }


def _bare(anchor: str) -> dict[str, Any]:
    line = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    return line | {"anchor": anchor, "showgrid": False, "tickangle": 0, "tickfont": {"size": _TICK}}


def _every(n: int, most: float) -> list[int]:
    """Evenly spaced places among ``n`` for at most about so many labels, at round distances."""
    distances = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    return list(range(0, n, next(one for one in distances if n / one <= max(most, 1))))


def _equations(pattern: RhsPattern) -> list[str]:
    return [f"{pattern.graph.equation(node)} : {shown}" for node, shown in enumerate(pattern.shown)]


def _hover(pattern: RhsPattern, blocks: Blocks) -> list[list[str]]:
    names = [node.name for node in pattern.graph.nodes]
    lines = zip(blocks.rows.tolist(), blocks.columns.tolist(), blocks.values.tolist(), strict=True)
    told = "<br>the strongest of its block" if blocks.pooled else ""
    return [
        [
            f"<b>{names[node]} looks at {pattern.tokens[pos]}</b> (position {pos})<br>attention {cell:.3f}{told}"
            for node, pos, cell in zip(nodes, places, cells, strict=True)
        ]
        for nodes, places, cells in lines
    ]


def _pooled(blocks: Blocks) -> str:
    """What a reading says about cells that were put together."""
    if not blocks.pooled:
        return ""
    down, across = blocks.size(0, 0)
    many = f"{across} tokens" if down == 1 else f"{down} nodes x {across} tokens"
    return f" There is no room for every cell: {many} are one block, in the colour of the strongest."


def _marks(points: Sequence[tuple[int, int]], symbol: str, size: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "marker": {"symbol": symbol, "size": size, "color": OTHER_COLOUR, "line": {"width": 1.3}},
        "hoverinfo": "skip",
    }
