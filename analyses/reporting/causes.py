"""What sections of the report take out or keep, to see what a part is needed for: heads, the first MLP, one node's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from analyses import claims
from analyses.reporting.parts import Drawing, Job, drawing

if TYPE_CHECKING:
    from interp.causal.mlp_places import MlpPlaces
    from interp.circuits.circuit_story import Story
    from models.recurrent import RecurrentTransformer

MOST: Final = 10
"""Graphs that are solved with parts taken out, at most."""


def sufficient_heads(
    model: RecurrentTransformer, job: Job, own: Sequence[tuple[int, int]]
) -> tuple[str, list[Drawing], claims.Claim]:
    """The operands' own heads kept alone, and all heads that are needed, on graphs that did not choose them."""
    from interp.causal.ablation import Component
    from interp.causal.sufficiency import keep_only, needed_heads

    graphs = job.graphs(model)
    few = max(1, len(graphs) // 4)
    choosing, solving = graphs[:few], graphs[few:][:MOST]
    needed = needed_heads(model, choosing, seed=job.seed)
    draws = max(2, job.amounts.draws // 10)
    kept = [
        keep_only(model, solving, heads, draws=draws, seed=job.seed)
        for heads in ([Component(*head) for head in own], needed)
    ]
    claim = claims.heads_suffice(*kept)
    sentence = f"Which heads suffice: {claim.measured}. Control, {claim.control}."
    drawn = drawing("sufficiency", kept[1].figure(), "interp/causal/sufficiency_figure.py")
    return sentence, [drawn], claim


def first_mlp_off(model: RecurrentTransformer, job: Job) -> tuple[MlpPlaces, str]:
    """The first MLP taken out at right-hand sides, and everywhere else: zeros, and in words also a mean."""
    from interp.causal.mlp_places import mlp_places

    graphs = job.graphs(model)[:MOST]
    zero, mean = (mlp_places(model, graphs, 0, method) for method in ("zero", "mean"))
    said = "; ".join(
        f"{what} at right-hand sides {off.count('rhs')}, everywhere else {off.count('elsewhere')}"
        for what, off in (("zeroed", zero), ("at the mean of that place", mean))
    )
    nodes = len(graphs[0])
    return (
        zero,
        f"Of {zero.n_solved} graphs of {nodes} nodes that are solved, without the first MLP still are: {said}.",
    )


def node_circuits(stories: Sequence[Story]) -> tuple[list[claims.NodeCircuit], tuple[int, int]]:
    """A row for every story whose node has operands; replacements of other heads that changed the answer, and all."""
    rows = [_node_circuit(one) for one in stories if one.graph.nodes[one.node].operands]
    changed, tried = np.sum([one.controls()["others"] for one in stories], axis=0, dtype=int)
    return rows, (int(changed), int(tried))


def _node_circuit(one: Story) -> claims.NodeCircuit:
    told = [
        claim
        for claim in one.claims
        if not claim.by_mlp and claim.kind in ("name", "value") and claim.backed is not None
    ]
    n_operands = len(one.graph.nodes[one.node].operands)
    layers = {
        kind: [{head.layer for head in one.fetching(kind, k)} for k in range(n_operands)]
        for kind in ("name", "value")
    }
    return claims.NodeCircuit(
        node=one.name,
        depth=one.graph.depths_by_node[one.node],
        operands=n_operands,
        names=sum(map(bool, layers["name"])),
        values=sum(
            bool(names and values) and min(names) < max(values)
            for names, values in zip(layers["name"], layers["value"], strict=True)
        ),
        backed=sum(bool(claim.backed) for claim in told),
        tested=len(told),
    )
