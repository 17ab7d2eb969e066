"""The circuit of one step for one node, from its story: what is read, who carries it, and what is written.

A line leads from what is read through the components that carry it, layer by layer. It is as wide as the effect
measured at the component that it comes to: the share of tests in which the step writes another symbol, once its
output is as it is where the thing is another one (:mod:`interp.circuits.effects`). Heads that have an effect only
together are drawn dashed, with the effect of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.ablation import Component
from interp.figures.captioned import captioned
from interp.figures.template import INK, LEAST_WIDTH, make_figure

if TYPE_CHECKING:
    from interp.circuits.changes import Thing
    from interp.circuits.circuit_story import Story

OPERAND_COLOURS: Final = ("#3457d5", "#c2571a", "#1e8769")
"""Of what belongs to the first, second and third operand."""
_LEAST: Final = 0.05
"""Effects below this are not drawn."""
_WIDEST: Final = 7.0
_ROW: Final = 46
_KINDS: Final = {True: "#eceef3", False: "#fff4d6"}
"""Fill of a head, and of an MLP."""


@dataclass(frozen=True)
class Carried:
    """A thing that a component carries, with its effect; together: only with others."""

    thing: Thing
    part: Component
    effect: float
    predicted: float
    attention: float
    together: bool


def carried(story: Story, step: int) -> list[Carried]:
    """All that has an effect at a step, single components first."""
    found: dict[tuple[str, int | None, Component], Carried] = {}
    for effect in story.effects:
        if effect.step != step or not effect.n or effect.where not in ("alone", "together"):
            continue
        together = effect.where == "together"
        for part in effect.parts if effect.changed >= _LEAST else ():
            key = effect.thing.kind, effect.thing.operand, part
            if key not in found or (found[key].together and not together):
                found[key] = Carried(
                    effect.thing, part, effect.changed, effect.predicted, effect.attention, together
                )
    return sorted(found.values(), key=lambda one: (one.together, one.part.layer, one.part.head is None))


def step_circuit_figure(story: Story, step: int | None = None, width: int = 1000) -> go.Figure:
    """From left to right: what is read for the node, the heads and MLPs of every layer, and the symbol that is written.

    step: default the one that computes the node, or the last told.

    Raises:
        ValueError: a step that is not told.
    """
    step = story.step_shown(step)
    told, edges = story.steps[step], carried(story, step)
    things = sorted({edge.thing for edge in edges}, key=lambda thing: (thing.operand or 0, thing.kind))
    order = {thing: number for number, thing in enumerate(things)}
    parts = sorted(
        {edge.part for edge in edges},
        key=lambda part: (
            part.layer,
            part.head is None,
            min(order[edge.thing] for edge in edges if edge.part == part),
            part.head or 0,
        ),
    )
    columns = list(dict.fromkeys((part.layer, part.head is None) for part in parts))
    places: dict[object, tuple[float, float]] = {}
    _stack(places, things, 0)
    for number, column in enumerate(columns, 1):
        _stack(places, [part for part in parts if (part.layer, part.head is None) == column], number)
    end = len(columns) + 1
    places["written"] = (end, 0.0)
    high = max(3, len(things), *(sum(x == number for x, _ in places.values()) for number in range(end)))
    layout = captioned(
        f"The circuit of step {step} for {story.graph.equation(story.node)}",
        "Left: what is read for the node, a colour an operand; right: the symbol that the step writes. A line leads "
        "through the components that carry it, as wide as the effect measured there: the share of tests in which "
        "another symbol is written once that output is another one's. Dashed: together with others. Hover for numbers.",
        width,
        _ROW * high,
        left=14,
        right=14,
        bottom=30,
    )
    names = ["read", *("MLP" if mlp else "heads" for _, mlp in columns), "written"]
    heads = ["", *(f"<br>layer {block}" for block, _ in columns), ""]
    layout |= {
        "showlegend": False,
        "xaxis": {
            "range": [-0.6, end + 0.6],
            "tickvals": list(range(end + 1)),
            "ticktext": [name + head for name, head in zip(names, heads, strict=True)],
            "tickangle": 0,
            "showgrid": False,
            "side": "bottom",
        },
        "yaxis": {"range": [-high / 2, high / 2], "visible": False},
    }
    layout["margin"]["b"] = 44
    layout["height"] += 14
    routes = [(start, to, edge) for thing in things for start, to, edge in _route(thing, edges)]
    traces = [_line(places[start], places[to], edge) for start, to, edge in routes]
    traces.append(_hovers(story, places, routes))
    traces += _discs(
        story, places, things, parts, f"{told.written}<br>p {told.probability:.2f}", told.written
    )
    return make_figure(traces, layout, max(LEAST_WIDTH, 96 * (end + 1)))


def _stack(places: dict[object, tuple[float, float]], members: list[Any], x: float) -> None:
    """Members of a column, below each other about the middle."""
    for number, member in enumerate(members):
        places[member] = (x, (len(members) - 1) / 2 - number)


def _line(start: tuple[float, float], end: tuple[float, float], edge: Carried) -> dict[str, Any]:
    """A curve that leaves and arrives horizontally."""
    (x, y), (to, up) = start, end
    share = [place / 12 for place in range(13)]
    eased = [part * part * (3 - 2 * part) for part in share]
    colour = INK if edge.thing.operand is None else OPERAND_COLOURS[edge.thing.operand % len(OPERAND_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x + part * (to - x) for part in share],
        "y": [y + part * (up - y) for part in eased],
        "line": {
            "color": colour,
            "width": 0.8 + _WIDEST * edge.effect,
            "dash": "dash" if edge.together else "solid",
        },
        "opacity": 0.55,
        "hoverinfo": "skip",
    }


def _route(thing: Thing, edges: list[Carried]) -> list[tuple[object, object, Carried]]:
    """From the thing to what carries it in one column, from there to the next column, and at last to what is written:
    (start, end, whose effect).
    """
    mine = [edge for edge in edges if edge.thing == thing]
    columns = list(dict.fromkeys((edge.part.layer, edge.part.head is None) for edge in mine))
    found: list[tuple[object, object, Carried]] = []
    starts: list[tuple[object, Carried | None]] = [(thing, None)]
    for column in sorted(columns):
        here = [edge for edge in mine if (edge.part.layer, edge.part.head is None) == column]
        found += [(start, edge.part, edge) for start, _ in starts for edge in here]
        starts = [(edge.part, edge) for edge in here]
    return found + [(start, "written", edge) for start, edge in starts if edge is not None]


def _hovers(
    story: Story,
    places: dict[object, tuple[float, float]],
    routes: list[tuple[object, object, Carried]],
) -> dict[str, Any]:
    """Invisible points half-way along lines that come to a component."""
    shown = [(start, to, edge) for start, to, edge in routes if to != "written"]
    edges = [edge for *_, edge in shown]
    middles = [
        ((places[start][0] + places[to][0]) / 2, (places[start][1] + places[to][1]) / 2)
        for start, to, _ in shown
    ]
    return {
        "type": "scatter",
        "name": "effects",
        "mode": "markers",
        "x": [x for x, _ in middles],
        "y": [y for _, y in middles],
        "marker": {"size": 16, "opacity": 0},
        "hovertext": [
            f"<b>{edge.part} and the {_named(story, edge.thing)}</b><br>"
            f"writes another symbol in {edge.effect:.0%} of tests, as predicted in {edge.predicted:.0%}"
            + ("<br>together with others" if edge.together else "")
            + ("" if edge.attention != edge.attention else f"<br>attention on it {edge.attention:.2f}")
            for edge in edges
        ],
        "hoverinfo": "text",
    }


def _discs(
    story: Story,
    places: dict[object, tuple[float, float]],
    things: list[Thing],
    parts: list[Component],
    label: str,
    written: str,
) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"type": "scatter", "mode": "markers+text", "hoverinfo": "text"}
    right = written == str(story.true)
    groups: list[tuple[list[Any], list[str], str, str]] = [
        (
            list(things),
            [_named(story, thing).replace(" of ", "<br>") for thing in things],
            "#ffffff",
            "square",
        ),
        (
            list(parts),
            ["MLP" if part.head is None else f"{part.layer}.{part.head}" for part in parts],
            "",
            "circle",
        ),
        (["written"], [label], "#d9f2e6" if right else "#fbd9de", "square"),
    ]
    traces: list[dict[str, Any]] = []
    for members, texts, fill, symbol in groups:
        fills = [fill or _KINDS[part.head is not None] for part in members]
        spots = [places[member] for member in members]
        traces.append(
            common
            | {
                "x": [x for x, _ in spots],
                "y": [y for _, y in spots],
                "text": texts,
                "hovertext": [text.replace("<br>", " ") for text in texts],
                "textfont": {"size": 11, "color": INK},
                "marker": {
                    "symbol": symbol,
                    "size": 38,
                    "color": fills,
                    "opacity": 1,
                    "line": {"color": "#a9adb8", "width": 1},
                },
            }
        )
    return traces


def _named(story: Story, thing: Thing) -> str:
    if thing.operand is None:
        return thing.kind
    operands = story.graph.nodes[story.node].operands
    return f"{thing.kind} of {story.graph.nodes[operands[thing.operand]].name}"
