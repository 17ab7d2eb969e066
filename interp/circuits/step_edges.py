"""The edges of one step that make one node's value, each measured: from what is read over heads and MLPs to the logits.

For each thing that the algorithm reads for the node (:mod:`interp.circuits.changes`), the step is run on the state as
it is, and on one in which that thing alone is another, so that another symbol is written. An edge's effect is the share
of the logits' difference between the two that is lost when the edge alone carries what it does in the second
(:mod:`interp.circuits.inside_step`), the mean over variations: 1 is the whole difference, and what works against it is
negative. Effects of edges need not add up; completeness says how far they do.

Where an operand shows no value yet, nothing that is read decides what is written, and there is nothing to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.ablation import Component
from interp.circuits.changes import Situation, Thing, change
from interp.circuits.inside_step import InsideStep, inside_step
from interp.circuits.step_graph import StepGraph
from interp.engine.interventions import Recording, record
from interp.engine.sites import position_of, rhs
from interp.mechanism.perturbed import ControlledError
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

    from interp.causal.edges import Edge


@dataclass(frozen=True)
class Flow:
    """What goes from one component to another, of one thing.

    start, end: components; None at the start: the thing itself, as it is read; at the end: the logits.
    effect: of all edges between the two. by: of each input of a head that reads it (``q``, ``k``, ``v``).
    """

    thing: Thing
    start: Component | None
    end: Component | None
    effect: float
    by: Mapping[str, float]


@one_line
@dataclass(frozen=True, eq=False)
class StepEdges:
    """What was measured at one step.

    Attributes:
        recording: the run. node: index of the node. step: the step.
        graph: which edges there are.
        effects: thing -> float [edge], for every thing whose change changes what the model writes.
        completeness: thing -> how far its edges add up (:mod:`interp.circuits.inside_step`).
        status: ``waiting``, ``computing`` or ``done``, by the algorithm's schedule.
        missing: operands, by name, that show no value.
    """

    recording: Recording
    node: int
    step: int
    graph: StepGraph
    effects: dict[Thing, NDArray[np.float64]]
    completeness: dict[Thing, float]
    status: str
    missing: tuple[str, ...]

    @property
    def written(self) -> str:
        """The symbol that the step writes."""
        code = int(self.recording.trajectory.values[self.step + 1, 0, self.node])
        return self.recording.model.vocabulary.symbols("value")[code]

    def flows(self, least: float = 0.05) -> list[Flow]:
        """What goes between two components, thing by thing in the order of a step; effects of at least so much."""
        found: list[Flow] = []
        for thing, effects in self.effects.items():
            between: dict[tuple[Component | None, Component | None], dict[str, float]] = {}
            for edge, effect in zip(self.graph.edges, effects.tolist(), strict=True):
                by = between.setdefault(_ends(edge), {})
                by[edge.reader] = by.get(edge.reader, 0.0) + effect
            for (start, end), by in between.items():
                total = sum(by.values())
                if abs(total) >= least:
                    inputs = {name: one for name, one in by.items() if name in ("q", "k", "v")}
                    found.append(Flow(thing, start, end, total, inputs))
        return found

    def to_frame(self) -> pd.DataFrame:
        """A row per thing and edge: ``kind``, ``operand``, ``edge``, ``effect``."""
        return pd.DataFrame(
            [
                {"kind": thing.kind, "operand": thing.operand, "edge": str(edge), "effect": effect}
                for thing, effects in self.effects.items()
                for edge, effect in zip(self.graph.edges, effects.tolist(), strict=True)
            ]
        )

    def verdict(self) -> str:
        """What was found, in a sentence."""
        name = self.recording.graph.nodes[self.node].name
        if self.missing:
            return (
                f"Step {self.step}: {', '.join(self.missing)} had no value yet, so nothing that is read decides what "
                f"is written for {name}."
            )
        if not self.effects:
            return f"Step {self.step}: no change of anything that is read changes what is written for {name}."
        flows = [flow for flow in self.flows() if flow.start is None or flow.start.head is not None]
        parts = {part for flow in flows for part in (flow.start, flow.end) if part and part.head is not None}
        low = min(self.completeness.values())
        return (
            f"Step {self.step}: {_count(len(self.effects), 'thing')} that {name} is computed from, over "
            f"{_count(len(parts), 'head')} with an effect of 0.05 or more; completeness {low:.2f} or more."
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.circuits.step_edges_figure.step_edges_figure`."""
        from interp.circuits.step_edges_figure import step_edges_figure

        return step_edges_figure(self, width)


def step_edges(
    model: RecurrentTransformer,
    graph: ComputationGraph,
    node: int | str,
    step: int | None = None,
    n: int = 2,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StepEdges:
    """Measure every edge of a step, for each thing that is read for a node.

    Args:
        node: index in text order, or name.
        step: default the one that computes the node.
        n: variations of each thing, at most, drawn with ``seed``.
        progress: called with (things done, things).

    Raises:
        ControlledError: a model whose steps are not entered by discrete states.
        SiteError: no such node. ValueError: n below 1, a negative step.

    Examples:
        >>> from interp import step_edges
        >>> from models import ComputationGraph, load
        >>> found = step_edges(load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c"), "c", n=1)
        >>> found.step, found.written, [thing.kind for thing in found.effects]
        (1, '22', ['value', 'value', 'operation'])
    """
    if model.cfg.bottleneck != "discrete" or model.cfg.writes_text:
        raise ControlledError(
            f"bottleneck is {model.cfg.bottleneck!r} and method {model.cfg.method!r}; allowed are models whose steps "
            "are entered by discrete states and by nothing else"
        )
    if n < 1 or (step is not None and step < 0):
        raise ValueError(f"n is {n} and step {step}; allowed are 1 or more, and 0 or more")
    encoded = model.to_encoded(graph)
    index = cast("list[int]", cast(Any, encoded.rhs[0]).tolist()).index(
        cast(int, position_of(rhs(node), encoded))
    )
    if model.cfg.attention_dir == "causal":
        graph = replace(graph, nodes=graph.nodes[: index + 1])
    step = graph.depths_by_node[index] if step is None else step
    recording = record(model, graph, step + 1)
    situation = Situation(model, recording, index, step)
    things = () if situation.missing else situation.things
    effects: dict[Thing, NDArray[np.float64]] = {}
    completeness: dict[Thing, float] = {}
    for done, thing in enumerate(things):
        found: list[InsideStep] = []
        for state in change(situation, thing, n, seed).states.states:
            inside = inside_step(recording, step, index, state)
            if inside is not None:
                found.append(inside)
        if found:
            effects[thing] = np.mean([one.scores for one in found], 0)
            completeness[thing] = float(np.mean([one.completeness for one in found]))
        if progress is not None:
            progress(done + 1, len(things))
    missing = tuple(graph.nodes[situation.equation.operands[k]].name for k in situation.missing)
    return StepEdges(
        recording, index, step, StepGraph.of(model.cfg), effects, completeness, situation.status, missing
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _ends(edge: Edge) -> tuple[Component | None, Component | None]:
    start = None if edge.writer_layer is None else Component(edge.writer_layer, edge.writer_head)
    return start, None if edge.reader_layer is None else Component(edge.reader_layer, edge.reader_head)
