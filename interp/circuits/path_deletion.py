"""Whether the top path of an attribution graph carries the answer: it is deleted, and the target read at the end.

Deleted is what stands on the path inside steps: a head's z, or an MLP's output, at the right-hand side of the equation
that it works for, is replaced by its mean over the positions of the run in the same step. Random paths of the same size
stand beside it: every head or MLP moved to a head, or MLP, and an equation drawn at random, in the same step.

    anywhere    the equation is any
    apart       the equation is none that the algorithm computes the target from in that step

The first is no control of what is claimed. By the algorithm a wrong value at an operand of the target changes the
target, so that deleting what works for an operand has to change it, on the top path or off it; with few equations a
random path often lands there. The second asks what a control should: whether as much damage, done where by the
algorithm nothing depends on it, leaves the target alone. What the target is computed from is read from the graph alone,
not from what was measured (:func:`computed_from`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interp.circuits.attribution_graph import AttributionGraph, GraphNode
from interp.engine.interventions import Intervention, MeanAblate
from interp.engine.replay import run_interventions
from interp.engine.sites import Site, rhs
from models.graph import ComputationGraph
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class PathDeletion:
    """What became of the target's value.

    Attributes:
        components: on the top path.
        changed: whether its deletion changes the value. changed_at_random: share of random paths anywhere whose
            deletion does. changed_apart: the same of random paths apart from what the target is computed from; nan
            where it is computed from all equations.
        draws: how many of each.
    """

    components: tuple[GraphNode, ...]
    changed: bool
    changed_at_random: float
    draws: int
    changed_apart: float


def computed_from(graph: ComputationGraph, equation: int, state: int) -> list[set[int]]:
    """Of every step before ``state`` the equations whose right-hand sides the algorithm computes a value in it from.

    In the last step these are the equation itself, which is written, and its operands, which are read; in the step
    before, the operands, which are written there, and theirs; and so on.
    """
    found: list[set[int]] = []
    written = {equation}
    for _ in range(state):
        read = {operand for one in written for operand in graph.nodes[one].operands}
        found.append(written | read)
        written = read
    return found[::-1]


def delete_top_path(graph: AttributionGraph, draws: int = 20, seed: int = 0) -> PathDeletion:
    """Delete the top path, and ``draws`` random ones of its size of each kind.

    Raises:
        ValueError: fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}; allowed are 1 or more")
    rng = np.random.default_rng(seed)
    path = tuple(node for node in graph.top_path if node.kind != "code")
    every = range(len(graph.run.graph))
    state, equation = graph.target.step, graph.target.equation
    needed = computed_from(graph.run.graph, equation, state)
    apart = {node.step: [one for one in every if one not in needed[node.step]] for node in path}
    anywhere = [_moved(graph, path, dict.fromkeys(apart, every), rng) for _ in range(draws)]
    beside = [_moved(graph, path, apart, rng) for _ in range(draws)] if all(apart.values()) else []
    given = [_deleted(graph, nodes) for nodes in (path, *anywhere, *beside)]
    replays = run_interventions(graph.run.model, graph.run, given, state, None)
    changed = [bool(replay.changed[state, equation]) for replay in replays]
    return PathDeletion(
        path,
        changed[0],
        float(np.mean(changed[1 : draws + 1])),
        draws,
        float(np.mean(changed[draws + 1 :])) if beside else math.nan,
    )


def _moved(
    graph: AttributionGraph,
    path: Sequence[GraphNode],
    equations: Mapping[int, Sequence[int]],
    rng: np.random.Generator,
) -> list[GraphNode]:
    """A random path of the same size, over ``equations`` (step -> those allowed)."""
    cfg = graph.run.model.cfg
    return [
        GraphNode(
            node.step,
            int(rng.choice(equations[node.step])),
            layer=int(rng.integers(cfg.n_layers)),
            head=-1 if node.kind == "mlp" else int(rng.integers(cfg.n_heads)),
        )
        for node in path
    ]


def _deleted(graph: AttributionGraph, nodes: Sequence[GraphNode]) -> list[Intervention]:
    found: list[Intervention] = []
    for node in nodes:
        at, head = rhs(node.equation), None if node.head < 0 else node.head
        site = Site("mlp_out" if head is None else "z", node.step, node.layer, at, head=head)
        found.append(MeanAblate(site, graph.run))
    return found
