"""Where an MLP is needed: off at the right-hand sides only, or at every other token only, at every step.

What a block changes at right-hand sides (:mod:`interp.mechanism.block_change`) says nothing about the other tokens,
and later layers read those too. Here its output is replaced in one kind of place, and what is still solved is counted.

``zero`` writes zeros, ``mean`` the mean over the tokens of that kind in all graphs at the same step. The mean over all
tokens is no replacement: what the MLP adds at a right-hand side may be as far from it as from zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.ablation import enough_steps, right_by_step
from interp.engine.interventions import Recording, SetValue, record
from interp.engine.replay import run_interventions
from interp.engine.sites import Site
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

PLACES: Final = ("rhs", "elsewhere")
"""The right-hand sides of all nodes, leaves among them; every other token."""
METHODS: Final = ("zero", "mean")


@one_line
@dataclass(frozen=True, eq=False)
class MlpPlaces:
    """What is left without an MLP in one kind of place.

    Attributes:
        layer: whose MLP. method: what is written instead, one of :data:`METHODS`.
        nodes: float [place, graph], places as :data:`PLACES`; share of the graph's nodes that are right at the end.
        nodes_with: float [graph]; the same with the MLP everywhere.
    """

    layer: int
    method: str
    nodes: NDArray[np.float64]
    nodes_with: NDArray[np.float64]

    @property
    def n_solved(self) -> int:
        """Graphs that are solved with the MLP everywhere."""
        return int((self.nodes_with == 1).sum())

    def count(self, place: str) -> int:
        """Of these, how many are solved without it in a kind of place; raises ValueError for an unknown one."""
        return int((self.nodes[PLACES.index(place)][self.nodes_with == 1] == 1).sum())

    def still_solved(self, place: str) -> float:
        """The same as a share; nan where no graph is solved in the first place."""
        return self.count(place) / self.n_solved if self.n_solved else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row per kind of place: ``layer``, ``method``, ``off_at``, ``nodes_right`` (mean over graphs),
        ``nodes_right_with``, ``graphs_solved``, ``graphs_solved_with``, ``graphs``.
        """
        return pd.DataFrame(
            {
                "layer": self.layer,
                "method": self.method,
                "off_at": list(PLACES),
                "nodes_right": self.nodes.mean(1),
                "nodes_right_with": self.nodes_with.mean(),
                "graphs_solved": (self.nodes == 1).sum(1),
                "graphs_solved_with": self.n_solved,
                "graphs": len(self.nodes_with),
            }
        )


def mlp_places(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    layer: int = 0,
    method: str = "zero",
    n_steps: int | None = None,
) -> MlpPlaces:
    """Take the MLP of a layer out of one kind of place at every step.

    n_steps: length of all runs; default: :func:`interp.causal.ablation.enough_steps`.

    Raises:
        SiteError: a layer that the model does not have. ValueError: no graph, an unknown method.

    Examples:
        >>> from interp import mlp_places
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = mlp_places(model, [graph], layer=2)
        >>> found.to_frame()[["off_at", "graphs_solved", "graphs"]].values.tolist()
        [['rhs', 0, 1], ['elsewhere', 1, 1]]
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; allowed are {', '.join(METHODS)}")
    if not graphs:
        raise ValueError("there is no graph to solve; allowed: at least one")
    length = n_steps or enough_steps(model, graphs)
    recordings = [record(model, graph, length) for graph in graphs]
    places = [_places(recording) for recording in recordings]
    values = [
        _means(recordings, [each[k] for each in places], layer, length)
        if method == "mean"
        else torch.zeros(length, model.cfg.d_model)
        for k in range(len(PLACES))
    ]
    nodes = np.empty((len(PLACES), len(graphs)))
    with_it = np.empty(len(graphs))
    for row, recording in enumerate(recordings):
        truth = recording.encoded.values[0]
        given = [
            [
                SetValue(Site("mlp_out", step, layer, pos), value)
                for step, value in enumerate(of_place)
                for pos in positions
            ]
            for of_place, positions in zip(values, places[row], strict=True)
        ]
        with_it[row] = right_by_step(recording)[-1].mean()
        for place, replay in enumerate(run_interventions(model, recording, given, length, None)):
            nodes[place, row] = float((replay.values[-1] == truth).float().mean())
    return MlpPlaces(layer, method, nodes, with_it)


def _places(recording: Recording) -> tuple[list[int], list[int]]:
    """Positions, as :data:`PLACES`."""
    rhs = sorted(int(position) for position in recording.encoded.rhs[0])
    return rhs, sorted(set(range(int(recording.encoded.mask.sum()))) - set(rhs))


def _means(
    recordings: Sequence[Recording], positions: Sequence[Sequence[int]], layer: int, n_steps: int
) -> Tensor:
    """Float [step, d_model]: the mean output over positions of all graphs."""
    name = f"blocks.{layer}.hook_mlp_out"
    for recording in recordings:
        recording.keep((name, step) for step in range(n_steps))
    return torch.stack(
        [
            torch.cat(
                [one.activation(name, step)[at] for one, at in zip(recordings, positions, strict=True)]
            ).mean(0)
            for step in range(n_steps)
        ]
    )
