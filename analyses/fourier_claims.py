"""Claims about spectra over operands and neurons' frequencies; verdicts and shares as in `analyses.claim`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from analyses.claim import HOLDS, PARTLY, Claim, Verdict, graded

if TYPE_CHECKING:
    from interp.fourier_analysis.fourier import FourierVerdict
    from interp.fourier_analysis.own_frequency import OwnFrequency
    from interp.fourier_analysis.phases import PhaseSum


def dc_before(
    dc_share: float,
    largest_other: float,
    before: float,
    output: float,
    residual: float,
    untrained: tuple[float, float],
) -> Claim:
    """dc_share, largest_other: shares of the pre-activations' mean square, of DC and of the largest other cell. before,
    output, residual: diagonal shares, without DC, of the pre-activations, of the MLP's output and of the residual
    stream after it. untrained: the untrained model's DC share, and the diagonal share of its MLP's output.
    """
    little = 1 - HOLDS
    verdict: Verdict = "not"
    if dc_share > largest_other and before <= little < output:
        verdict = "holds" if residual >= PARTLY else "partly"
    return Claim(
        "dc_before",
        verdict,
        f"{dc_share:.1%} of the energy is DC, the largest other cell has {largest_other:.2%}; of the rest "
        f"{before:.2%} is on the diagonal before the non-linearity, {output:.1%} in the MLP's output",
        f"untrained: {untrained[0]:.1%} DC, {untrained[1]:.2%} of the rest on the diagonal of the MLP's output",
        {
            "dc_share": dc_share,
            "largest_other": largest_other,
            "diagonal_before": before,
            "diagonal_output": output,
            "diagonal_residual": residual,
            "untrained_dc_share": untrained[0],
            "untrained_diagonal_output": untrained[1],
        },
    )


def diagonal_after(output: float, residual: float, chance: float, untrained: float) -> Claim:
    """Diagonal shares of the MLP's output and of the residual stream after it.

    chance, untrained: of the output with the operands' values renamed, and of the untrained model's.
    """
    beaten = output >= 2 * max(chance, untrained)
    verdict: Verdict = "not" if not beaten else "holds" if min(output, residual) >= PARTLY else "partly"
    return Claim(
        "diagonal_after",
        verdict,
        f"{output:.1%} of the energy of the MLP's output, without DC, is on the diagonal, {residual:.1%} of that "
        "of the residual stream after it",
        f"values renamed: {chance:.2%}; untrained: {untrained:.2%}",
        {"output": output, "residual": residual, "chance": chance, "untrained": untrained},
    )


def fourier_neurons(
    own: OwnFrequency, phases: PhaseSum, found: FourierVerdict, control: tuple[OwnFrequency, PhaseSum]
) -> Claim:
    """own, phases: of the MLP that carries most, over pairs of operands. found: the verdict on the neurons' spectra,
    which stands beside. control: the same as the first two, of an untrained model.
    """
    kept, removed = own.own_kept.accuracy, own.own_removed.accuracy
    verdict: Verdict = graded(kept, own.kept_chance) if own.carries else "not"
    if verdict == "holds" and not phases.add:
        verdict = "partly"
    untrained, their_phases = control
    shown = [layer for layer in found.layers if layer.matters] or list(found.layers)
    shares = "; ".join(
        f"MLP {one.layer}: {one.single_frequency_share:.1%} of its neurons' energy at one frequency each (values "
        f"renamed, or untrained: {one.single_frequency_chance:.1%}), {one.diagonal_share:.2%} on the diagonal "
        f"({one.diagonal_chance:.2%})"
        for one in shown
    )
    return Claim(
        "fourier",
        verdict,
        f"{kept:.1%} of pairs answered right with every neuron of MLP {own.layer} reduced to its own frequency "
        f"({own.energy_share:.0%} of the energy), {removed:.1%} without that ({own.full.accuracy:.1%} as it is); "
        f"phases are {phases.error:.0f}° from adding up. {shares}",
        f"another frequency: {own.kept_chance:.1%} with it alone, {own.removed_chance:.1%} without it; equal energy: "
        f"{own.own_weakened.accuracy:.1%} with its own weakened, {own.evenly.accuracy:.1%} with all made smaller; "
        f"phases: another neuron {phases.shuffled.mean():.0f}°, values renamed {phases.renamed.mean():.0f}°, another "
        f"frequency {phases.other.mean():.0f}°. Untrained: {untrained.own_kept.accuracy:.1%}, "
        f"{untrained.own_removed.accuracy:.1%} and {their_phases.error:.0f}°",
        {
            "layer": own.layer,
            "right": own.full.accuracy,
            "own_kept": kept,
            "own_removed": removed,
            "other_kept": own.kept_chance,
            "other_removed": own.removed_chance,
            "own_weakened": own.own_weakened.accuracy,
            "evenly": own.evenly.accuracy,
            "carries": own.carries,
            "energy_share": own.energy_share,
            "phase_error": phases.error,
            "phase_halves": list(phases.halves),
            "phase_shuffled": float(phases.shuffled.mean()),
            "phase_renamed": float(phases.renamed.mean()),
            "phase_other_frequency": float(phases.other.mean()),
            "phases_add": phases.add,
            "untrained_own_kept": untrained.own_kept.accuracy,
            "untrained_own_removed": untrained.own_removed.accuracy,
            "untrained_phase_error": their_phases.error,
            "spectra_claimed": found.claimed,
            "layers": [asdict(layer) for layer in found.layers],
        },
    )
