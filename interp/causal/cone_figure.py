"""The damage cone: steps since an edit x level of the graph, over one intervention or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import INK

if TYPE_CHECKING:
    from interp.causal.cone import DamageCone

NO_LEVEL = "none"


def cone_figure(cones: Sequence[DamageCone], width: int = 1000) -> go.Figure:
    """Share of the nodes of a level that differ, by steps since the edit; several cones are pooled node by node.

    The line is the edge of what the graph allows: right of it no node may differ yet, and none of the last column ever,
    where the nodes are that depend on no edited one.

    Raises:
        ValueError: no cone.
    """
    if not cones:
        raise ValueError("there is no cone to draw; allowed: at least one")
    n_steps = min(len(cone.changed) for cone in cones)
    n_levels = max(int(cone.levels.max()) for cone in cones) + 1
    changed = np.zeros((n_steps, n_levels + 1), dtype=np.int64)
    nodes = np.zeros(n_levels + 1, dtype=np.int64)
    for cone in cones:
        own_changed, own_nodes = cone.counts()
        columns = [*range(len(own_nodes) - 1), n_levels]
        changed[:, columns] += own_changed[:n_steps]
        nodes[columns] += own_nodes
    shares = np.where(nodes > 0, changed / np.maximum(nodes, 1), np.nan)
    labels = (*(str(level) for level in range(n_levels)), NO_LEVEL)
    hover = [
        [
            f"<b>{since} steps after the edit, level {label}</b><br>{changed[since, column]} of {nodes[column]} "
            "nodes differ"
            for column, label in enumerate(labels)
        ]
        for since in range(n_steps)
    ]
    panel = Panel(
        title="share of nodes that differ",
        rows=tuple(str(since) for since in range(n_steps)),
        columns=labels,
        row_title="steps since the edit",
        column_title="edges from the edited node (none: does not depend on it)",
        values=shares,
        hover=hover,
        sites=np.arange(shares.size).reshape(shares.shape),
    )
    figure = draw(
        [panel], "Damage cone", _reading(cones), Scale("share that<br>differs", signed=False), False, width
    )
    figure.add_trace(_edge(n_steps, n_levels))  # pyright: ignore[reportUnknownMemberType]
    return figure


def _reading(cones: Sequence[DamageCone]) -> str:
    allowed = sum(int((cone.shadow[-1] & (cone.levels > 0)).sum()) for cone in cones)
    reached = sum(int((cone.ever & cone.shadow[-1] & (cone.levels > 0)).sum()) for cone in cones)
    others = sum(int((cone.levels < 0).sum()) for cone in cones)
    false = sum(int((cone.ever & (cone.levels < 0)).sum()) for cone in cones)
    healed = sum(cone.heal_step is not None for cone in cones)
    what = "one edit" if len(cones) == 1 else f"{len(cones)} edits"
    return (
        f"Runs with {what}, compared with the run without. Reached: {reached} of {allowed} nodes that the graph allows "
        f"to change (left of the line); false spread: {false} of {others} others; healed: {healed} of {len(cones)}."
    )


def _edge(n_steps: int, n_levels: int) -> go.Scatter:
    """A staircase right of level k in row k, up to the last level."""
    x: list[float] = []
    y: list[float] = []
    for since in range(n_steps):
        x += [min(since, n_levels - 1) + 0.5] * 2
        y += [since - 0.5, since + 0.5]
    line = {"color": INK, "width": 2}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, name="allowed")
