"""Tied against per-step ablation: what is lost when a component is off at every step, or at one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale

if TYPE_CHECKING:
    from interp.causal.ablation import Ablation, Component


def ablation_figure(result: Ablation, width: int = 1000) -> go.Figure:
    """Component x step at which it is off (the first column: off at every step), three heatmaps on one scale.

    Colour: change of the share of right nodes at the end; the same after the step at which it is largest in magnitude;
    and change of the share of solved graphs at the end.
    """
    largest = np.abs(result.nodes_effect).argmax(2)
    worst = np.take_along_axis(result.nodes_effect, largest[..., None], 2)[..., 0]
    last = np.full(largest.shape, result.n_steps - 1)
    panels = [
        _by_condition("nodes right, at the end", result.nodes_effect[..., -1], last, result),
        _by_condition("nodes right, after the step that is hit hardest", worst, largest, result),
        _by_condition("graphs solved, at the end", result.solved_effect[..., -1], last, result),
    ]
    n_nodes = sum(len(graph) for graph in result.graphs)
    reading = (
        f"One component off ({result.method} ablation, all positions) at every step or at one; {len(result.graphs)} "
        f"graphs, {n_nodes} nodes, {result.n_steps} steps. Accuracy with minus without the ablation: 0 no change, "
        f"-1 all lost. Without: {result.nodes_without[-1]:.1%} of nodes, {result.solved_without[-1]:.1%} of graphs."
    )
    title = "Tied against per-step ablation"
    return draw(panels, title, reading, Scale("change of<br>accuracy"), False, width)


def ablation_by_step_figure(result: Ablation, component: Component, width: int = 1000) -> go.Figure:
    """Step at which one component is off x step after which nodes are read; colour: change of the share right.

    Raises:
        ValueError: a component that was not ablated.
    """
    if component not in result.components:
        raise ValueError(
            f"{component} was not ablated; those that were: {', '.join(map(str, result.components))}"
        )
    effect: NDArray[np.float64] = result.nodes_effect[result.components.index(component)]
    shares = result.nodes[result.components.index(component)]
    hover = [
        [
            f"<b>off at {_when(label)}</b><br>after step {step}: {shares[row, step]:.1%} of nodes right, "
            f"without {result.nodes_without[step]:.1%}"
            for step in range(result.n_steps)
        ]
        for row, label in enumerate(result.conditions)
    ]
    panel = Panel(
        title=str(component),
        rows=result.conditions,
        columns=tuple(str(step) for step in range(result.n_steps)),
        row_title="off at step",
        column_title="read after step",
        values=effect,
        hover=hover,
        sites=np.arange(effect.size, dtype=np.int64).reshape(effect.shape),
    )
    reading = (
        f"{component} off ({result.method} ablation) at every step (first row) or at one. Share of nodes right with "
        "minus without the ablation; a row that is at 0 again has healed."
    )
    return draw(
        [panel], f"Ablation of {component}, by step", reading, Scale("change of<br>accuracy"), False, width
    )


def _by_condition(
    title: str, values: NDArray[np.float64], read: NDArray[np.int64], result: Ablation
) -> Panel:
    hover = [
        [
            f"<b>{component} off at {_when(label)}</b><br>change {values[row, column]:+.4f} "
            f"after step {read[row, column]}" + _healing(result, row, column)
            for column, label in enumerate(result.conditions)
        ]
        for row, component in enumerate(result.components)
    ]
    return Panel(
        title=title,
        rows=tuple(_short(component) for component in result.components),
        columns=result.conditions,
        row_title="layer.head, or MLP",
        column_title="off at step",
        values=values,
        hover=hover,
        sites=np.arange(values.size).reshape(values.shape),
    )


def _short(component: Component) -> str:
    return f"MLP{component.layer}" if component.head is None else f"{component.layer}.{component.head}"


def _when(label: str) -> str:
    return "every step" if label == "every" else f"step {label}"


def _healing(result: Ablation, row: int, column: int) -> str:
    if column == 0:
        return ""
    lasting = int(result.damaged_for[row, column - 1])
    return "<br>" + (
        "not healed at the end" if lasting < 0 else f"some state differs for {lasting} steps from there on"
    )
