"""Sections on how a model does it: heads, subspaces, Fourier structure, patching, the story of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyses import claims
from analyses.inputs import InputError
from analyses.reporting.parts import (
    Contents,
    Drawing,
    Job,
    NotApplicableError,
    drawing,
    need_states,
    need_steps,
)

if TYPE_CHECKING:
    from interp.frequencies.fourier import Fourier
    from interp.frequencies.frequency_ablation import FrequencyAblation
    from interp.mechanism.heads import HeadRoles
    from interp.stories.circuit_story import Story
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


def heads(model: RecurrentTransformer, job: Job) -> Contents:
    """Head roles and groups; an untrained model's beside them."""
    from interp.mechanism.heads import head_roles

    need_states(model)
    graphs = job.graphs(model, job.amounts.small)
    found = head_roles(model, graphs, seed=job.seed)
    other = head_roles(job.untrained(model), graphs[: max(2, len(graphs) // 3)], seed=job.seed)
    frame, untrained = found.to_frame(), other.to_frame()
    rows = [claims.operand_heads(key, frame, untrained) for key in ("name_heads", "value_heads")]
    drawn = drawing("heads", found.figure(), "interp/figures/heads.py")
    named = sum(role.kind in ("lookup", "offset") for role in other.heads)
    sentences = [
        _groups(found),
        f"Of the {len(other.heads)} heads of an untrained model {named} get a kind other than idle, mixed or none.",
    ]
    return Contents(sentences, [drawn], rows, "\n".join(str(role) for role in found.heads))


def _groups(found: HeadRoles) -> str:
    groups = found.groups
    members = "; ".join(", ".join(f"{layer}.{head}" for layer, head in group) for group in groups.groups)
    return (
        f"Clustering finds {len(groups.groups)} groups of heads ({members}), stability {groups.stability:.2f} (mean "
        f"adjusted Rand index over {groups.n_resamples} resamplings of the equations; 0 is chance), silhouette "
        f"{groups.silhouette:.2f}."
    )


def subspaces(model: RecurrentTransformer, job: Job) -> Contents:
    """What the heads' weights do to the factors' subspaces, and how much each block changes the residual stream."""
    from interp.mechanism.composition import head_composition
    from interp.mechanism.subspaces import factor_subspaces

    draws = job.amounts.draws
    found = factor_subspaces(model, job.seed, draws)
    other = factor_subspaces(job.untrained(model), job.seed, draws)
    source = "interp/figures/subspaces.py"
    drawings = [
        drawing("ov_amplification", found.figure("OV"), source),
        drawing("qk_amplification", found.figure("QK"), source),
        drawing("subspace_overlap", found.overlap_figure(), source),
    ]
    if model.cfg.n_layers > 1:
        composition = head_composition(model, job.seed, draws)
        drawings.append(drawing("composition", composition.figure(), source))
    ranks = ", ".join(f"{name} {rank}" for name, rank in found.ranks.items())
    sentences = [
        f"Dimensions of the subspaces, of {found.d_model}: {ranks} (principal directions that hold {found.share:.0%} "
        "of the squared length)."
    ]
    return Contents(sentences, drawings, [claims.amplifies(found.ov.to_frame(), other.ov.to_frame())])


def changes(model: RecurrentTransformer, job: Job) -> Contents:
    """How much each block changes the residual stream."""
    from interp.mechanism.block_change import block_changes

    need_steps(model)
    graphs = job.graphs(model)
    found = block_changes(model, graphs)
    other = block_changes(job.untrained(model), graphs[:4], found.n_steps)
    mine, theirs = (one.of("computing").mean(0) for one in (found, other))
    drawn = drawing("block_change", found.figure(), "interp/figures/block_change.py")
    listed = "; ".join(
        f"layer {layer}: attention {mine[layer, 0]:.1%}, MLP {mine[layer, 1]:.1%}"
        for layer in range(len(mine))
    )
    claim = claims.first_mlp(float(mine[0, 1]), float(mine[-1, 1]), float(theirs[0, 1]))
    return Contents([f"Mean relative change at nodes being computed, {listed}."], [drawn], [claim])


def fourier(model: RecurrentTransformer, job: Job) -> Contents:
    """Spectra over operand pairs and triples, and the ablation of the neurons of each frequency."""
    from interp.figures.fourier import cells_figure, neurons_figure
    from interp.frequencies.fourier import fourier as spectra
    from interp.frequencies.frequency_ablation import ablate_in_layers, most_carried
    from interp.frequencies.operand_tuples import operand_grid

    need_states(model)
    operation, source = job.ops[0], "interp/figures/fourier.py"
    pairs = spectra(model, operation, 2, seed=job.seed)
    layer = pairs.layers_that_matter[-1]
    grid = operand_grid(model, operation, 2, seed=job.seed)
    ablations = ablate_in_layers(model, grid, pairs.layers_that_matter, job.seed)
    drawings = [
        drawing("fourier_pairs", pairs.figure(), source),
        drawing("fourier_cells", cells_figure(pairs.site(f"blocks.{layer}.hook_mlp_out")), source),
        drawing("fourier_neurons", neurons_figure(pairs.neurons(layer)), source),
    ]
    drawings += [
        drawing(f"frequency_ablation_{one.layer}", one.figure(), source) for one in ablations if one.groups
    ]
    told = pairs
    causal = "; ".join(one.verdict() for one in ablations)
    sentences = [f"Over pairs of operands: {pairs.verdict()}.", f"The causal test: {causal}."]
    if job.amounts.triples:
        told = spectra(model, operation, 3, seed=job.seed)
        triples: Any = told.figure()
        triples.update_layout(title={"text": f"{triples.layout.title.text}, operand triples"})
        drawings.append(drawing("fourier_triples", triples, source))
        sentences.insert(1, f"Over triples: {told.verdict()}.")
    return Contents(sentences, drawings, _fourier_claims(told, most_carried(ablations)))


def _fourier_claims(found: Fourier, ablation: FrequencyAblation) -> list[claims.Claim]:
    layer, control = found.layers_that_matter[-1], found.untrained
    before, after = f"blocks.{layer}.mlp.hook_pre", f"blocks.{layer}.hook_mlp_out"
    power = found.site(before).power.ravel()
    return [
        claims.dc_before(
            found.site(before).dc_share, float(power[1:].max() / power.sum()), control.site(before).dc_share
        ),
        claims.diagonal_after(
            found.site(after).diagonal_share,
            found.site(f"blocks.{layer}.hook_resid_post").diagonal_share,
            found.site(after).chance_relabelled,
            control.site(after).diagonal_share,
        ),
        claims.fourier_neurons(
            found.verdict(),
            ablation.layer,
            ablation.tuned_carry,
            ablation.all_tuned.accuracy,
            ablation.untuned.accuracy,
            ablation.full.accuracy,
        ),
    ]


def patching(model: RecurrentTransformer, job: Job) -> Contents:
    """One sweep over all steps, layers and positions, and cross-step matrices."""
    from analyses.cross_step import study_cross_step
    from analyses.patching import Where, patch
    from interp.causal.pairs import leaf_value
    from interp.causal.patching import PatchingError

    need_steps(model)
    graphs = job.sample(model, job.amounts.small, max(2, job.amounts.stories // 2))
    pairs = [(pair.clean, pair.corrupt) for pair in (leaf_value(graph, seed=job.seed) for graph in graphs)]
    try:
        sweep = patch(pairs[:1], Where(), model=job.model)
    except InputError as error:
        if not isinstance(error.__cause__, PatchingError):
            raise
        raise NotApplicableError(f"Nothing can be patched: {error}.") from error
    drawings = [drawing("patching", sweep.figure(), "interp/figures/patching.py")]
    sentences = [f"A leaf's value is changed. {sweep.verdict()}"]
    # Symbols where they are all that a step is given, the residual stream it begins with where it is given more.
    site: dict[str, Any] = (
        {"name": "state"} if model.cfg.bottleneck == "discrete" else {"name": "resid_pre", "layer": 0}
    )
    study = study_cross_step(pairs, model=job.model, **site)
    drawings.append(drawing("cross_step", study.figure(), "interp/figures/cross_step.py"))
    sentences.append(f"Whole states put in at other steps, {len(pairs)} pairs: {study.verdict()}")
    return Contents(sentences, drawings)


def story(model: RecurrentTransformer, job: Job) -> Contents:
    """The stories of some nodes, each with its causal tests; the first is told."""
    from interp.stories.circuit_story import story as tell

    need_states(model)
    graphs = job.sample(model, job.amounts.small, job.amounts.stories)
    stories = [tell(model, graph, _told_node(graph), seed=job.seed) for graph in graphs]
    first = stories[0]
    drawn: list[Drawing] = [drawing("story", first.figure(), "interp/figures/story.py")]
    sentences = [f"{number}. {one.verdict()}" for number, one in enumerate(stories, start=1)]
    by_mlp = [claim for one in stories for claim in one.claims if claim.by_mlp and claim.backed is not None]
    backed = sum(bool(claim.backed) for claim in by_mlp)
    sentences.append(
        f"Of claims that one MLP alone uses a value {backed} of {len(by_mlp)} are backed; the claims table "
        "counts those about heads."
    )
    return Contents(sentences, drawn, [_induction(stories)], first.text())


def _told_node(graph: ComputationGraph) -> int:
    """Of the nodes of the median depth of those that are no leaves, the last with the most operands.

    It waits first, and the run is short.
    """
    depths = graph.depths_by_node
    inner = sorted(depth for depth in depths if depth)
    wanted = inner[len(inner) // 2] if inner else 0
    candidates = [node for node, depth in enumerate(depths) if depth == wanted]
    return max(candidates, key=lambda node: (len(graph.nodes[node].operands), node))


def _induction(stories: list[Story]) -> claims.Claim:
    told = [
        claim
        for one in stories
        for claim in one.claims
        if not claim.by_mlp and claim.kind in ("name", "value") and claim.backed is not None
    ]
    both = 0
    for one in stories:
        layers = {
            kind: [
                part.layer
                for claim in one.claims
                if claim.backed and claim.kind == kind and not claim.by_mlp
                for part in claim.parts
            ]
            for kind in ("name", "value")
        }
        both += bool(layers["name"] and layers["value"] and max(layers["name"]) < max(layers["value"]))
    others = np.sum([one.controls()["others"] for one in stories], axis=0)
    backed = sum(bool(claim.backed) for claim in told)
    return claims.induction(backed, len(told), len(stories), both, (int(others[0]), int(others[1])))
