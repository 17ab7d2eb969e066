"""The neurons of one frequency are set to their means, and the answers are scored.

A neuron belongs to the frequency at which its energy over all operand tuples is largest, if that holds at least
``min_share`` of it (:attr:`interp.SiteSpectrum.tuning`); the others belong to none. Mean ablation is over all tuples,
so it takes out what a neuron says about the operands and nothing else.

Controls, drawn again and again: ``random``, equally many neurons among all that vary; ``matched``, for every ablated
neuron one of another group (or none) that is among the nearest in energy, since neurons of a frequency may simply be
the strong ones. A frequency's neurons matter *as a frequency* where losing them costs more than losing as many
matched ones.

Which neurons belong to a frequency depends on ``min_share``, so this is no evidence for an algorithm:
:mod:`interp.fourier_analysis.tuning_curve` shows what other shares say, and `own_frequency` beside it is the test that
needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.neuron_rerun import NeuronRun, Score
from interp.fourier_analysis.spectrum import SiteSpectrum, site_spectrum
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

NEAREST: Final = 8
"""A matched neuron is one of this many nearest in energy that are not taken yet."""


@one_line
@dataclass(frozen=True, eq=False)
class GroupAblation:
    """What the ablation of a frequency's neurons does.

    Attributes:
        frequency: whose neurons. neurons: their indices.
        energy_share: of the layer's energy that they hold.
        score: with them ablated.
        random, matched: the controls' scores, one per draw; random_energy, matched_energy: float [draw], the shares of
            energy ablated there.
    """

    frequency: int
    neurons: tuple[int, ...]
    energy_share: float
    score: Score
    random: tuple[Score, ...]
    matched: tuple[Score, ...]
    random_energy: NDArray[np.float64]
    matched_energy: NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class FrequencyAblation:
    """Ablations frequency by frequency, of one layer.

    Attributes:
        layer: block. spectrum: of its ``mlp_post``. min_share: what makes a neuron one of a frequency's.
        full: score without ablation.
        groups: for every frequency that has neurons, from low to high.
    """

    layer: int
    spectrum: SiteSpectrum
    min_share: float
    full: Score
    groups: tuple[GroupAblation, ...]

    @property
    def n_tuned(self) -> int:
        """How many neurons belong to a frequency."""
        return sum(len(group.neurons) for group in self.groups)

    def to_frame(self) -> pd.DataFrame:
        """One row per frequency: ``n_neurons``, ``energy_share``, and ``loss`` and ``accuracy`` with it ablated,
        without ablation (``full_``) and as means over the draws of the two controls (``random_``, ``matched_``;
        ``_worst``: the draw with the lowest accuracy).
        """

        def line(group: GroupAblation) -> dict[str, float]:
            row: dict[str, float] = {
                "frequency": group.frequency,
                "n_neurons": len(group.neurons),
                "energy_share": group.energy_share,
                "loss": group.score.loss,
                "accuracy": group.score.accuracy,
                "full_loss": self.full.loss,
                "full_accuracy": self.full.accuracy,
            }
            for name, scores, energy in (
                ("random", group.random, group.random_energy),
                ("matched", group.matched, group.matched_energy),
            ):
                row[f"{name}_loss"] = float(np.mean([score.loss for score in scores]))
                row[f"{name}_accuracy"] = float(np.mean([score.accuracy for score in scores]))
                row[f"{name}_accuracy_worst"] = min(score.accuracy for score in scores)
                row[f"{name}_energy_share"] = float(energy.mean())
            return row

        return pd.DataFrame([line(group) for group in self.groups])

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.fourier_analysis.fourier_figure.frequency_ablation_figure`."""
        from interp.fourier_analysis.fourier_figure import frequency_ablation_figure

        return frequency_ablation_figure(self, width)


def neuron_groups(spectrum: SiteSpectrum, min_share: float = 0.5) -> dict[int, NDArray[np.int64]]:
    """Frequency -> indices of its neurons, for every frequency of the characters."""
    tuned = spectrum.alive & (spectrum.tuning >= min_share)
    return {
        frequency: np.flatnonzero(tuned & (spectrum.dominant == frequency))
        for frequency in spectrum.characters.frequencies
    }


def ablate_frequencies(
    run: NeuronRun,
    min_share: float = 0.5,
    draws: int = 8,
    seed: int = 0,
    frequencies: Sequence[int] | None = None,
) -> FrequencyAblation:
    """Ablate the neurons of each frequency (default: of all that have some), and as many others for control.

    Raises:
        ValueError: no draws, a share outside 0 to 1, a frequency the characters do not have.
    """
    known = run.grid.characters.frequencies
    wanted = known if frequencies is None else tuple(frequencies)
    if draws < 1 or not 0 <= min_share <= 1 or not set(wanted) <= set(known):
        raise ValueError(
            f"draws={draws}, min_share={min_share}, frequencies={frequencies}; allowed: at least one draw, a share "
            f"from 0 to 1, frequencies 1 to {known[-1]}"
        )
    spectrum = site_spectrum(run.neurons, run.grid.characters, f"blocks.{run.layer}.mlp.hook_post")
    groups = neuron_groups(spectrum, min_share)
    energy = spectrum.unit_energy
    alive = np.flatnonzero(spectrum.alive)
    mean = run.neurons.mean(tuple(range(run.neurons.ndim - 1)), dtype=np.float64)
    rng = np.random.default_rng(seed)

    def score(neurons: NDArray[np.int64]) -> Score:
        changed = run.neurons.copy()
        changed[..., neurons] = mean[neurons]
        return run.score_with(changed)

    def share(neurons: NDArray[np.int64]) -> float:
        return float(energy[neurons].sum() / energy.sum())

    def ablated(frequency: int, neurons: NDArray[np.int64]) -> GroupAblation:
        random = [rng.choice(alive, len(neurons), replace=False) for _ in range(draws)]
        matched = [_matched(neurons, alive, energy, rng) for _ in range(draws)]
        return GroupAblation(
            frequency=frequency,
            neurons=tuple(neurons.tolist()),
            energy_share=share(neurons),
            score=score(neurons),
            random=tuple(score(one) for one in random),
            matched=tuple(score(one) for one in matched),
            random_energy=np.array([share(one) for one in random]),
            matched_energy=np.array([share(one) for one in matched]),
        )

    return FrequencyAblation(
        layer=run.layer,
        spectrum=spectrum,
        min_share=min_share,
        full=run.score(run.logits),
        groups=tuple(ablated(frequency, groups[frequency]) for frequency in wanted if len(groups[frequency])),
    )


def _matched(
    neurons: NDArray[np.int64],
    alive: NDArray[np.int64],
    energy: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """As many neurons outside the group (fewer if there are not as many), each near one of it in energy."""
    free = np.setdiff1d(alive, neurons)
    free = free[np.argsort(energy[free])]
    chosen: list[int] = []
    for neuron in rng.permutation(neurons):
        if not free.size:
            break
        distance = np.abs(np.log(energy[free]) - np.log(energy[neuron]))
        place = int(rng.choice(np.argsort(distance)[:NEAREST]))
        chosen.append(int(free[place]))
        free = np.delete(free, place)
    return np.array(chosen, dtype=np.int64)
