"""Do phases add? Of every neuron at its own frequency: the operands' phases, and that of what it writes to the values.

A network that adds by Fourier has neurons whose input is a wave of each operand, and whose output is the wave of the
result with the operands' phases added up (arXiv 2603.23784, 2602.16849):

    before    A_1 cos(w s_1 x_1 + phi_1) + ... + A_n cos(w s_n x_n + phi_n)      w = 2 pi a / m, s signs of operands
    written   B cos(w c + phi_out) to the logit of value c                       phi_out = phi_1 + ... + phi_n

so that neurons of one frequency agree on c = s_1 x_1 + ... + s_n x_n whatever their phases are. phi_i is the phase of
the part of ``mlp_pre`` that operand i has alone (its mean over all other operands), phi_out that of the neuron's row of
W_out seen by the value readout (the final norm's weight and centring folded in; what later layers make of it is not in
here). a is the frequency with most of the neuron's energy after the nonlinearity. Means over neurons are weighted by
the energy in their own frequency's cells, so that those that do not vary need no threshold.

An error is the angle between phi_out and the sum, 0 to 180 degrees; 90 on average where the two have nothing to do with
each other. It has two halves: from the sum to the phase of the activation's diagonal cell (what the nonlinearity
makes of the waves), and from there to phi_out. Controls, drawn again and again:

    shuffled   what another neuron of the same frequency writes
    renamed    values renamed at random in what is written
    other      all phases at another frequency, drawn for each neuron. A neuron of a table, for one pair of values,
               writes their result, so its phases add at every frequency alike: that is no Fourier structure, and
               :attr:`PhaseSum.add` says no

For three operands the part of the nonlinearity that multiplies three waves can have either sign, which turns phi_out by
180 degrees; so pairs are what this is for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.characters import Characters
from interp.fourier_analysis.operand_tuples import OperandGrid, collect_grid
from interp.fourier_analysis.spectrum import frequency_energy
from models.norm import folded
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
ADDED: Final = 45.0
"""Degrees, half of what chance gives."""


@one_line
@dataclass(frozen=True, eq=False)
class PhaseSum:
    """Phases of a layer's neurons, in radians.

    Attributes:
        layer: block. operations: of the equation.
        frequency: int [neuron], the frequency of each.
        weight: float [neuron], its energy there, as a share of that of all neurons.
        operands: float [neuron, operand], phases of what each operand contributes to the pre-activation.
        active: float [neuron], the phase of the activation's diagonal cell.
        written: float [neuron], the phase of what the neuron writes to the values.
        shuffled, renamed, other: float [draw], the controls' mean errors in degrees.
    """

    layer: int
    operations: tuple[str, ...]
    frequency: NDArray[np.int64]
    weight: Floats
    operands: Floats
    active: Floats
    written: Floats
    shuffled: Floats
    renamed: Floats
    other: Floats

    @property
    def summed(self) -> Floats:
        """Float [neuron], the sum of the operands' phases, in -pi to pi."""
        return _wrapped(self.operands.sum(1))

    @property
    def errors(self) -> Floats:
        """Float [neuron], degrees between what is written and the sum, 0 to 180."""
        return _degrees(self.written, self.summed)

    @property
    def error(self) -> float:
        """Mean of :attr:`errors`, weighted by energy; nan where nothing varies."""
        return self._mean(self.errors)

    @property
    def halves(self) -> tuple[float, float]:
        """Mean error from the sum to the activation's phase, and from there to what is written."""
        return self._mean(_degrees(self.active, self.summed)), self._mean(_degrees(self.written, self.active))

    @property
    def chance(self) -> float:
        """The smallest mean error of the three controls (each the mean of its draws)."""
        return min(float(drawn.mean()) for drawn in (self.shuffled, self.renamed, self.other))

    @property
    def add(self) -> bool:
        """Whether phases add: a mean error of at most :data:`ADDED` degrees, and of more in all controls, where it is
        at least twice as much.
        """
        return self.error <= ADDED < self.chance and 2 * self.error <= self.chance

    def verdict(self) -> str:
        """One sentence, without capital and full stop."""
        first, second = self.halves
        return (
            f"what layer {self.layer}'s neurons write is {self.error:.0f}° from the sum of the phases of "
            f"{' and '.join(dict.fromkeys(self.operations))}'s operands, weighted by energy ({first:.0f}° from the sum "
            f"to the activation, {second:.0f}° from there; 90° is chance, another neuron of the frequency "
            f"{self.shuffled.mean():.0f}°, values renamed {self.renamed.mean():.0f}°, another frequency "
            f"{self.other.mean():.0f}°)"
        )

    def _mean(self, errors: Floats) -> float:
        return float((self.weight * errors).sum()) if self.weight.any() else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """A row per neuron: ``layer, neuron, frequency, weight``, and in degrees ``operand_1, operand_2, summed,
        active, written, error``.
        """
        columns: dict[str, object] = {
            "layer": self.layer,
            "neuron": np.arange(len(self.frequency)),
            "frequency": self.frequency,
            "weight": self.weight,
        }
        columns |= {f"operand_{n}": np.degrees(phase) for n, phase in enumerate(self.operands.T, start=1)}
        columns |= {name: np.degrees(getattr(self, name)) for name in ("summed", "active", "written")}
        columns["error"] = self.errors
        return pd.DataFrame(columns)

    def figure(self, width: int = 720) -> go.Figure:
        """:func:`interp.fourier_analysis.own_frequency_figure.phases_figure`."""
        from interp.fourier_analysis.own_frequency_figure import phases_figure

        return phases_figure(self, width)


def phase_sum(
    model: RecurrentTransformer, grid: OperandGrid, layer: int, draws: int = 16, seed: int = 0
) -> PhaseSum:
    """Phases of a layer's neurons in a model.

    Raises:
        ValueError: a layer the model does not have, no draws, or a grid of another number of operands than two.
    """
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer is {layer}; the model has layers 0..{model.cfg.n_layers - 1}")
    before, after = f"blocks.{layer}.mlp.hook_pre", f"blocks.{layer}.mlp.hook_post"
    collected = collect_grid(model, grid, [before, after])
    values = folded(model.ln_final, model.W_U)[:, model.vocabulary.slice("value")].detach().numpy()
    written = model.layers[layer].mlp.W_out.detach().double().cpu().numpy() @ values
    characters = grid.characters
    return phases_of(
        collected[before],
        collected[after],
        written[:, list(characters.values)],
        characters,
        layer,
        draws,
        seed,
    )


def phases_of(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    written: Floats,
    characters: Characters,
    layer: int = 0,
    draws: int = 16,
    seed: int = 0,
) -> PhaseSum:
    """Phases of any neurons: ``before`` and ``after`` their nonlinearity [axis 1, ..., axis n, neuron], and what each
    writes to the values, float [neuron, element] in the order of ``characters.values``.

    Raises:
        ValueError: another number of operands than two, one frequency only, or no draws.
    """
    if characters.n_operands != 2 or draws < 1 or len(characters.frequencies) < 2:
        raise ValueError(
            f"{characters.n_operands} operands, {len(characters.frequencies)} frequencies, draws={draws}; allowed: 2 "
            "operands (with three the sign is open), 2 frequencies or more, and 1 draw or more"
        )
    energy = frequency_energy(after, characters).astype(np.float64)
    units = np.arange(len(energy))
    own = 1 + energy.argmax(1)
    held = energy[units, own - 1]
    weight = held / held.sum() if held.sum() > 0 else held

    def measured(frequency: NDArray[np.int64], rows: Floats) -> PhaseSum:
        turned = [sign * frequency for sign in characters.signs]
        alone = [_phase(before.mean(1 - axis, dtype=np.float64).T, k) for axis, k in enumerate(turned)]
        first = _coefficient(np.moveaxis(after, -1, 0), turned[1])  # [neuron, element of the first operand]
        return PhaseSum(
            layer=layer,
            operations=characters.operations,
            frequency=frequency,
            weight=weight,
            operands=np.stack(alone, 1),
            active=np.angle(_coefficient(first, turned[0])),
            written=_phase(rows, frequency),
            shuffled=np.zeros(0),
            renamed=np.zeros(0),
            other=np.zeros(0),
        )

    rng = np.random.default_rng(seed)
    count = len(characters.frequencies)
    drawn = [
        (
            measured(own, written[_shuffled_within(own, rng)]).error,
            measured(own, written[:, rng.permutation(characters.order)]).error,
            measured(1 + (own - 1 + rng.integers(1, count, len(own))) % count, written).error,
        )
        for _ in range(draws)
    ]
    shuffled, renamed, other = np.array(drawn).T
    return replace(measured(own, written), shuffled=shuffled, renamed=renamed, other=other)


def _coefficient(waves: NDArray[Any], frequency: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Complex [unit, ...]: the transform of waves [unit, ..., element] over elements, at each unit's frequency."""
    m: int = waves.shape[-1]
    turns = np.exp(-2j * np.pi * np.outer(frequency, np.arange(m)) / m)
    return np.einsum("u...m,um->u...", waves, turns)


def _phase(waves: Floats, frequency: NDArray[np.int64]) -> Floats:
    """Float [unit]: phi of the part cos(2 pi a x / m + phi) of waves [unit, element]."""
    return np.angle(_coefficient(waves, frequency))


def _shuffled_within(frequency: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A permutation of units that keeps the frequency."""
    order = np.arange(len(frequency))
    for a in np.unique(frequency):
        units = np.flatnonzero(frequency == a)
        order[units] = rng.permutation(units)
    return order


def _degrees(one: Floats, other: Floats) -> Floats:
    return np.degrees(np.abs(_wrapped(one - other)))


def _wrapped(angle: Floats) -> Floats:
    return (angle + np.pi) % (2 * np.pi) - np.pi
