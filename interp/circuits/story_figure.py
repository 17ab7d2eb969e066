"""One node's story: above, arrows to what was fetched at one step; below, every component's effect at all steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.ablation import Component
from interp.figures.captioned import captioned
from interp.figures.drawn import plain
from interp.figures.resolution import Span, each, missing_traces
from interp.figures.scales import SEQUENTIAL
from interp.figures.template import EDGE_COLOUR, INK, LEAST_WIDTH, make_figure, text_width

if TYPE_CHECKING:
    from interp.circuits.circuit_story import Story
    from interp.circuits.claims import Claim
    from interp.circuits.effects import Effect

_OPERANDS: Final = ("#3457d5", "#c2571a", "#1e8769")
"""Colours of the first, second and third operand."""
_STRIP: Final = 240
_GAP: Final = 84
_ROW: Final = 19
_LEFT: Final = 78
_RIGHT: Final = 92
_LETTER: Final = 0.62
"""Width of a letter, as a share of its size."""
_APART: Final = 6.0
"""Pixels between tokens."""
_DASHES: Final = {True: "solid", False: "dot", None: "dash"}


def story_figure(story: Story, step: int | None = None, width: int = 1000) -> go.Figure:
    """Tokens with arrows, and a component x (step, thing) heatmap of the share of tests that came out as predicted.

    step: whose fetches are drawn as arrows; default the one that computes the node, or the last told.

    Raises:
        ValueError: a step that is not told.
    """
    step = story.step_shown(step)
    alone = [effect for effect in story.effects if effect.where == "alone" and effect.n]
    claimed = {part for claim in story.claims for part in claim.parts}
    rows = sorted(
        claimed | {effect.parts[0] for effect in alone if effect.changed > 0},
        key=lambda part: (part.layer, part.head is None, part.head or 0),
    )
    lower = _ROW * max(len(rows), 1)
    height = _STRIP + _GAP + lower
    outcome = "solved" if story.solved else f"not solved: it ends with {story.final}"
    layout = captioned(
        f"{story.graph.equation(story.node)}, true value {story.true} ({outcome})",
        f"Above: what heads fetch at step {step}, values over the text and the rest under it; solid: backed, dotted: "
        "not backed, dashed: cannot be tested; small numbers: value shown as the step is entered, and position. Below: "
        "one component's output is patched in from a step in which the thing under the column was swapped for another; "
        "colour: how often the step then writes exactly what the algorithm would; framed: a claim that is backed "
        "(several frames in a column: together); hatched: not tested.",
        width,
        height,
        left=_LEFT,
        right=_RIGHT,
        bottom=112,
    )
    upper_edge = 1 - _STRIP / height
    layout |= {
        "shapes": [],
        "annotations": [],
        "showlegend": False,
        "coloraxis": {
            "colorscale": [list(stop) for stop in SEQUENTIAL],
            "cmin": 0,
            "cmax": 1,
            "colorbar": {
                "title": {"text": "share as<br>predicted", "font": {"size": 12}},
                "thickness": 14,
                "len": max(lower, 150),
                "lenmode": "pixels",
                "y": 0,
                "yanchor": "bottom",
            },
        },
        "yaxis": {"domain": [upper_edge, 1], "range": [-2.1, 1.9], "visible": False, "anchor": "x"},
        "yaxis2": {
            "domain": [0, lower / height],
            "anchor": "x2",
            "tickvals": list(range(len(rows))),
            "ticktext": [str(part) for part in rows],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "title": {"text": "component patched", "standoff": 4, "font": {"size": 12}},
            "tickfont": {"size": 11},
        },
    }
    traces = [*_strip(story, step, layout), *_table(story, alone, rows, layout, width)]
    return make_figure(traces, layout)


def _strip(story: Story, step: int, layout: dict[str, Any]) -> list[dict[str, Any]]:
    """The operands' equations and the node's own, with an arc from its right-hand side to every fetched position."""
    encoded, vocabulary = story.run.encoded, story.run.vocabulary
    rhs = int(encoded.rhs[0, story.node])
    places = _places(story)
    state = story.run.states[step, 0]
    words = vocabulary.token_strings(state, story.graph)[0]
    shown = vocabulary.symbols("value")
    values = {
        int(encoded.rhs[0, node]): shown[int(story.run.values[step, 0, node])] for node in _nodes(story)
    }
    size = 13 if len(places) < 24 else 10
    texts = ["…" if pos is None else words[pos] for pos in places]
    notes = ["" if pos is None else f"{values.get(pos, '')}<br>{pos}" for pos in places]
    middles, end = _spread(
        [
            max(size * len(text), 9 * len(note.split("<br>")[0]))
            for text, note in zip(texts, notes, strict=True)
        ]
    )
    at = {pos: x for x, pos in zip(middles, places, strict=True) if pos is not None}
    layout["xaxis"] = {"domain": [0, 1], "range": [0, end], "visible": False, "anchor": "y"}
    layout["meta"] = {"least_width": max(LEAST_WIDTH, round(end) + _LEFT + _RIGHT)}
    common = {"type": "scatter", "mode": "text", "x": middles, "hoverinfo": "skip"}
    traces: list[dict[str, Any]] = [
        common | {"y": [0.08] * len(places), "text": texts, "textfont": {"size": size, "color": INK}},
        common | {"y": [-0.24] * len(places), "text": notes, "textfont": {"size": 9, "color": "#6b7080"}},
    ]
    claims = [claim for claim in story.claims if claim.step == step and claim.parts and not claim.by_mlp]
    for up in (True, False):
        side = sorted(
            (claim for claim in claims if (claim.kind == "value") == up and claim.pos in at),
            key=lambda claim: abs(at[rhs] - at[claim.pos]),
        )
        levels = _levels(side)
        count = len(levels)
        traces += [
            _arc(claim, at[rhs], at[claim.pos], levels[claim.pos], count, up, layout) for claim in side
        ]
    return traces


def _spread(sizes: Sequence[float]) -> tuple[list[float], float]:
    """Middles in pixels of texts beside each other, and where the last one ends; sizes: of a letter times letters."""
    middles: list[float] = []
    end = 0.0
    for size in sizes:
        own = _LETTER * size + _APART
        middles.append(end + own / 2)
        end += own
    return middles, end


def _levels(claims: Sequence[Claim]) -> dict[int, int]:
    """Position -> which arc it is, from the nearest on."""
    return {pos: level for level, pos in enumerate(dict.fromkeys(claim.pos for claim in claims))}


def _arc(
    claim: Claim, start: float, end: float, level: int, count: int, up: bool, layout: dict[str, Any]
) -> dict[str, Any]:
    from interp.circuits.text import evidence, sentence

    colour = INK if claim.operand is None else _OPERANDS[claim.operand % len(_OPERANDS)]
    base, sign = (0.3, 1) if up else (-0.52, -1)
    top = base + sign * (0.35 + 0.95 * (level + 1) / count)
    middle = (start + end) / 2
    # The apex of a quadratic curve is half way to its control point.
    control = 2 * top - base
    layout["shapes"].append(
        {
            "type": "path",
            "path": f"M {start},{base} Q {middle},{control} {end},{base}",
            "line": {"color": colour, "width": 2, "dash": _DASHES[claim.backed]},
            "layer": "below",
        }
    )
    layout["annotations"].append(
        {
            "x": end,
            "y": base,
            "ax": 0,
            "ay": -14 * sign,
            "text": "",
            "arrowhead": 2,
            "arrowcolor": colour,
            "arrowwidth": 2,
            "standoff": 0,
        }
    )
    names = _short(claim.parts)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [middle],
        "y": [top],
        "marker": {"size": 20, "color": "#ffffff", "opacity": 1},
        "text": [names],
        "textfont": {"size": 11, "color": colour},
        "hovertext": [f"{sentence(claim)}<br>{_wrapped(evidence(claim))}"],
        "hoverinfo": "text",
    }


def _table(
    story: Story, alone: Sequence[Effect], rows: Sequence[Component], layout: dict[str, Any], width: int
) -> list[dict[str, Any]]:
    """Effects of single components, a column per step and thing."""
    keys = list(dict.fromkeys((effect.step, effect.thing) for effect in alone))
    column = {key: x for x, key in enumerate(keys)}
    z: list[list[float | None]] = [[None] * len(keys) for _ in rows]
    hover = [[""] * len(keys) for _ in rows]
    index = {part: y for y, part in enumerate(rows)}
    for effect in alone:
        part = effect.parts[0]
        if part in index:
            x, y = column[effect.step, effect.thing], index[part]
            z[y][x] = effect.predicted
            hover[y][x] = (
                f"<b>{part}, step {effect.step}: {_named(story, effect)}</b><br>as predicted {effect.predicted:.2f}, "
                f"changed {effect.changed:.2f} of {effect.n} cases<br>logit difference {effect.logit_diff:+.2f}"
                + ("" if part.head is None else f"<br>attention on it {effect.attention:.2f}")
            )
    things = {(step, thing.kind, thing.operand): x for (step, thing), x in column.items()}
    framed = [
        (things[claim.step, claim.kind, claim.operand], index[part])
        for claim in story.claims
        if claim.backed
        for part in claim.parts
    ]
    span = Span.across(width, _LEFT + _RIGHT)
    pixels, gap = span.least / max(len(keys), 1), span.gap(max(len(keys), 1))
    layout["xaxis2"] = {
        "domain": [0, 1],
        "anchor": "y2",
        "title": {"text": "what was swapped", "standoff": 6, "font": {"size": 12}},
        "tickvals": list(range(len(keys))),
        "ticktext": [_label(story, thing.kind, thing.operand) for _, thing in keys],
        "tickangle": -90,
        "tickfont": {"size": 11 if pixels > 16 else 8},
        "range": [-0.5, len(keys) - 0.5],
        "showgrid": False,
    }
    layout["annotations"].append(_heading("<b>step</b>", [-0.5], 3) | {"xanchor": "right", "xshift": -4})
    of_step = {step: [x for (at, _), x in column.items() if at == step] for step, _ in keys}
    groups: list[tuple[str, list[int]]] = [(f"<b>{step}</b>", columns) for step, columns in of_step.items()]
    layout["annotations"] += [_heading(text, columns, 3) for text, columns in groups]
    for status, group in groupby(of_step, key=lambda step: story.steps[step].status):
        together = [x for step in group for x in of_step[step]]
        groups.append((status, together))
        layout["annotations"].append(_heading(status, together, 19))
    column_width = (
        max((text_width(plain(text)) + 4) / len(columns) for text, columns in groups) if groups else 0
    )
    least = round(_LEFT + _RIGHT + column_width * len(keys))
    layout["meta"]["least_width"] = max(layout["meta"]["least_width"], least)
    for columns in of_step.values():
        line = {
            "type": "line",
            "xref": "x2",
            "yref": "y2 domain",
            "x0": columns[0] - 0.5,
            "x1": columns[0] - 0.5,
        }
        layout["shapes"].append(line | {"y0": 0, "y1": 1.0, "line": {"color": INK, "width": 1}})
    heatmap = {
        "type": "heatmap",
        "x": list(range(len(keys))),
        "y": list(range(len(rows))),
        "z": z,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
        "xaxis": "x2",
        "yaxis": "y2",
    }
    border = {
        "type": "rect", "xref": "x2", "yref": "y2", "x0": -0.5, "x1": len(keys) - 0.5,
        "y0": -0.5, "y1": len(rows) - 0.5, "line": {"color": EDGE_COLOUR, "width": 1},
    }  # fmt: skip
    layout["shapes"].append(border)
    frames = {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in framed],
        "y": [y for _, y in framed],
        "marker": {
            "symbol": "square-open",
            "size": max(4.0, min(pixels, _ROW) - 5),
            "color": "#f0b42d",
            "line": {"width": 2.5},
        },
        "hoverinfo": "skip",
        "xaxis": "x2",
        "yaxis": "y2",
    }
    missing = missing_traces(each(np.array(z, np.float64).reshape(len(rows), len(keys))), name="not tested")
    return [*(trace | {"xaxis": "x2", "yaxis": "y2"} for trace in missing), heatmap, frames]


def _heading(text: str, columns: Sequence[float], up: int) -> dict[str, Any]:
    """A text over columns of the table; up: pixels above it."""
    where = {"xref": "x2", "yref": "y2 domain", "showarrow": False, "y": 1, "yanchor": "bottom"}
    middle = (columns[0] + columns[-1]) / 2
    return where | {"x": middle, "yshift": up, "text": text, "font": {"size": 12}}


def _nodes(story: Story) -> list[int]:
    """The operands in text order, and the node."""
    return [*sorted(story.graph.nodes[story.node].operands), story.node]


def _places(story: Story) -> list[int | None]:
    """Positions drawn, from left to right; None where something is left out."""
    encoded = story.run.encoded
    places: list[int | None] = []
    for node in _nodes(story):
        end = int(encoded.rhs[0, node])
        begin = end - max(2, 2 * len(story.graph.nodes[node].operands))
        if begin and (not places or places[-1] != begin - 2):
            places.append(None)
        elif begin:
            places.append(begin - 1)
        places += range(begin, end + 1)
    return places


def _named(story: Story, effect: Effect) -> str:
    return _label(story, effect.thing.kind, effect.thing.operand)


def _label(story: Story, kind: str, operand: int | None) -> str:
    if operand is None:
        return kind
    operands = story.graph.nodes[story.node].operands
    return f"{kind} {story.graph.nodes[operands[operand]].name}"


def _short(parts: Sequence[Component]) -> str:
    names = [f"{part.layer}.{part.head}" for part in parts]
    return " ".join(names) if len(names) < 3 else f"{names[0]} +{len(names) - 1}"


def _wrapped(text: str) -> str:
    return text.replace(". ", ".<br>").replace("(", "<br>(", 1)
