"""Spectra, characters, distance irrelevance and circularity: by hand in numpy, and of functions in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from interp.fourier_analysis.characters import Characters, characters_of, discrete_logarithms
from interp.fourier_analysis.spectrum import diagonal_cells, frequency_energy, gini, keep_cells, site_spectrum
from interp.fourier_analysis.symmetry import circularity, distance_irrelevance

P = 11


def additive(n: int, m: int = P, op: str = "ADD") -> Characters:
    return characters_of((op,) * (n - 1), m)


def random_activations(n: int, m: int, units: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(*[m] * n, units)).astype(np.float32)


def axes(n: int, m: int = P) -> list[NDArray[np.int64]]:
    return list(np.indices((m,) * n))


# Spectra ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("m", [5, 6])
def test_spectrum_is_a_transform_written_out(n: int, m: int) -> None:
    """Every cell from the definition, with an explicit sum of exponentials, also for an even group."""
    values = random_activations(n, m, 3) + 2
    characters = replace(additive(2, m), signs=(1, -1, 1)[:n])
    spectrum = site_spectrum(values, characters)
    cells = np.zeros((*[m] * n, 3))
    for k in product(range(m), repeat=n):
        phase = np.exp(-2j * np.pi * np.tensordot(np.array(k), np.indices((m,) * n), 1) / m)
        cells[k] = np.abs((values * phase[..., None]).sum(tuple(range(n))) / m**n) ** 2
    assert np.allclose(spectrum.power, cells.sum(-1), rtol=1e-4, atol=1e-6)
    assert spectrum.power.sum() == pytest.approx(float((values**2).mean(tuple(range(n))).sum()), rel=1e-5)
    by_unit = cells.reshape(-1, 3)[1:].sum(0)
    assert np.allclose(spectrum.unit_energy, by_unit, rtol=1e-4)
    for a in characters.frequencies:
        one_frequency = [k for k in product(range(m), repeat=n) if set(k) <= {0, a, m - a} and any(k)]
        expected = sum(cells[k] for k in one_frequency)
        assert np.allclose(spectrum.unit_frequency[:, a - 1], expected, rtol=1e-4)
        diagonal = {tuple(s * b % m for s in characters.signs) for b in (a, m - a)}
        assert np.allclose(spectrum.unit_diagonal[:, a - 1], sum(cells[k] for k in diagonal), rtol=1e-4)


def test_spectrum_agrees_with_numpy_on_many_units() -> None:
    """More units than are transformed at once."""
    values = random_activations(2, 5, 300)
    power = np.abs(np.fft.fft2(values.astype(float), axes=(0, 1)) / 25) ** 2
    spectrum = site_spectrum(values, additive(2, 5))
    assert np.allclose(spectrum.power, power.sum(-1), rtol=1e-4)
    assert np.allclose(spectrum.unit_energy, power.reshape(25, -1)[1:].sum(0), rtol=1e-4)
    assert len(spectrum.unit_frequency) == 300


@pytest.mark.parametrize(("ops", "signs"), [("ADD ADD", (1, 1)), ("SUB ADD", (-1, 1)), ("SUB SUB", (-1, -1))])
def test_waves_of_the_signed_sum_are_all_diagonal(ops: str, signs: tuple[int, int]) -> None:
    x, y, z = axes(3)
    total = x + signs[0] * y + signs[1] * z
    values = np.stack([np.cos(2 * np.pi * 4 * total / P), 3 + np.sin(2 * np.pi * 4 * total / P)], -1)
    spectrum = site_spectrum(values.astype(np.float32), characters_of(ops.split(), P), draws=3)
    assert spectrum.diagonal_share == pytest.approx(1, abs=1e-5)
    assert spectrum.key_frequencies == (4,)
    assert spectrum.variance_explained == pytest.approx(1, abs=1e-5)
    assert spectrum.single_frequency_share == pytest.approx(1, abs=1e-5)
    assert spectrum.gini == pytest.approx(1 - 1 / 5, abs=1e-5)
    assert spectrum.dc_share == pytest.approx(9 / 10, abs=1e-5)
    assert spectrum.dominant.tolist() == [4, 4] and (spectrum.relabelled < 0.7).all()
    wrong = site_spectrum(values.astype(np.float32), characters_of(("ADD", "ADD"), P))
    assert (wrong.diagonal_share > 0.99) == (signs == (1, 1))


def test_random_activations_are_at_chance() -> None:
    for n in (2, 3):
        spectrum = site_spectrum(random_activations(n, P, 400), additive(n), draws=5)
        assert spectrum.chance_white == pytest.approx((P - 1) / (P**n - 1))
        assert spectrum.diagonal_share == pytest.approx(spectrum.chance_white, rel=0.05)
        assert spectrum.diagonal_share == pytest.approx(spectrum.chance_relabelled, rel=0.05)
        assert spectrum.single_frequency_share == pytest.approx(float(spectrum.relabelled.mean()), rel=0.02)
        assert spectrum.gini < 0.05 and len(spectrum.key_frequencies) == 5


def test_relabelled_chance_is_what_relabelling_gives() -> None:
    """The closed formula against the mean over random renamings, on activations with axes, pairs and a diagonal."""
    x, y = axes(2)
    wave = np.cos(2 * np.pi * 2 * (x + y) / P) + np.cos(2 * np.pi * x / P) + (x == 3) * (y == 4) * 2.0
    values, characters = wave[..., None].astype(np.float32), additive(2)
    rng = np.random.default_rng(0)
    shares = [
        site_spectrum(values[rng.permutation(P)][:, rng.permutation(P)], characters).diagonal_share
        for _ in range(400)
    ]
    spectrum = site_spectrum(values, characters)
    assert spectrum.diagonal_share > 4 * spectrum.chance_relabelled
    assert np.mean(shares) == pytest.approx(spectrum.chance_relabelled, rel=0.05)


def test_relabelling_takes_elements_in_another_order() -> None:
    values, characters = random_activations(2, 5, 4), additive(2, 5)
    order = [np.array([2, 0, 1, 4, 3]), np.array([4, 3, 2, 0, 1])]
    renamed = np.empty_like(values)
    for i, j in product(range(5), repeat=2):
        renamed[order[0][i], order[1][j]] = values[i, j]
    assert np.allclose(
        frequency_energy(values, characters, order), frequency_energy(renamed, characters), rtol=1e-4
    )


def test_gini_and_constant_activations() -> None:
    assert gini(np.ones(4)) == 0 and gini(np.array([0, 0, 0, 1.0])) == pytest.approx(0.75)
    assert gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    spectrum = site_spectrum(np.full((5, 5, 2), 7, dtype=np.float32), additive(2, 5), draws=1)
    assert spectrum.energy == 0 and spectrum.key_frequencies == () and not spectrum.alive.any()
    assert np.isnan(spectrum.diagonal_share) and spectrum.dominant.tolist() == [0, 0]


def test_cells_that_are_kept() -> None:
    x, y = axes(2)
    wave = np.cos(2 * np.pi * 3 * (x + y) / P)
    both = (wave + np.sin(2 * np.pi * x / P) + 5)[..., None].astype(np.float32)
    cells = diagonal_cells(additive(2), [3])
    assert cells.sum() == 2 and cells[3, 3] and cells[8, 8]
    assert np.allclose(keep_cells(both, cells)[..., 0], wave, atol=1e-5)
    assert np.allclose(keep_cells(both, ~cells)[..., 0], both[..., 0] - wave, atol=1e-5)


# Characters ------------------------------------------------------------------------------------------------------


def test_products_are_sums_of_logarithms() -> None:
    characters = characters_of(("MUL",), 23)
    logs = discrete_logarithms(23)
    assert sorted(characters.values) == list(range(1, 23)) and len(characters.frequencies) == 11
    for x, y in product(range(1, 23), repeat=2):
        assert (logs[x] + logs[y]) % 22 == logs[x * y % 23]
    assert np.array_equal(characters.results()[2, 3], characters.values[5])
    angle = 2 * np.pi * 11 * np.vectorize(logs.get)(characters.results()) / 22
    quadratic_residues = site_spectrum(np.cos(angle)[..., None].astype(np.float32), characters)
    assert quadratic_residues.diagonal_share == pytest.approx(1, abs=1e-5)
    assert quadratic_residues.key_frequencies == (11,)
    assert np.allclose(characters.basis @ characters.basis.T, np.eye(22), atol=1e-12)


@pytest.mark.parametrize(
    ("operations", "modulus", "message"),
    [
        (("MUL", "ADD"), 5, "MUL alone, or ADD and SUB"),
        (("MUL",), 6, "allowed for MUL: a prime"),
        (("DIV",), 5, "at least one of ADD"),
        ((), 5, "at least one of ADD"),
    ],
)
def test_operations_without_characters(operations: tuple[str, ...], modulus: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        characters_of(operations, modulus)


def circles(m: int, frequencies: Sequence[int], d: int = 12, noise: float = 0.0) -> NDArray[np.float64]:
    """Values on circles of different size in orthogonal planes, somewhere in the space, and noise."""
    rng = np.random.default_rng(3)
    angle = 2 * np.pi * np.outer(np.arange(m), frequencies) / m
    sizes = np.arange(len(frequencies), 0, -1)
    flat = np.concatenate([sizes * np.cos(angle + 0.3), sizes * np.sin(angle + 0.3)], axis=1)
    planes = np.linalg.qr(rng.normal(size=(d, d)))[0][: flat.shape[1]]
    return flat @ planes + 5 + noise * rng.normal(size=(m, d))


@pytest.mark.parametrize("m", [22, 23, 59])
@pytest.mark.parametrize("frequencies", [(1,), (3, 5), (2, 7, 4)])
def test_planted_circles_are_circular(m: int, frequencies: tuple[int, ...]) -> None:
    planted = circles(m, frequencies)
    assert circularity(planted) == pytest.approx(1, abs=1e-9)
    shuffled = planted[np.random.default_rng(0).permutation(m)]
    assert circularity(shuffled) < 0.6, "the order of the values is what makes a circle"
    assert 0.9 < circularity(circles(m, (3, 5), noise=0.1)) < 1


def test_noise_is_not_circular() -> None:
    """The largest of 11 shares that are uniform among those that add up to 1."""
    rng = np.random.default_rng(0)
    measured = np.mean([circularity(rng.normal(size=(23, 64))) for _ in range(100)])
    assert measured == pytest.approx(sum(1 / k for k in range(1, 12)) / 11, abs=0.02)


def test_circularity_by_hand() -> None:
    """The definition written out, with principal components of another library."""
    given = np.random.default_rng(1).normal(size=(23, 9)) + circles(23, (4,), 9)
    shares = []
    for component in PCA(4).fit_transform(given).T:
        sums = [abs(component @ np.exp(2j * np.pi * k * np.arange(23) / 23)) ** 2 for k in range(1, 23)]
        shares.append(2 * max(sums) / 23 / (component @ component))
    assert circularity(given) == pytest.approx(np.mean(shares))
    assert circularity(given, 1) == pytest.approx(shares[0])
    alternating = np.where(np.arange(22) % 2, 1.0, -1.0)[:, None]
    assert circularity(alternating) == pytest.approx(1), (
        "the one frequency that is its own negative counts once"
    )
    assert np.isnan(circularity(np.full((5, 3), 7.0)))
    for values, components in ((np.eye(2), 4), (np.eye(5), 0)):
        with pytest.raises(ValueError, match="at least 3 values and 1 component"):
            circularity(values, components)


@pytest.mark.parametrize("ops", ["ADD", "SUB"])
@pytest.mark.parametrize("n", [2, 3])
def test_distance_irrelevance_by_hand(ops: str, n: int) -> None:
    characters = additive(n, 7, ops)
    signed = np.tensordot(np.array(characters.signs), np.indices((7,) * n), 1) % 7
    of_the_sum = np.cos(2 * np.pi * signed / 7)
    # One value for each sum, met equally often at every distance where n divides no multiple of 7.
    assert distance_irrelevance(of_the_sum, characters) == pytest.approx(1)
    x, y = np.indices((7,) * n)[:2]
    distance = np.cos(2 * np.pi * (characters.signs[1] * y - x) / 7)
    assert distance_irrelevance(distance, characters) == pytest.approx(0, abs=1e-12)
    assert np.isnan(distance_irrelevance(np.full((7,) * n, 3.0), characters))
    if n == 2 and ops == "ADD":
        logits = np.random.default_rng(0).normal(size=(7, 7))
        rows = [np.std([logits[i, (i + d) % 7] for i in range(7)]) for d in range(7)]
        assert distance_irrelevance(logits, characters) == pytest.approx(np.mean(rows) / np.std(logits))
