"""How sums are made where it is known: an MLP of waves, and a table, whose first operands meet a layer earlier."""

from __future__ import annotations

import numpy as np
import pytest

from interp.neighbours.addition import Addition, addition, additive_share
from models import ComputationGraph
from models.compiled import compile_model
from tests.interp.fourier_analysis.test_own_frequency import P, by_phases

TEXTS = ("1 = a; 2 = b; a + b = c; c + a = d", "7 = a; 9 = b; 3 = c; a + b = d; c + d + a = e")
GRAPHS = [ComputationGraph.parse(text, modulus=P, n_variables=16) for text in TEXTS]


@pytest.fixture(scope="module")
def waves() -> Addition:
    return addition(by_phases(), GRAPHS)


@pytest.fixture(scope="module")
def table() -> Addition:
    return addition(compile_model(("ADD",), modulus=P, n_variables=16), GRAPHS)


def test_an_ideal_network_takes_the_place_of_waves(waves: Addition) -> None:
    assert waves.ideal.pairs == 1.0 > waves.ideal.shuffled_pairs
    assert waves.single > 0.95 and waves.phase_error < 1 and waves.n_frequencies == 5
    assert waves.ideal.solved_as_is == 2 and waves.margins.min() > 0 and not len(waves.wrong)


def test_it_does_not_take_the_place_of_a_table(table: Addition) -> None:
    assert table.ideal.pairs < 0.5 and table.ideal.solved == 0 and table.ideal.solved_as_is == 2
    assert np.isnan(table.other_orders) and "of 2 graphs (as it is 2" in table.sentence()


def test_streams_that_met_are_told_from_those_that_did_not(table: Addition) -> None:
    """The table of layer 1 has added the first two operands; the last has come alone."""
    assert table.streams.additive < 0.9
    assert table.streams.moved[2] == 1.0 and max(table.streams.moved[:2]) < 0.5
    assert max(table.streams.control) < 0.5
    rows = np.arange(5.0)
    assert additive_share((rows[:, None] + rows**2)[..., None]) == pytest.approx(1)
    assert additive_share(((rows[:, None] - 2) * (rows - 2))[..., None]) == pytest.approx(0)


def test_failures_are_listed_with_their_margins(waves: Addition) -> None:
    frame = waves.to_frame()
    assert len(frame) == 100 and frame["margin"].is_monotonic_increasing and not frame["wrong"].any()
    changed = Addition(**{**vars(waves), "margins": waves.margins - 1.001 * waves.margins.min()})
    assert len(changed.wrong) >= 1 and changed.to_frame()["wrong"][0]
