"""Sections on how a model does it: heads, subspaces, Fourier structure, patching, the story of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses import claims, fourier_claims
from analyses.inputs import InputError
from analyses.reporting import causes
from analyses.reporting.parts import (
    Contents,
    Drawing,
    Job,
    NotApplicableError,
    drawing,
    need_levels,
    need_states,
    need_steps,
)
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    import pandas as pd

    from interp.fourier_analysis.fourier import Fourier
    from interp.fourier_analysis.frequency_ablation import FrequencyAblation
    from interp.fourier_analysis.operand_tuples import OperandGrid
    from interp.fourier_analysis.tuning_curve import TuningCurve
    from interp.mechanism.heads import HeadRoles
    from interp.mechanism.subspaces import Subspaces
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


def heads(model: RecurrentTransformer, job: Job) -> Contents:
    """Head roles and groups; an untrained model's beside them."""
    from interp.mechanism.heads import head_roles

    need_levels(model)
    graphs = job.graphs(model, job.amounts.small)
    found = head_roles(model, graphs, seed=job.seed)
    other = head_roles(job.untrained(model), graphs[: max(2, len(graphs) // 3)], seed=job.seed)
    frame, untrained = found.to_frame(), other.to_frame()
    rows = [claims.operand_heads(key, frame, untrained) for key in ("name_heads", "value_heads")]
    drawn = drawing("heads", found.figure(), "interp/mechanism/heads_figure.py")
    named = sum(role.kind in ("lookup", "offset") for role in other.heads)
    sentences = [
        _groups(found),
        f"Of the {len(other.heads)} heads of an untrained model {named} get a kind other than idle, mixed or none.",
        *_given(model),
    ]
    if model.cfg.bottleneck != "discrete":
        sentences.append(
            "Its steps are entered by hidden states: what varies is what they are read as, and they are moved as "
            "little as that needs."
        )
    own = [
        head for row in ("name", "value") for part in claims.own_heads(frame, row).values() for head in part
    ]
    sentence, more, row = causes.sufficient_heads(model, job, own)
    text = "\n".join(str(role) for role in found.heads)
    return Contents([*sentences, sentence], [drawn, *more], [*rows, row], text)


def _given(model: RecurrentTransformer) -> list[str]:
    """That distances were planted, where they were."""
    if not model.cfg.born_distances:
        return []
    return [
        f"Which first-layer head looks how far back is given, not found: head j was born with a bias of "
        f"{model.cfg.born_distances:g} at distance j, in training and in the untrained model alike. What is found is "
        "which of them copy names, and what became of the distances (section on training)."
    ]


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
    source = "interp/mechanism/subspaces_figure.py"
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
    return Contents(sentences, drawings, [_amplifies(model, found, job)])


def _amplifies(model: RecurrentTransformer, found: Subspaces, job: Job) -> claims.Claim:
    """By the paper's formula, other settings beside it; `found` has those of the figures."""
    from interp.mechanism.subspaces import factor_subspaces

    draws, other = job.amounts.draws, job.untrained(model)
    formula = factor_subspaces(model, job.seed, draws, share=1.0, fold_norm=False)
    settings = {
        "LayerNorm folded in": factor_subspaces(model, job.seed, draws, share=1.0),
        f"{found.share:.0%} of the length": factor_subspaces(model, job.seed, draws, fold_norm=False),
        "both": found,
    }

    def frames(own: Subspaces) -> tuple[pd.DataFrame, pd.DataFrame]:
        control = factor_subspaces(other, job.seed, draws, share=own.share, fold_norm=own.fold_norm)
        return own.ov.to_frame(), control.ov.to_frame()

    beside = {name: frames(own) for name, own in settings.items()}
    filled = [factor for factor in FACTORS if formula.ranks[factor] == formula.d_model]
    return claims.amplifies(*frames(formula), beside, filled)


def changes(model: RecurrentTransformer, job: Job) -> Contents:
    """How much each block changes the residual stream."""
    from interp.mechanism.block_change import block_changes

    need_steps(model)
    graphs = job.graphs(model)
    found = block_changes(model, graphs)
    other = block_changes(job.untrained(model), graphs[:4], found.n_steps)
    mine, theirs = (one.of("computing").mean(0) for one in (found, other))
    drawn = drawing("block_change", found.figure(), "interp/mechanism/block_change_figure.py")
    listed = "; ".join(
        f"layer {layer}: attention {mine[layer, 0]:.1%}, MLP {mine[layer, 1]:.1%}"
        for layer in range(len(mine))
    )
    off, sentence = causes.first_mlp_off(model, job)
    claim = claims.first_mlp(float(mine[0, 1]), float(mine[-1, 1]), float(theirs[0, 1]), off)
    return Contents([f"Mean relative change at nodes being computed, {listed}.", sentence], [drawn], [claim])


def fourier(model: RecurrentTransformer, job: Job) -> Contents:
    """Spectra over operand pairs and triples, neurons with and without their own frequency, and their phases."""
    from interp.fourier_analysis.characters import with_characters
    from interp.fourier_analysis.fourier import fourier as spectra
    from interp.fourier_analysis.fourier_figure import cells_figure, neurons_figure
    from interp.fourier_analysis.operand_tuples import operand_grid
    from interp.fourier_analysis.own_frequency import most_carried, own_in_layers
    from interp.fourier_analysis.phases import phase_sum

    need_states(model)
    source, own_source = (
        "interp/fourier_analysis/fourier_figure.py",
        "interp/fourier_analysis/own_frequency_figure.py",
    )
    operation = next(iter(with_characters(job.ops)), None)
    if operation is None:
        raise NotApplicableError(
            f"No waves turn {' or '.join(job.ops)} into a product: there are no characters."
        )
    grid = operand_grid(model, operation, 2, seed=job.seed)
    if len(grid.characters.frequencies) < 2:
        raise NotApplicableError(
            f"Modulo {model.vocabulary.modulus} there is one frequency, and no other beside it."
        )
    pairs = spectra(model, operation, 2, seed=job.seed)
    layer = pairs.layers_that_matter[-1]
    layers = own_in_layers(model, grid, pairs.layers_that_matter, seed=job.seed)
    own = most_carried(layers)
    phases = phase_sum(model, grid, own.layer, seed=job.seed)
    drawings = [
        drawing("fourier_pairs", pairs.figure(), source),
        drawing("fourier_cells", cells_figure(pairs.site(f"blocks.{layer}.hook_mlp_out")), source),
        drawing("fourier_neurons", neurons_figure(pairs.neurons(layer)), source),
        *(drawing(f"own_frequency_{one.layer}", one.figure(), own_source) for one in layers),
        drawing("phases", phases.figure(), own_source),
    ]
    curve, ablation = _by_threshold(model, grid, own.layer, job.seed)
    drawings.append(drawing("tuning_curve", curve.figure(), own_source))
    if ablation.groups:
        drawings.append(drawing(f"frequency_ablation_{own.layer}", ablation.figure(), source))
    told = pairs
    sentences = [
        f"Over pairs of operands: {pairs.verdict()}.",
        f"The causal test: {'; '.join(one.verdict() for one in layers)}.",
        f"Phases: {phases.verdict()}.",
        f"Which neurons count as tuned decides what their ablation says, so no claim rests on it: {curve.verdict()}.",
    ]
    if job.amounts.triples:
        told = spectra(model, operation, 3, seed=job.seed)
        triples: Any = told.figure()
        triples.update_layout(title={"text": f"{triples.layout.title.text}, operand triples"})
        drawings.append(drawing("fourier_triples", triples, source))
        causal = ""
        if (
            own.layer == model.cfg.n_layers - 1
        ):  # an earlier layer's neurons need the rest of the step for every tuple
            triple = operand_grid(model, operation, 3, seed=job.seed)
            causal = f"; {own_in_layers(model, triple, [own.layer], seed=job.seed)[0].verdict()}"
        sentences.insert(1, f"Over triples: {told.verdict()}{causal}.")
    other = job.untrained(model)
    control = own_in_layers(other, grid, [own.layer], seed=job.seed)[0], phase_sum(other, grid, own.layer)
    rows = [*_spectral_claims(told), fourier_claims.fourier_neurons(own, phases, told.verdict(), control)]
    return Contents(sentences, drawings, rows)


def _by_threshold(
    model: RecurrentTransformer, grid: OperandGrid, layer: int, seed: int
) -> tuple[TuningCurve, FrequencyAblation]:
    from interp.fourier_analysis.frequency_ablation import ablate_frequencies
    from interp.fourier_analysis.neuron_rerun import neuron_run
    from interp.fourier_analysis.tuning_curve import tuning_curve

    run = neuron_run(model, grid, layer)
    return tuning_curve(run), ablate_frequencies(run, seed=seed)


def _spectral_claims(found: Fourier) -> list[claims.Claim]:
    layer, control = found.layers_that_matter[-1], found.untrained
    before, after = f"blocks.{layer}.mlp.hook_pre", f"blocks.{layer}.hook_mlp_out"
    power, output = found.site(before).power.ravel(), found.site(after).diagonal_share
    residual = found.site(f"blocks.{layer}.hook_resid_post").diagonal_share
    other = control.site(after).diagonal_share
    return [
        fourier_claims.dc_before(
            found.site(before).dc_share,
            float(power[1:].max() / power.sum()),
            found.site(before).diagonal_share,
            output,
            residual,
            (control.site(before).dc_share, other),
        ),
        fourier_claims.diagonal_after(output, residual, found.site(after).chance_relabelled, other),
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
    drawings = [drawing("patching", sweep.figure(), "interp/causal/patching_figure.py")]
    sentences = [f"A leaf's value is changed. {sweep.verdict()}"]
    # Values at the right-hand sides, read in the same step: a whole state would only show that steps are deterministic.
    site: dict[str, Any] = (
        {"name": "state"} if model.cfg.bottleneck == "discrete" else {"name": "resid_pre", "layer": 0}
    )
    study = study_cross_step(pairs, model=job.model, pos="rhs", lag=0, **site)
    drawings.append(drawing("cross_step", study.figure(), "interp/causal/cross_step_figure.py"))
    sentences.append(
        f"What the right-hand sides hold, put in at other steps and read in that step, {len(pairs)} pairs: "
        f"{study.verdict()}"
    )
    return Contents(sentences, drawings)


def story(model: RecurrentTransformer, job: Job) -> Contents:
    """The stories of some nodes, each with its causal tests; the first is told."""
    from interp.circuits.circuit_story import story as tell

    need_states(model)
    graphs = job.sample(model, job.amounts.small, job.amounts.stories)
    stories = [tell(model, graph, _told_node(graph), seed=job.seed) for graph in graphs]
    first = stories[0]
    drawn: list[Drawing] = [drawing("story", first.figure(), "interp/circuits/story_figure.py")]
    sentences = [f"{number}. {one.verdict()}" for number, one in enumerate(stories, start=1)]
    by_mlp = [claim for one in stories for claim in one.claims if claim.by_mlp and claim.backed is not None]
    backed = sum(bool(claim.backed) for claim in by_mlp)
    sentences.append(
        f"Of claims that one MLP alone uses a value {backed} of {len(by_mlp)} are backed; the claims table "
        "counts those about heads."
    )
    rows, others = causes.node_circuits(stories)
    sentences += [f"Node by node: {'; '.join(map(str, rows))}."]
    return Contents(sentences, drawn, [claims.induction(rows, others)], first.text())


def _told_node(graph: ComputationGraph) -> int:
    """Of the nodes of the median depth of those that are no leaves, the last with the most operands.

    It waits first, and the run is short.
    """
    depths = graph.depths_by_node
    inner = sorted(depth for depth in depths if depth)
    wanted = inner[len(inner) // 2] if inner else 0
    candidates = [node for node, depth in enumerate(depths) if depth == wanted]
    return max(candidates, key=lambda node: (len(graph.nodes[node].operands), node))
