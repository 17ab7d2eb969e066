"""By which path an effect travels: inside a step from head to head, between steps through one node's code.

Inside a step, :func:`direct_paths` is TransformerLens's direct path patching (Wang et al. 2022) on ``model.at_step``:
a head's clean output enters one later head's q, k or v input, and nothing else sees it.

Between steps all information is in the codes of the discrete state, so a node's code can be held or set without
touching anything else, and mediation (Pearl 2001; Vig et al. 2020) is exact. For an intervention X, a node M and the
states in which M's code is fixed:

    total     X
    held      X, while M's code is what it is in the run without X: what reaches the targets past M
    alone     no X, but M's code is what it is in the run with X: what reaches them through M

The effect on a target is the number of states in which its value differs from the run without X. The parts need not
add up: two paths into one node can both be needed, or each be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from transformer_lens.patching import get_act_patch_direct_path

from interp.causal.within_step import StepPair
from interp.engine.interventions import Intervention, Recording, SetCode, record
from interp.engine.replay import run_interventions
from interp.engine.sites import SiteError, rhs
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

Component = Literal["q", "k", "v"]


@one_line
@dataclass(frozen=True, eq=False)
class DirectPaths:
    """Direct effect of one head on every later head of the same step.

    Attributes:
        pair: the step, its two inputs and the metric.
        layer, head: where the paths begin.
        component: which input of the later heads they end in.
        effects: float [layer, head]; change of the metric of the corrupt run when the path is patched to its clean
            value; nan where there is no path.
    """

    pair: StepPair
    layer: int
    head: int
    component: Component
    effects: NDArray[np.float64]

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Effects as a share of the metric's gap between the runs; nan where these are equal."""
        gap = self.pair.clean_metric - self.pair.corrupt_metric
        return self.effects / gap if gap else np.full_like(self.effects, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """One row per path: ``step``, ``layer``, ``head``, ``to_layer``, ``to_head``, ``component``, ``effect``."""
        found = [(int(row), int(column)) for row, column in np.argwhere(~np.isnan(self.effects))]
        return pd.DataFrame(
            [
                {
                    "step": self.pair.step,
                    "layer": self.layer,
                    "head": self.head,
                    "to_layer": row,
                    "to_head": column,
                    "component": self.component,
                    "effect": self.effects[row, column],
                    "normalised": self.normalised[row, column],
                }
                for row, column in found
            ]
        )


@torch.no_grad()
def direct_paths(pair: StepPair, layer: int, head: int, component: Component = "v") -> DirectPaths:
    """Patch the paths from one head directly into each later head, at all positions; one forward each.

    For paths into MLPs or logits, or from them, see :func:`interp.causal.edges.exact_edges`.

    Raises:
        SiteError: no such head, or none behind it. ValueError: another component than q, k, v.
    """
    cfg = pair.view.cfg
    if not (0 <= layer < cfg.n_layers - 1 and 0 <= head < cfg.n_heads):
        raise SiteError(
            f"head {layer}.{head}: there is none with heads behind it; "
            f"allowed are layers 0..{cfg.n_layers - 2}, heads 0..{cfg.n_heads - 1}"
        )
    if component not in ("q", "k", "v"):
        raise ValueError(f"component is {component!r}; allowed are q, k, v")
    name = f"blocks.{layer}.attn.hook_z"
    caches = [pair.view.run_with_cache(tokens, names_filter=name)[1] for tokens in (pair.clean, pair.corrupt)]
    patch: Callable[..., Any] = get_act_patch_direct_path
    raw = patch(
        pair.view, pair.corrupt, *caches, pair.scalar, src_layer=layer, src_head=head,
        component=component, verbose=False,
    )  # fmt: skip
    effects = raw.double().numpy() - pair.corrupt_metric
    effects[: layer + 1] = np.nan
    return DirectPaths(pair, layer, head, component, effects)


@dataclass(frozen=True)
class Mediator:
    """A node's code, in the state that enters ``step``, or with "all" in every state after the intervention."""

    node: int
    step: int | Literal["all"] = "all"
    factor: str = "value"


@one_line
@dataclass(frozen=True, eq=False)
class Mediation:
    """What of an intervention's effect goes through a node's code.

    Attributes:
        base: the run without intervention.
        mediator: whose code was fixed, and when.
        targets: the nodes looked at.
        total, held, alone: bool [state, target]; where a target shows another value than in the base run.
        unavoidable: bool [target], or None where it was not said which nodes the intervention is at; whether every
            path of the graph from those nodes to the target, if any, leads through the mediator.
    """

    base: Recording
    mediator: Mediator
    targets: tuple[int, ...]
    total: NDArray[np.bool_]
    held: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    unavoidable: NDArray[np.bool_] | None

    @property
    def share_through(self) -> float:
        """Share of the total effect that is gone while the mediator is held; nan without effect.

        1 where all goes through it, 0 where nothing does, negative where holding it makes more targets differ.
        """
        total = int(self.total.sum())
        return 1 - int(self.held.sum()) / total if total else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row per target: ``node``, ``name``, ``depth``, states that differ: ``total``, ``held``, ``alone``."""
        graph = self.base.graph
        frame = pd.DataFrame(
            {
                "node": self.targets,
                "name": [graph.nodes[node].name for node in self.targets],
                "depth": [graph.depths_by_node[node] for node in self.targets],
                "total": self.total.sum(0),
                "held": self.held.sum(0),
                "alone": self.alone.sum(0),
            }
        )
        if self.unavoidable is not None:
            frame["unavoidable"] = self.unavoidable
        return frame


def mediate(
    model: RecurrentTransformer,
    base: ComputationGraph | Recording,
    intervention: Intervention | Sequence[Intervention],
    mediators: Sequence[Mediator],
    targets: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    n_steps: int | None = None,
) -> list[Mediation]:
    """The effect of an intervention in total, past each mediator and through it alone; three runs a mediator.

    Args:
        base: one graph, or a recorded run of it.
        intervention: X, one or several that act together.
        mediators: each looked at by itself.
        targets: nodes; default: all but the mediator.
        sources: the nodes X is at, for :attr:`Mediation.unavoidable`.
        n_steps: length of all runs; default: the base run's own. X may take longer to work itself out.

    Raises:
        SiteError: a node, factor or step that is not there; a mediator in a state X has not reached yet.
        ValueError: a model without a bottleneck, whose states are no codes.
    """
    if model.cfg.bottleneck != "discrete":
        raise ValueError(
            "bottleneck is 'continuous': hidden states carry information past the codes; allowed: discrete"
        )
    recording = base if isinstance(base, Recording) and n_steps is None else None
    if recording is None:
        graph = base.graph if isinstance(base, Recording) else base
        recording = record(model, graph, n_steps)
    given = tuple(intervention) if isinstance(intervention, Sequence) else (intervention,)
    (with_x,) = run_interventions(model, recording, [given], logits_at=None)
    before, after = recording.trajectory.states[:, 0], with_x.states
    runs: list[Sequence[Intervention]] = []
    for mediator in mediators:
        states = _states(mediator, given, recording)
        runs.append((*given, *_fixed(mediator, states, before, recording)))
        runs.append(_fixed(mediator, states, after, recording))
    changed = [run.changed for run in run_interventions(model, recording, runs, logits_at=None)]
    result: list[Mediation] = []
    for mediator, held, alone in zip(mediators, changed[::2], changed[1::2], strict=True):
        nodes = tuple(n for n in range(len(recording.graph)) if n != mediator.node)
        nodes = nodes if targets is None else tuple(targets)
        total, past, through = (each[:, list(nodes)].numpy() for each in (with_x.changed, held, alone))
        unavoidable = None
        if sources is not None:
            around = reached_past(recording.graph, sources, mediator.node)
            unavoidable = np.array([node not in around for node in nodes])
        result.append(Mediation(recording, mediator, nodes, total, past, through, unavoidable))
    return result


def reached_past(graph: ComputationGraph, sources: Sequence[int], mediator: int) -> set[int]:
    """The nodes that depend on one of ``sources`` by a path that does not lead through the mediator."""
    reached = {node for node in sources if node != mediator}
    for index, node in enumerate(graph.nodes):
        if index != mediator and not reached.isdisjoint(node.operands):
            reached.add(index)
    return reached


def _states(mediator: Mediator, given: Sequence[Intervention], base: Recording) -> list[int]:
    """In which states the mediator's code is fixed."""
    if not 0 <= mediator.node < len(base.graph):
        raise SiteError(f"there is no node {mediator.node}; allowed are 0..{len(base.graph) - 1}")
    if mediator.factor not in FACTORS:
        raise SiteError(f"there is no factor {mediator.factor!r}; allowed are {', '.join(FACTORS)}")
    first = min(0 if each.site.step == "all" else each.site.step for each in given) + 1
    if mediator.step == "all":
        return list(range(first, base.n_steps))
    if not first <= mediator.step < base.n_steps:
        raise SiteError(
            f"{mediator}: allowed are the steps after the intervention, {first}..{base.n_steps - 1}, and 'all'"
        )
    return [mediator.step]


def _fixed(
    mediator: Mediator, states: Sequence[int], like: torch.Tensor, base: Recording
) -> list[Intervention]:
    """The mediator's code as it is in the states ``like``, int [state, pos, factor]."""
    position, factor = int(base.encoded.rhs[0, mediator.node]), FACTORS.index(mediator.factor)
    return [
        SetCode(step, rhs(mediator.node), mediator.factor, int(like[step, position, factor]))
        for step in states
    ]


__all__ = ["DirectPaths", "Mediation", "Mediator", "direct_paths", "mediate", "reached_past"]
