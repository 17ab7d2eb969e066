"""Which heads suffice: all others are replaced by their mean at every step, and what is still solved is counted.

An ablation of one head asks whether it is needed while all others work (:mod:`interp.causal.ablation`); here the
question is the reverse, whether a set of heads carries the computation alone. MLPs stay as they are, and so does
attention in every other way: a set that suffices is a circuit of heads and all MLPs.

Control: sets of as many heads, drawn at random among all. The default replacement is the mean over all positions of
all graphs at the same step, which keeps what the heads add anyway and takes away what depends on the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.ablation import (
    TIED,
    Component,
    ablate,
    check_method,
    enough_steps,
    replacements,
    right_by_step,
)
from interp.engine.interventions import record
from interp.engine.replay import Progress, run_interventions
from interp.engine.sites import resolve
from interp.engine.sparse.tally import Exactness
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Heads = tuple[Component, ...]


@one_line
@dataclass(frozen=True, eq=False)
class Sufficiency:
    """What sets of heads solve alone.

    Attributes:
        method: what replaces all other heads, one of :data:`interp.causal.ablation.METHODS`.
        sets: the heads that are kept: first the set asked about, then the random ones of its size.
        graphs: what was solved. n_steps: how many steps were run.
        nodes: float [set, graph]; share of the graph's nodes that are right at the end.
        nodes_without: float [graph]; the same with every head as it is.
    """

    method: str
    sets: tuple[Heads, ...]
    graphs: tuple[ComputationGraph, ...]
    n_steps: int
    nodes: NDArray[np.float64]
    nodes_without: NDArray[np.float64]

    @property
    def heads(self) -> Heads:
        """The set asked about."""
        return self.sets[0]

    @property
    def count(self) -> int:
        """Graphs that it solves, every node right."""
        return int((self.nodes[0] == 1).sum())

    @property
    def solved(self) -> float:
        """Share of graphs that it solves."""
        return self.count / len(self.graphs)

    @property
    def solved_without(self) -> float:
        """Share of graphs solved with every head as it is."""
        return float((self.nodes_without == 1).mean())

    @property
    def solved_at_random(self) -> float:
        """Share of graphs that a random set of as many heads solves, mean over sets; nan where there is no other."""
        return float((self.nodes[1:] == 1).mean()) if len(self.sets) > 1 else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row a set: ``kept`` (a text), ``n_heads``, ``random``, ``shared`` (heads it has in common with the first
        set), ``nodes_right`` (share of all nodes), ``graphs_solved`` (a number), ``graphs``.
        """
        sizes = np.array([len(graph) for graph in self.graphs])
        return pd.DataFrame(
            {
                "method": self.method,
                "kept": [named(heads) for heads in self.sets],
                "n_heads": [len(heads) for heads in self.sets],
                "random": [index > 0 for index in range(len(self.sets))],
                "shared": [len(set(heads) & set(self.heads)) for heads in self.sets],
                "nodes_right": (self.nodes * sizes).sum(1) / sizes.sum(),
                "graphs_solved": (self.nodes == 1).sum(1),
                "graphs": len(self.graphs),
            }
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.causal.sufficiency_figure.sufficiency_figure`."""
        from interp.causal.sufficiency_figure import sufficiency_figure

        return sufficiency_figure(self, width)


def named(heads: Sequence[Component]) -> str:
    """Heads as text: "0.2, 1.7"."""
    return ", ".join(f"{one.layer}.{one.head}" for one in heads) or "none"


def all_heads(model: RecurrentTransformer) -> Heads:
    """Every head, layer by layer."""
    return tuple(Component(*at) for at in np.ndindex(model.cfg.n_layers, model.cfg.n_heads))


def keep_only(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    heads: Sequence[Component],
    method: str = "mean",
    draws: int = 8,
    n_steps: int | None = None,
    seed: int = 0,
    tokens: int = 4096,
    progress: Progress | None = None,
    exact: Exactness = "states",
) -> Sufficiency:
    """Keep a set of heads, and for control random sets of its size; replace all others at every step.

    Args:
        method: what is written instead, one of :data:`interp.causal.ablation.METHODS`.
        draws: random sets; none are drawn where there is only one set of that size.
        n_steps: length of all runs; default: :func:`interp.causal.ablation.enough_steps`.
        seed: of the random sets, and of resampled positions.
        tokens, exact: as for :func:`interp.run_interventions`. progress: called with (graphs done, graphs).

    Raises:
        SiteError: a head that the model does not have. ValueError: no graph, an MLP, an unknown method.
    """
    check_method(method)
    if not graphs:
        raise ValueError("there is no graph to solve; allowed: at least one")
    mlps = [str(one) for one in heads if one.head is None]
    if mlps:
        raise ValueError(
            f"{', '.join(mlps)} cannot be among the heads to keep; allowed are heads: MLPs are all kept"
        )
    for one in heads:
        resolve(one.site(None), model, model.to_encoded(graphs[0]))
    every = all_heads(model)
    kept = tuple(sorted(set(heads)))
    sets = (kept, *_random_sets(every, kept, draws, seed))
    length = n_steps or enough_steps(model, graphs)
    recordings = [record(model, graph, length) for graph in graphs]
    made = replacements(method, recordings, seed)
    nodes = np.empty((len(sets), len(graphs)))
    without = np.empty(len(graphs))
    for row, recording in enumerate(recordings):
        truth = recording.encoded.values[0]
        without[row] = right_by_step(recording)[-1].mean()
        given = [
            [one for head in every if head not in own for one in made(head.site(None), row)] for own in sets
        ]
        replays = run_interventions(model, recording, given, length, None, tokens, exact=exact)
        for cell, replay in enumerate(replays):
            nodes[cell, row] = float((replay.values[-1] == truth).float().mean())
        if progress is not None:
            progress(row + 1, len(graphs))
    return Sufficiency(method, sets, tuple(graphs), length, nodes, without)


def needed_heads(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], method: str = "mean", seed: int = 0
) -> Heads:
    """The heads each of which, off alone at every step, costs right nodes at the end. Raises as :func:`ablate`.

    Examples:
        >>> from interp import needed_heads
        >>> from models import ComputationGraph, load
        >>> heads = needed_heads(load("compiled"), [ComputationGraph.parse("20 = a; 2 = b; a + b = c")])
        >>> print(*heads)
        head 0.0 head 0.1 head 0.2 head 2.0
    """
    length = enough_steps(model, graphs)
    found = ablate(model, graphs, all_heads(model), method, at_steps=[], n_steps=length, seed=seed)
    loses = found.nodes_effect[:, TIED, -1] < 0
    return tuple(one for one, lost in zip(found.components, loses, strict=True) if lost)


def _random_sets(every: Heads, kept: Heads, draws: int, seed: int) -> list[Heads]:
    """Sets of as many heads, none of them the set itself."""
    if len(kept) in (0, len(every)):
        return []
    rng = np.random.default_rng(seed)
    found: list[Heads] = []
    while len(found) < draws:
        order: list[int] = rng.permutation(len(every)).tolist()
        drawn = tuple(every[index] for index in sorted(order[: len(kept)]))
        if drawn != kept:
            found.append(drawn)
    return found
