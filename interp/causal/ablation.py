"""Tied against per-step ablation: a head or an MLP taken out at every step, or at one step only.

A looped model uses the same head at every step, so taking it out by name takes it out everywhere (*tied*). Taken out
at one step, what it did is lost once: where later steps compute it again, the run heals. The difference between the two
says whether a head is needed at a step or all the time.

Sign: effects are the accuracy with the ablation minus without, so harm is negative. Controls: components that do
nothing, and ``mean`` and ``resample`` beside ``zero``, since zeros may lie far from anything the model has seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.loop_ablation import loop_ablate
from interp.engine.interventions import (
    Intervention,
    MeanAblate,
    Recording,
    ResampleAblate,
    ZeroAblate,
    record,
)
from interp.engine.replay import Progress, run_interventions
from interp.engine.sites import Site, resolve
from interp.engine.sparse.tally import Exactness, Tally
from interp.loop.either import also_for_loops
from interp.npz import read_npz, write_npz
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

METHODS: Final = ("zero", "mean", "resample")
"""What is written instead: zeros; the mean over all positions of all graphs at the same step; what stands at positions
drawn at random in the next graph of the list (the same graph, if it is the only one), at the same step."""

TIED: Final = 0
"""Index on the axis of conditions of the ablation at every step; 1 + k is that at ``at_steps[k]`` alone."""


_ARRAYS: Final = ("nodes", "solved", "nodes_without", "solved_without", "lost", "damaged_for")


@dataclass(frozen=True, order=True)
class Component:
    """A head, or with ``head=None`` the MLP, of a layer; all positions are ablated.

    Examples:
        >>> from interp import Component
        >>> print(Component(1, 6), Component(0))
        head 1.6 MLP 0
    """

    layer: int
    head: int | None = None

    def site(self, step: int | None) -> Site:
        """What is overwritten: the head's ``z``, or ``mlp_out``; at one step, or None for all."""
        name = "mlp_out" if self.head is None else "z"
        return Site(name, "all" if step is None else step, self.layer, head=self.head)

    def __str__(self) -> str:
        return f"MLP {self.layer}" if self.head is None else f"head {self.layer}.{self.head}"


def components(model: RecurrentTransformer) -> list[Component]:
    """Every head and every MLP, layer by layer."""
    cfg = model.cfg
    return [Component(layer, head) for layer in range(cfg.n_layers) for head in [*range(cfg.n_heads), None]]


@one_line
@dataclass(frozen=True, eq=False)
class Ablation:
    """What each component's ablation does, tied and step by step.

    Axes: component; condition (:data:`TIED`, then one for each of ``at_steps``); step after which a value is read.

    Attributes:
        method: one of :data:`METHODS`.
        at_steps: steps at which a component was off alone.
        graphs: what was solved.
        nodes: float [component, condition, step]; share of all graphs' nodes that are right.
        solved: float [component, condition, step]; share of graphs with every node right.
        nodes_without: float [step]; the share of right nodes without ablation. solved_without: of graphs.
        lost: bool [component, condition, node]; right at the end without, and not with the ablation; nodes of all
            graphs one after the other.
        damaged_for: int [component, len(at_steps)]; steps from the one ablated on after which some state still
            differed: 0 where nothing did, -1 where it still differs at the end.
    """

    method: str
    components: tuple[Component, ...]
    at_steps: tuple[int, ...]
    graphs: tuple[ComputationGraph, ...]
    nodes: NDArray[np.float64]
    solved: NDArray[np.float64]
    nodes_without: NDArray[np.float64]
    solved_without: NDArray[np.float64]
    lost: NDArray[np.bool_]
    damaged_for: NDArray[np.int64]

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        about = {
            "method": self.method,
            "components": [(part.layer, part.head) for part in self.components],
            "at_steps": self.at_steps,
            "graphs": [graph.to_json() for graph in self.graphs],
        }
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        return write_npz(path, {"about": np.array(json.dumps(about)), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> Ablation:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays = read_npz(path)
        about = json.loads(str(arrays.pop("about")))
        return cls(
            method=about["method"],
            components=tuple(Component(*part) for part in about["components"]),
            at_steps=tuple(about["at_steps"]),
            graphs=tuple(ComputationGraph.from_json(text) for text in about["graphs"]),
            **arrays,
        )

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return self.nodes.shape[2]

    @property
    def conditions(self) -> tuple[str, ...]:
        """What the conditions are called: ``every``, or the step."""
        return ("every", *(str(step) for step in self.at_steps))

    @property
    def nodes_effect(self) -> NDArray[np.float64]:
        """Float [component, condition, step]; change of the share of right nodes."""
        return self.nodes - self.nodes_without

    @property
    def solved_effect(self) -> NDArray[np.float64]:
        """Float [component, condition, step]; change of the share of solved graphs."""
        return self.solved - self.solved_without

    def lost_nodes(self, component: Component, condition: int = TIED) -> list[list[int]]:
        """For every graph the nodes that an ablation leaves wrong at the end.

        Raises:
            ValueError: a component that was not ablated.
        """
        if component not in self.components:
            raise ValueError(
                f"{component} was not ablated; those that were: {', '.join(map(str, self.components))}"
            )
        line = self.lost[self.components.index(component), condition]
        ends = np.cumsum([len(graph) for graph in self.graphs])[:-1]
        return [np.flatnonzero(part).tolist() for part in np.split(line, ends)]

    def to_frame(self) -> pd.DataFrame:
        """One row a component, condition and step: ``component``, ``layer``, ``head`` (none for an MLP), ``ablated_at``
        ("every" or a step), ``step``, ``nodes_right``, ``nodes_effect``, ``graphs_solved``, ``graphs_effect``,
        ``damaged_for`` (none for "every").
        """
        which, condition, step = (axis.ravel() for axis in np.indices(self.nodes.shape))
        heads = [component.head for component in self.components]
        lasting = [[None, *line] for line in self.damaged_for.tolist()]
        return pd.DataFrame(
            {
                "method": self.method,
                "component": [str(self.components[index]) for index in which],
                "layer": [self.components[index].layer for index in which],
                "head": pd.array([heads[index] for index in which], dtype="Int64"),
                "ablated_at": [self.conditions[index] for index in condition],
                "step": step,
                "nodes_right": self.nodes.ravel(),
                "nodes_effect": self.nodes_effect.ravel(),
                "graphs_solved": self.solved.ravel(),
                "graphs_effect": self.solved_effect.ravel(),
                "damaged_for": pd.array(
                    [lasting[row][column] for row, column in zip(which, condition, strict=True)],
                    dtype="Int64",
                ),
            }
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.causal.ablation_figure.ablation_figure`."""
        from interp.causal.ablation_figure import ablation_figure

        return ablation_figure(self, width)


@also_for_loops(loop_ablate)
def ablate(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    which: Sequence[Component] | None = None,
    method: str = "zero",
    at_steps: Sequence[int] | None = None,
    n_steps: int | None = None,
    seed: int = 0,
    tokens: int = 4096,
    progress: Progress | None = None,
    exact: Exactness = "states",
    tally: Tally | None = None,
) -> Ablation:
    """Ablate components, each alone: at every step, and at one step at a time.

    Of another looped model arguments and result are those of :func:`interp.loop_ablate`.

    Args:
        which: default: every head and every MLP.
        method: one of :data:`METHODS`.
        at_steps: default: as many as the longest of the unablated runs has.
        n_steps: length of all runs; default: twice the longest unablated run, so that what is lost at any of these
            steps can be computed again.
        seed: of the resampled positions.
        tokens, exact, tally: as for :func:`interp.run_interventions`. progress: called with (graphs done, graphs).

    Raises:
        SiteError: a component that the model does not have, or a step beyond the run.
        ValueError: no graph, an unknown method.

    Examples:
        >>> from interp import Component, ablate
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = ablate(model, [graph], which=[Component(2, 0), Component(2, 5)])
        >>> found.components, found.nodes.shape
        ((Component(layer=2, head=0), Component(layer=2, head=5)), (2, 4, 6))
    """
    check_method(method)
    if not graphs:
        raise ValueError("there is no graph to solve; allowed: at least one")
    wanted = tuple(components(model) if which is None else which)
    for component in wanted:
        resolve(component.site(None), model, model.to_encoded(graphs[0]))
    longest = model.run(graphs, n_steps=n_steps).n_steps
    length = n_steps or 2 * longest
    steps = tuple(range(longest) if at_steps is None else at_steps)
    conditions: list[int | None] = [None, *steps]
    recordings = [record(model, graph, length) for graph in graphs]
    made = replacements(method, recordings, seed)
    n_nodes = [len(graph) for graph in graphs]
    shape = (len(wanted), len(conditions), length)
    right, solved = np.zeros(shape), np.zeros(shape)
    right_without, solved_without = np.zeros(length), np.zeros(length)
    lost = np.zeros((*shape[:2], sum(n_nodes)), dtype=bool)
    last_differing = np.full(shape[:2], -1)
    for row, recording in enumerate(recordings):
        base = right_by_step(recording)
        right_without += base.sum(1)
        solved_without += base.all(1)
        given = [made(component.site(step), row) for component in wanted for step in conditions]
        replays = run_interventions(model, recording, given, length, None, tokens, exact=exact, tally=tally)
        truth = recording.encoded.values[0].numpy()
        start = sum(n_nodes[:row])
        for cell, replay in zip(np.ndindex(shape[:2]), replays, strict=True):
            now = replay.values[1:].numpy() == truth
            right[cell] += now.sum(1)
            solved[cell] += now.all(1)
            lost[cell][start : start + len(truth)] = base[-1] & ~now[-1]
            last_differing[cell] = max(last_differing[cell], max(replay.differing, default=-1))
        if progress is not None:
            progress(row + 1, len(graphs))
    for_steps = np.maximum(last_differing[:, 1:] - np.array(steps, dtype=int), 0)
    return Ablation(
        method=method,
        components=wanted,
        at_steps=steps,
        graphs=tuple(graphs),
        nodes=right / sum(n_nodes),
        solved=solved / len(graphs),
        nodes_without=right_without / sum(n_nodes),
        solved_without=solved_without / len(graphs),
        lost=lost,
        damaged_for=np.where(last_differing[:, 1:] == length, -1, for_steps),
    )


def check_method(method: str) -> None:
    """Raises ValueError unless ``method`` is one of :data:`METHODS`."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; allowed are {', '.join(METHODS)}")


def enough_steps(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> int:
    """Twice as many steps as the deepest graph has levels, so that a detour has time; as many as the method fixes."""
    levels = max(max(graph.depths_by_node) for graph in graphs) + 1
    return model.cfg.default_steps or 2 * levels


def right_by_step(recording: Recording) -> NDArray[np.bool_]:
    """Bool [step, node]: what shows its true value after every step."""
    return recording.trajectory.right[1:, 0].numpy()


def replacements(
    method: str, recordings: Sequence[Recording], seed: int
) -> Callable[[Site, int], list[Intervention]]:
    """(site, index of the graph) -> what a method of :data:`METHODS` does there."""

    def made(site: Site, row: int) -> Iterator[Intervention]:
        if method == "zero":
            yield ZeroAblate(site)
        elif method == "mean":
            yield MeanAblate(site, recordings)
        else:
            yield ResampleAblate(site, recordings[(row + 1) % len(recordings)], seed)

    return lambda site, row: list(made(site, row))
