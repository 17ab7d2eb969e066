"""Fourier spectra over operand axes, as functions of arrays: any activations [axis 1, ..., axis n, unit], any model.

F[k1, ..., kn] = 1 / m^n sum over x of f[x] exp(-2 pi i (k1 x1 + ... + kn xn) / m), one transform for each unit; the
energy |F|^2 of all cells adds up to the mean square of f (Parseval). Shares are of the energy without DC, the cell
(0, ..., 0), which is the activations' mean.

    diagonal share           cells (a s_1, ..., a s_n), a = 1..m-1, s the signs of :class:`interp.Characters`: the part
                             that depends on the signed sum of the operands alone
    white chance             (m - 1) / (m^n - 1): the expected share where phases are random and no cell is preferred
    relabelled chance        the expected share if each operand's values were renamed by a random permutation of its
                             own. That keeps how strongly the operands act alone, in pairs and together, and destroys
                             every relation to arithmetic. Exact: the interaction of all n (no k zero) then is spread
                             evenly over its (m - 1)^n cells, so the chance is its share / (m - 1)^(n - 1)
    single-frequency share   of each unit the cells whose k are all 0 or +-a (at least one +-a), for its best a; summed
                             over units: how much of the energy sits in units that are tuned to one frequency
                             (Nanda et al. 2023, arXiv 2301.05217, section 4). Its chance is measured by relabelling
    key frequencies          the fewest frequencies that hold 90 % of the diagonal energy (:data:`KEY_SHARE`)
    variance explained       share of all energy without DC on the diagonal cells of the key frequencies
    Gini                     of the diagonal energy over frequencies: 0 all alike, near 1 one alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp.fourier_analysis.characters import Characters
from models.one_line import one_line

KEY_SHARE: Final = 0.9
"""Share of the diagonal energy that the key frequencies hold."""

ALIVE: Final = 1e-6
"""Units whose energy is below this share of the strongest unit's count as constant; a site whose energy is below the
square of it, relative to its mean square, as constant in all units."""


_UNITS: Final = 128
"""Units that are transformed at once, which bounds memory."""


@one_line
@dataclass(frozen=True, eq=False)
class SiteSpectrum:
    """The spectrum of one site.

    Attributes:
        name: hook name without step.
        characters: of the axes.
        power: float [axis 1, ..., axis n], energy of every cell, summed over units.
        unit_energy: float [unit], energy without DC.
        unit_frequency: float [unit, frequency], energy in the cells of one frequency (k all 0 or +-a).
        unit_diagonal: float [unit, frequency], energy in its diagonal cells.
        relabelled: float [draw], single-frequency share with each operand's values renamed at random; may be empty.
    """

    name: str
    characters: Characters
    power: NDArray[np.float64]
    unit_energy: NDArray[np.float64]
    unit_frequency: NDArray[np.float64]
    unit_diagonal: NDArray[np.float64]
    relabelled: NDArray[np.float64]

    @property
    def layer(self) -> int | None:
        """The block it is in."""
        return int(self.name.split(".")[1]) if self.name.startswith("blocks.") else None

    @property
    def energy(self) -> float:
        """Mean square over tuples without DC (the variance), summed over units; 0 where it is rounding alone."""
        total = float(self.unit_energy.sum())
        return total if total > ALIVE**2 * float(self.power.sum()) else 0.0

    @property
    def dc_share(self) -> float:
        """Share of the mean square that is DC; nan where everything is zero."""
        return _ratio(float(self.power.flat[0]), float(self.power.sum()))

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """Float [frequency], energy of the diagonal cells; zeros where it is rounding alone."""
        total = self.unit_diagonal.sum(0)
        return total if total.sum() > ALIVE**2 * self.power.sum() else np.zeros_like(total)

    @property
    def diagonal_share(self) -> float:
        """Share of the energy on the diagonal; nan where nothing varies."""
        return _ratio(float(self.diagonal.sum()), self.energy)

    @property
    def chance_white(self) -> float:
        """Diagonal share expected under random phases."""
        return (self.characters.order - 1) / (self.power.size - 1)

    @property
    def chance_relabelled(self) -> float:
        """Diagonal share expected after random renaming of each operand's values; nan where nothing varies."""
        n = self.power.ndim
        interaction = float(self.power[(slice(1, None),) * n].sum())
        return _ratio(interaction / (self.characters.order - 1) ** (n - 1), self.energy)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Bool [unit], which units vary."""
        return (self.unit_energy > ALIVE * self.unit_energy.max(initial=0)) & (self.energy > 0)

    @property
    def tuning(self) -> NDArray[np.float64]:
        """Float [unit], share of a unit's energy at its best frequency; 0 for units that do not vary."""
        best = self.unit_frequency.max(1)
        return np.divide(best, self.unit_energy, out=np.zeros_like(best), where=self.alive)

    @property
    def dominant(self) -> NDArray[np.int64]:
        """Int [unit], the best frequency; 0 for units that do not vary."""
        return np.where(self.alive, 1 + self.unit_frequency.argmax(1), 0)

    @property
    def single_frequency_share(self) -> float:
        """Share of the energy at the best frequency of its unit; nan where nothing varies."""
        return _ratio(float(self.unit_frequency.max(1).sum()), self.energy)

    @property
    def key_frequencies(self) -> tuple[int, ...]:
        """The fewest frequencies that hold :data:`KEY_SHARE` of the diagonal energy, strongest first."""
        return key_frequencies(self.diagonal)

    @property
    def variance_explained(self) -> float:
        """Share of the energy on the diagonal cells of the key frequencies; nan where nothing varies."""
        return _ratio(sum(float(self.diagonal[a - 1]) for a in self.key_frequencies), self.energy)

    @property
    def gini(self) -> float:
        """Gini coefficient of :attr:`diagonal`; nan where there is none."""
        return gini(self.diagonal)

    def to_row(self) -> dict[str, Any]:
        """The numbers, as a line of a table."""
        return {
            "site": self.name,
            "layer": self.layer,
            "energy": self.energy,
            "dc_share": self.dc_share,
            "diagonal_share": self.diagonal_share,
            "chance_white": self.chance_white,
            "chance_relabelled": self.chance_relabelled,
            "single_frequency_share": self.single_frequency_share,
            "single_frequency_relabelled": float(self.relabelled.mean())
            if self.relabelled.size
            else float("nan"),
            "key_frequencies": " ".join(map(str, self.key_frequencies)),
            "n_key_frequencies": len(self.key_frequencies),
            "variance_explained": self.variance_explained,
            "gini": self.gini,
        }


def site_spectrum(
    activations: NDArray[np.float32], characters: Characters, name: str = "", draws: int = 0, seed: int = 0
) -> SiteSpectrum:
    """The spectrum of real activations [axis 1, ..., axis n, unit], elements in the order of ``characters.values``.

    Args:
        draws: how many random relabellings; each costs less than the spectrum.

    Raises:
        ValueError: axes of another number or length than the characters'.
    """
    n = characters.n_operands
    if activations.ndim != n + 1 or set(activations.shape[:-1]) != {characters.order}:
        raise ValueError(
            f"activations are {activations.shape}; allowed: {n} axes of {characters.order}, then units"
        )
    parts = [
        _spectrum_of(activations[..., start : start + _UNITS], characters)
        for start in range(0, activations.shape[-1], _UNITS)
    ]
    power, energy, frequency, diagonal = zip(*parts, strict=True)
    unit_energy = np.concatenate(energy)
    rng = np.random.default_rng(seed)
    shares: list[float] = []
    for _ in range(draws):
        order = [rng.permutation(characters.order) for _ in range(n)]
        best = frequency_energy(activations, characters, order).max(1).sum()
        shares.append(_ratio(float(best), float(unit_energy.sum())))
    return SiteSpectrum(
        name=name,
        characters=characters,
        power=np.sum(power, axis=0),
        unit_energy=unit_energy,
        unit_frequency=np.concatenate(frequency),
        unit_diagonal=np.concatenate(diagonal),
        relabelled=np.array(shares),
    )


def _spectrum_of(
    activations: NDArray[np.float32], characters: Characters
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of some units: energy of every cell, of every unit without DC, of unit and frequency, and on the diagonal."""
    n = characters.n_operands
    axes = tuple(range(n))
    mean = activations.mean(axes, keepdims=True, dtype=np.float64).astype(activations.dtype)
    centred = activations - mean  # else rounding of a large mean would look like energy
    power = np.square(np.abs(np.fft.fftn(centred, axes=axes, norm="forward")))
    power[(0,) * n] = np.square(mean.reshape(-1))
    energy = power.reshape(-1, power.shape[-1])[1:].sum(0, dtype=np.float64)
    diagonal = [power[characters.diagonal(a)].sum(0, dtype=np.float64) for a in characters.frequencies]
    by_cell = power.sum(-1, dtype=np.float64)
    return by_cell, energy, frequency_energy(activations, characters), np.stack(diagonal, 1)


def frequency_energy(
    activations: NDArray[np.float32],
    characters: Characters,
    relabelling: Sequence[NDArray[np.int64]] | None = None,
) -> NDArray[np.float64]:
    """Float [unit, frequency]: energy in the cells whose k are all 0 or +-a, DC left out.

    relabelling: for every axis the order in which its elements are taken.
    """
    if activations.shape[-1] > _UNITS:
        starts = range(0, activations.shape[-1], _UNITS)
        parts = [activations[..., start : start + _UNITS] for start in starts]
        return np.concatenate([frequency_energy(part, characters, relabelling) for part in parts])
    activations = activations - activations.mean(tuple(range(activations.ndim - 1)), keepdims=True)
    basis = characters.basis.astype(activations.dtype)
    n = characters.n_operands
    first, *others = [basis] * n if relabelling is None else [basis[:, order] for order in relabelling]
    once = np.tensordot(first, activations, (1, 0))
    energy: list[NDArray[np.float64]] = []
    for frequency in characters.frequencies:
        rows = [0, *characters.basis_rows(frequency)]
        part = once[rows]
        for axis, matrix in enumerate(others, start=1):
            part = np.moveaxis(np.tensordot(matrix[rows], part, (1, axis)), 0, axis)
        squares = np.square(part.reshape(-1, part.shape[-1])[1:]).sum(0, dtype=np.float64)
        energy.append(squares / characters.order**n)
    return np.stack(energy, 1)


def keep_cells(activations: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Activations [axis 1, ..., axis n, unit] with only the cells ``kept`` (bool, the axes' shape) of their spectrum;
    with every cell its conjugate has to be kept, so that the result is real.
    """
    axes = tuple(range(activations.ndim - 1))
    result = np.empty_like(activations)
    for start in range(0, activations.shape[-1], _UNITS):
        part = slice(start, start + _UNITS)
        spectrum = np.fft.fftn(activations[..., part], axes=axes) * kept[..., None]
        result[..., part] = np.fft.ifftn(spectrum, axes=axes).real
    return result


def diagonal_cells(characters: Characters, frequencies: Sequence[int]) -> NDArray[np.bool_]:
    """Bool, the axes' shape: the diagonal cells of the frequencies; DC is not among them."""
    cells = np.zeros((characters.order,) * characters.n_operands, dtype=bool)
    for frequency in frequencies:
        cells[characters.diagonal(frequency)] = True
    return cells


def key_frequencies(energy: NDArray[np.float64], share: float = KEY_SHARE) -> tuple[int, ...]:
    """The fewest frequencies (from 1) that hold ``share`` of an energy float [frequency], strongest first."""
    order: list[int] = np.argsort(-energy, kind="stable").tolist()
    held: list[float] = np.cumsum(energy[order]).tolist()
    n = 1 + sum(part < share * held[-1] for part in held) if held[-1] > 0 else 0
    return tuple(place + 1 for place in order[:n])


def gini(energy: NDArray[np.float64]) -> float:
    """Gini coefficient: mean absolute difference of two entries over twice their mean; nan where all are zero."""
    differences: NDArray[np.float64] = np.abs(energy[:, None] - energy)
    return _ratio(float(differences.mean()), 2 * float(energy.mean()))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
