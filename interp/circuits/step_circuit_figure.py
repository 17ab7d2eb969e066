"""The circuit of one step for one node, from its story: what is read, who carries it, and what is written.

A line leads from what is read through the components that carry it, layer by layer. It is as wide as the effect
measured at the component that it comes to: the share of tests in which the step writes another symbol, once its
output is as it is where the thing is another one (:mod:`interp.circuits.effects`). Heads that have an effect only
together are drawn dashed, with the effect of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.ablation import Component
from interp.circuits.step_drawing import (
    ROW,
    WRITTEN,
    axes_of,
    column_of,
    discs,
    drawn_of,
    hovers,
    line,
    thing_name,
)
from interp.figures.captioned import captioned
from interp.figures.template import LEAST_WIDTH, make_figure

if TYPE_CHECKING:
    from interp.circuits.changes import Thing
    from interp.circuits.circuit_story import Story

_LEAST: Final = 0.05
"""Effects below this are not drawn."""


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
    routes = [(start, to, edge) for thing in things for start, to, edge in _route(thing, edges)]
    drawn = drawn_of(things, parts, {(start, to) for start, to, _ in routes})
    layout = captioned(
        f"The circuit of step {step} for {story.graph.equation(story.node)}",
        "Left: what is read for the node, a colour per operand; right: the symbol that the step writes. A line leads "
        "through the components that carry it, as wide as the effect measured there: the share of tests in which "
        "another symbol is written once that output is another one's. Dashed: together with others. Hover for numbers.",
        width,
        ROW * drawn.rows,
        left=14,
        right=14,
        bottom=44,
    )
    layout |= axes_of(drawn.columns, drawn.rows)
    traces = [
        line(drawn.path(start, to), edge.thing, edge.effect, edge.together) for start, to, edge in routes
    ]

    def named(thing: Thing) -> str:
        return thing_name(story.graph, story.node, thing)

    shown = [(start, to, edge) for start, to, edge in routes if to != WRITTEN]
    texts = [
        f"<b>{edge.part} and the {named(edge.thing)}</b><br>"
        f"writes another symbol in {edge.effect:.0%} of tests, as predicted in {edge.predicted:.0%}"
        + ("<br>together with others" if edge.together else "")
        + ("" if edge.attention != edge.attention else f"<br>attention on it {edge.attention:.2f}")
        for *_, edge in shown
    ]
    traces.append(hovers([drawn.path(start, to) for start, to, _ in shown], texts))
    label = f"{told.written}<br>p {told.probability:.2f}"
    traces += discs(drawn.places, things, parts, named, label, told.written == str(story.true))
    return make_figure(traces, layout, max(LEAST_WIDTH, 96 * (len(drawn.columns) + 2)))


def _route(thing: Thing, edges: list[Carried]) -> list[tuple[object, object, Carried]]:
    """From the thing to what carries it in one column, from there to the next column, and at last to what is written:
    (start, end, whose effect).
    """
    mine = [edge for edge in edges if edge.thing == thing]
    columns = {column_of(edge.part) for edge in mine}
    found: list[tuple[object, object, Carried]] = []
    starts: list[tuple[object, Carried | None]] = [(thing, None)]
    for column in sorted(columns):
        here = [edge for edge in mine if column_of(edge.part) == column]
        found += [(start, edge.part, edge) for start, _ in starts for edge in here]
        starts = [(edge.part, edge) for edge in here]
    return found + [(start, WRITTEN, edge) for start, edge in starts if edge is not None]
