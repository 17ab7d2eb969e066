"""The causal test: the neurons of one frequency are set to their means, and the answers are scored.

A neuron belongs to the frequency at which its energy over all operand tuples is largest, if that holds at least
``min_share`` of it (:attr:`interp.SiteSpectrum.tuning`); the others belong to none. Mean ablation is over all tuples,
so it takes out what a neuron says about the operands and nothing else.

Controls, drawn again and again: ``random``, equally many neurons among all that vary; ``matched``, for every ablated
neuron one of another group (or none) that is among the nearest in energy, since neurons of a frequency may simply be
the strong ones. A frequency's neurons matter *as a frequency* where losing them costs more than losing as many
matched ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.frequencies.neuron_rerun import NeuronRun, Score, neuron_run
from interp.frequencies.operand_tuples import OperandGrid
from interp.frequencies.spectrum import SiteSpectrum, site_spectrum
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

NEAREST: Final = 8
"""A matched neuron is one of this many nearest in energy that are not taken yet."""


@dataclass(frozen=True, eq=False)
class GroupAblation:
    """What the ablation of a frequency's neurons does.

    Attributes:
        frequency: whose neurons. neurons: their indices.
        energy_share: of the layer's energy that they hold.
        score: with them ablated.
        random, matched: the controls' scores, one a draw; random_energy, matched_energy: float [draw], the shares of
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


@dataclass(frozen=True, eq=False)
class FrequencyAblation:
    """Ablations frequency by frequency, of one layer.

    Attributes:
        layer: block. spectrum: of its ``mlp_post``. min_share: what makes a neuron one of a frequency's.
        full: score without ablation. all_tuned: with the neurons of all frequencies ablated. untuned: with all others
            that vary ablated.
        groups: for every frequency that has neurons, from low to high.
    """

    layer: int
    spectrum: SiteSpectrum
    min_share: float
    full: Score
    all_tuned: Score
    untuned: Score
    groups: tuple[GroupAblation, ...]

    @property
    def n_tuned(self) -> int:
        """How many neurons belong to a frequency."""
        return sum(len(group.neurons) for group in self.groups)

    @property
    def tuned_carry(self) -> bool:
        """Whether the answers rest on the tuned neurons: ablating all of them leaves fewer answers right than ablating
        all others that vary. Where it is False, a claim of :meth:`interp.frequencies.fourier.Fourier.verdict` is not
        backed.
        """
        return self.all_tuned.accuracy < self.untuned.accuracy

    def verdict(self) -> str:
        """One sentence, without capital and full stop: what is answered right without the tuned neurons, and without
        the others.
        """
        operations = " and ".join(dict.fromkeys(self.spectrum.characters.operations))
        if not self.groups:
            return f"no neuron of layer {self.layer} is tuned to one frequency of {operations}, so none is ablated"
        frequencies = ", ".join(str(group.frequency) for group in self.groups)
        return (
            f"with the {self.n_tuned} neurons of layer {self.layer} that are tuned to a frequency ({frequencies}) set "
            f"to their means {self.all_tuned.accuracy:.1%} of the operand tuples of {operations} are answered right, "
            f"with all others that vary {self.untuned.accuracy:.1%}, with none {self.full.accuracy:.1%}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a frequency: ``n_neurons``, ``energy_share``, and ``loss`` and ``accuracy`` with it ablated, without
        ablation (``full_``) and as means over the draws of the two controls (``random_``, ``matched_``; ``_worst``: the
        draw with the lowest accuracy).
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
        """:func:`interp.figures.fourier.frequency_ablation_figure`."""
        from interp.figures.fourier import frequency_ablation_figure

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
    tuned = np.concatenate(list(groups.values()))
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
        all_tuned=score(tuned),
        untuned=score(np.setdiff1d(alive, tuned)),
        groups=tuple(ablated(frequency, groups[frequency]) for frequency in wanted if len(groups[frequency])),
    )


def ablate_in_layers(
    model: RecurrentTransformer, grid: OperandGrid, layers: Sequence[int], seed: int = 0
) -> tuple[FrequencyAblation, ...]:
    """:func:`ablate_frequencies` of each of the layers.

    Raises:
        ValueError: no layers, or one that the model does not have.
    """
    if not layers:
        raise ValueError(
            f"there are no layers to ablate in; allowed are those of 0..{model.cfg.n_layers - 1}"
        )
    return tuple(ablate_frequencies(neuron_run(model, grid, layer), seed=seed) for layer in layers)


def most_carried(ablations: Sequence[FrequencyAblation]) -> FrequencyAblation:
    """The one in which the tuned neurons carry most: whose ablation costs most beside that of all others."""
    return min(ablations, key=lambda one: one.all_tuned.accuracy - one.untuned.accuracy)


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
