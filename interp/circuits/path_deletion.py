"""Whether the top path of an attribution graph carries the answer: it is deleted, and the target read at the end.

Deleted is what stands on the path inside steps: a head's z, or an MLP's output, at the right-hand side of the equation
that it works for, is replaced by its mean over the positions of the run in the same step. Control: paths of the same
size, every head or MLP moved to a head, or MLP, and an equation drawn at random, in the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interp.circuits.attribution_graph import AttributionGraph, GraphNode
from interp.engine.interventions import Intervention, MeanAblate
from interp.engine.replay import run_interventions
from interp.engine.sites import Site, rhs
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class PathDeletion:
    """What became of the target's value.

    Attributes:
        components: on the top path.
        changed: whether its deletion changes the value. changed_at_random: share of random paths whose deletion does.
        draws: how many of these.
    """

    components: tuple[GraphNode, ...]
    changed: bool
    changed_at_random: float
    draws: int


def delete_top_path(graph: AttributionGraph, draws: int = 20, seed: int = 0) -> PathDeletion:
    """Delete the top path, and ``draws`` random ones of its size. Raises ValueError for fewer than one draw."""
    if draws < 1:
        raise ValueError(f"draws is {draws}; allowed are 1 or more")
    rng = np.random.default_rng(seed)
    path = tuple(node for node in graph.top_path if node.kind != "code")
    cfg, n_equations = graph.run.model.cfg, len(graph.run.graph)
    others = [
        [
            GraphNode(
                node.step,
                int(rng.integers(n_equations)),
                layer=int(rng.integers(cfg.n_layers)),
                head=-1 if node.kind == "mlp" else int(rng.integers(cfg.n_heads)),
            )
            for node in path
        ]
        for _ in range(draws)
    ]
    given = [_deleted(graph, nodes) for nodes in (path, *others)]
    state, equation = graph.target.step, graph.target.equation
    replays = run_interventions(graph.run.model, graph.run, given, state, None)
    changed = [bool(replay.changed[state, equation]) for replay in replays]
    return PathDeletion(path, changed[0], float(np.mean(changed[1:])), draws)


def _deleted(graph: AttributionGraph, nodes: Sequence[GraphNode]) -> list[Intervention]:
    found: list[Intervention] = []
    for node in nodes:
        at, head = rhs(node.equation), None if node.head < 0 else node.head
        site = Site("mlp_out" if head is None else "z", node.step, node.layer, at, head=head)
        found.append(MeanAblate(site, graph.run))
    return found
