"""The measured edges of one step as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

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
    from interp.circuits.step_edges import Flow, StepEdges


def step_edges_figure(found: StepEdges, width: int = 1000) -> go.Figure:
    """From left to right: what is read, the heads and MLPs between which something goes, and what is written. A line is
    as wide as its effect is large; dashed where it is negative.
    """
    graph, flows = found.recording.graph, found.flows()
    things = list(found.effects)
    parts = sorted(
        {part for flow in flows for part in (flow.start, flow.end) if part is not None},
        key=lambda part: (*column_of(part), part.head or 0),
    )
    ends: list[tuple[object, object]] = [
        (flow.thing if flow.start is None else flow.start, flow.end or WRITTEN) for flow in flows
    ]
    drawn = drawn_of(things, parts, ends)
    paths = [drawn.path(start, end) for start, end in ends]
    layout = captioned(
        f"Measured edges of step {found.step} for {graph.equation(found.node)}",
        "A line is an edge from what is read, or from a component, to the next: as wide as the share of the logits' "
        "difference that is lost when it alone carries what it does where that thing is another one. A colour is an "
        "operand; dashed: it works against the difference. Effects below 0.05 are left out. Hover for numbers.",
        width,
        ROW * drawn.rows,
        left=14,
        right=14,
        bottom=44,
    )
    layout |= axes_of(drawn.columns, drawn.rows)

    def named(thing: Thing) -> str:
        return thing_name(graph, found.node, thing)

    traces = [
        line(path, flow.thing, abs(flow.effect), flow.effect < 0)
        for path, flow in zip(paths, flows, strict=True)
    ]
    traces.append(hovers(paths, [_told(flow, named(flow.thing)) for flow in flows]))
    right = found.written == str(graph.values_by_node[found.node])
    traces += discs(drawn.places, things, parts, named, found.written, right)
    return make_figure(traces, layout, max(LEAST_WIDTH, 96 * (len(drawn.columns) + 2)))


def _told(flow: Flow, name: str) -> str:
    start = f"the {name}" if flow.start is None else str(flow.start)
    by = "".join(f"<br>{part} {effect:.2f}" for part, effect in flow.by.items() if abs(effect) >= 0.005)
    return f"<b>{start} to {flow.end or 'the logits'}</b><br>the {name}: effect {flow.effect:.2f}{by}"
