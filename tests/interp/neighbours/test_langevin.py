"""Coefficients that are known: of a quadratic, and of a product of squares, whose energy says its multiplicity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.neighbours.langevin import Floats, Part, Sampler, coefficient, langevin


def drawn(loss: Callable[[Tensor], Tensor], d: int, sampler: Sampler, chains: int) -> Floats:
    weights = torch.zeros(chains, d, requires_grad=True, dtype=torch.float64)
    found = langevin([lambda: loss(weights)], [Part(weights)], sampler, torch.Generator().manual_seed(0))
    assert not weights.any()  # put back
    return found


def quadratic(weights: Tensor) -> Tensor:
    return weights.square().sum(1) / 2


def product(weights: Tensor) -> Tensor:
    return weights.square().prod(1)


def test_a_quadratic_has_half_its_dimensions_over_a_plateau() -> None:
    found = [
        coefficient(drawn(quadratic, 10, Sampler(n_beta, 1, step / n_beta, 200, 100), 100), 0, n_beta)
        for n_beta in (50.0, 100.0, 200.0)
        for step in (0.05, 0.1, 0.2)
    ]
    assert found == pytest.approx([5.0] * 9, rel=0.08)
    assert found[4] == pytest.approx(5.0, rel=0.05)


def test_no_chain_of_a_minimum_is_negative() -> None:
    found = drawn(quadratic, 4, Sampler(100, 1, 0.001, 100, 50), 50)
    assert all(coefficient(chain, 0, 100) > 0 for chain in found.T)


def test_a_product_of_squares_has_a_half_when_its_multiplicity_is_told() -> None:
    found = drawn(product, 2, Sampler(10, 1, 0.001, 2000, 2000), 1000)
    assert coefficient(found, 0, 10, multiplicity=2) == pytest.approx(0.5, rel=0.1)
    alone = coefficient(found, 0, 10)
    assert alone == pytest.approx(
        0.290, rel=0.05
    )  # of the exact density, by a Bessel function; no chain is at fault
    assert alone < 0.45


def test_one_row_moves_alone_and_what_is_not_allowed_is_said() -> None:
    weights = torch.ones(3, 2, requires_grad=True)
    seen: list[Tensor] = []

    def loss() -> Tensor:
        seen.append(weights.detach().clone())
        return (weights**2).sum()

    langevin([loss], [Part(weights, 1)], Sampler(1, 1, 0.1, 3, 0), torch.Generator())
    assert bool((seen[-1][[0, 2]] == 1).all()) and bool((seen[-1][1] != 1).all())
    assert bool((weights == 1).all())
    with pytest.raises(ValueError, match="above 0"):
        Sampler(1, 1, 0, 1, 1)
    with pytest.raises(ValueError, match="1 or more of each"):
        langevin([], [Part(weights)], Sampler(1, 1, 1, 1, 1), torch.Generator())
    assert np.isclose(coefficient(np.array([1.0, 3.0]), 1.0, 2.0), 2.0)
