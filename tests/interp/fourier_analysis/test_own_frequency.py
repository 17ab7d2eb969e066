"""Neurons with and without their own frequency, and their phases: a network of phases, a table, trained weights."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import interp
from analyses import fourier_claims
from interp.fourier_analysis.characters import characters_of
from interp.fourier_analysis.fourier import FourierVerdict, LayerEvidence
from interp.fourier_analysis.neuron_rerun import NeuronRun, Score, neuron_run
from interp.fourier_analysis.operand_tuples import OperandGrid, operand_grid
from interp.fourier_analysis.own_frequency import (
    OwnFrequency,
    component,
    most_carried,
    own_frequency,
    own_in_layers,
)
from interp.fourier_analysis.phases import PhaseSum, phase_sum, phases_of
from interp.fourier_analysis.spectrum import frequency_energy, keep_cells
from interp.fourier_analysis.tuning_curve import tuning_curve
from models import RecurrentTransformer, load
from models.compiled import CompiledTransformer, compile_model

P = 11
LAST = 2
SCALE = 0.25


def by_phases(op: str = "ADD") -> CompiledTransformer:
    """The compiled model with another last MLP: 16 neurons a frequency, each a wave of both operands with phases of its
    own, each writing the wave of the result with the sum of these phases.
    """
    model = compile_model((op,), modulus=P, n_variables=16)
    slots, mlp = model.circuit.slots, model.layers[LAST].mlp
    turn = 2 * np.pi * np.arange(P) / P
    sign = -1 if op == "SUB" else 1
    phases = np.arange(4) * np.pi / 2
    with torch.no_grad():
        mlp.W_in[:, : P * P], mlp.W_out[: P * P], mlp.b_in[: P * P] = 0, 0, 0
        neuron = 0
        for a in (1, 2, 3, 4, 5):
            for one in phases + 0.1 * a:
                for other in phases - 0.3:
                    waves = (turn * a + one, sign * turn * a + other, turn * a + one + other)
                    first, second, written = (
                        torch.tensor(np.cos(wave), dtype=torch.float32) for wave in waves
                    )
                    mlp.W_in[slots["partial"].start : slots["partial"].start + P, neuron] = first
                    mlp.W_in[slots["value:last"].start : slots["value:last"].start + P, neuron] = second
                    mlp.W_out[neuron, slots["value"].start : slots["value"].start + P] = SCALE * written
                    neuron += 1
    return model


def grid_of(model: RecurrentTransformer, op: str = "ADD") -> OperandGrid:
    return operand_grid(model, op, 2)


@pytest.fixture(scope="module")
def table() -> CompiledTransformer:
    return compile_model(("ADD",), modulus=P, n_variables=16)


@pytest.fixture(scope="module")
def trained_run() -> NeuronRun:
    model = load("discrete-corrected")
    return neuron_run(model, grid_of(model), 1)


# Components ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ops", "order"), [(("ADD",), 7), (("SUB", "ADD"), 5), (("MUL",), 7)])
def test_a_component_is_the_cells_of_its_frequency(ops: tuple[str, ...], order: int) -> None:
    """Against an inverse transform with all other cells set to zero; also of a frequency that is its own negative."""
    characters = characters_of(ops, order)
    m, n = characters.order, characters.n_operands
    neurons = np.random.default_rng(0).normal(3, 1, (*(m,) * n, 6)).astype(np.float32)
    frequency = 1 + np.arange(6) % len(characters.frequencies)
    found = component(neurons, characters, frequency)
    for unit, a in enumerate(frequency.tolist()):
        one_of = np.isin(np.arange(m), [0, a, m - a])
        cells = np.ix_(*[one_of] * n)
        kept = np.zeros((m,) * n, bool)
        kept[cells] = True
        kept[(0,) * n] = False
        assert found[..., unit] == pytest.approx(keep_cells(neurons[..., [unit]], kept)[..., 0], abs=1e-5)
    energy = np.square(found).mean(tuple(range(n)))
    assert energy == pytest.approx(
        frequency_energy(neurons, characters)[np.arange(6), frequency - 1], rel=1e-4
    )


# Models whose mechanism is known -----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["ADD", "SUB"])
def test_a_network_built_from_phases_is_recognised(op: str) -> None:
    model = by_phases(op)
    run = neuron_run(model, grid_of(model, op), LAST)
    own = own_frequency(run, draws=4)
    assert own.full.accuracy == own.own_kept.accuracy == 1.0 and own.carries
    assert own.own[:80].tolist() == np.repeat([1, 2, 3, 4, 5], 16).tolist()
    assert own.own_removed.accuracy < 0.1 and own.kept_chance < 0.5 and own.removed_chance > 0.95
    phases = phase_sum(model, run.grid, LAST, draws=4)
    assert phases.error < 1 and phases.halves == pytest.approx((0, 0), abs=1) and phases.add
    assert min(phases.shuffled.mean(), phases.renamed.mean(), phases.other.mean()) > 70
    expected = np.degrees(np.angle(np.exp(1j * (0.1 - 0.3))))
    assert phases.to_frame()["summed"][0] == pytest.approx(expected, abs=0.1), (
        "of frequency 1, both first phases"
    )
    wrong = replace(phases, written=phases.written + np.pi)
    assert wrong.error > 179 and not wrong.add


def test_a_table_has_no_own_frequency_though_its_phases_add(table: CompiledTransformer) -> None:
    """A neuron for the pair (x, y) writes x + y, so phases add: at every frequency alike, which the control shows."""
    own = own_in_layers(table, grid_of(table), (1, LAST), draws=3)
    assert not any(one.carries for one in own)
    for one in own:
        assert one.own_removed.accuracy == one.removed_chance == 1.0
        assert one.own_kept.accuracy == pytest.approx(one.kept_chance, abs=0.05)
    phases = phase_sum(table, grid_of(table), LAST, draws=3)
    assert phases.error < 1 and phases.other.mean() < 1 and not phases.add
    with pytest.raises(ValueError, match="no layers to look at; allowed are those of 0..2"):
        own_in_layers(table, grid_of(table), ())


def test_most_carried_is_the_layer_whose_removal_costs_most(table: CompiledTransformer) -> None:
    model = by_phases()
    before, last = own_in_layers(model, grid_of(model), (1, LAST), draws=2)
    assert most_carried((before, last)) is last


# Trained and untrained ----------------------------------------------------------------------------------------------


def test_the_bundled_model_computes_with_own_frequencies(trained_run: NeuronRun) -> None:
    own = own_frequency(trained_run, draws=3)
    assert own.carries and own.full.accuracy == 1
    assert own.own_kept.accuracy > 0.95 and own.own_removed.accuracy < 0.1
    assert own.kept_chance < 0.15 and own.removed_chance > 0.99
    assert own.own_weakened.accuracy > 0.8 and own.evenly.accuracy > 0.95, "at equal energy"
    assert own.weakened_share <= 1 - own.energy_share + 1e-6
    frame = own.to_frame()
    assert len(frame) == 3 + 2 * (1 + 3) and frame["accuracy"][1] == own.own_kept.accuracy
    bars, marks, equal, _ = own.figure().data
    assert list(equal.y) == [own.own_weakened.accuracy, own.evenly.accuracy]
    assert list(bars.y) == [own.own_kept.accuracy, own.own_removed.accuracy] and len(marks.y) == 6
    by_hand = trained_run.neurons - component(trained_run.neurons, trained_run.grid.characters, own.own)
    assert trained_run.score_with(by_hand) == own.own_removed


def test_phases_of_the_bundled_model_add_in_part_and_of_an_untrained_one_not(trained_run: NeuronRun) -> None:
    model = trained_run.model
    phases = phase_sum(model, trained_run.grid, 1, draws=4)
    assert 45 < phases.error < 65 and not phases.add, "better than chance, not by the rule"
    assert phases.chance > 75 and sum(phases.halves) > phases.error
    untrained = phase_sum(model.untrained(1), trained_run.grid, 1, draws=4)
    assert untrained.error > 75 and not untrained.add
    assert phases.weight.sum() == pytest.approx(1)
    frame = phases.to_frame()
    assert (frame["weight"] * frame["error"]).sum() == pytest.approx(phases.error)
    points = phases.figure().data[0]
    assert len(points.x) == (phases.weight > 0).sum() and np.abs(np.subtract(points.y, points.x)).max() <= 180


def test_energy_and_threshold_explain_what_tuned_neurons_seem_to_carry(trained_run: NeuronRun) -> None:
    """Losing the tuned costs most at one threshold, least at another, and as much as losing the strongest."""
    curve = tuning_curve(trained_run, (0.5, 0.7))
    (half, strict), (others, many), (strongest, _) = curve.accuracy.tolist()
    assert half < 0.3 < others and strongest == pytest.approx(half, abs=0.1)
    assert strict > many, "at 0.7 it is the other way round"
    assert curve.n_tuned[0] > curve.n_tuned[1] > 0 and curve.full == 1
    assert curve.energy[2, 0] >= curve.energy[0, 0] and curve.energy[:2].sum(0) == pytest.approx(1)
    assert "losing the tuned costs more from 0.5 to 0.5" in curve.verdict()
    assert "losing the others costs more from 0.7 to 0.7" in curve.verdict()
    frame = curve.to_frame()
    assert frame["accuracy_strongest"].tolist() == curve.accuracy[2].tolist()
    lines = curve.figure().data
    assert list(lines[0].y) == curve.accuracy[0].tolist() and len(lines) == 4
    for wrong in ((), (1.5,)):
        with pytest.raises(ValueError, match="one or more from 0 to 1"):
            tuning_curve(trained_run, wrong)


def test_what_cannot_be_measured_is_said(table: CompiledTransformer) -> None:
    run = neuron_run(table, grid_of(table), LAST)
    with pytest.raises(ValueError, match="draws=0, 5 frequencies; allowed"):
        own_frequency(run, draws=0)
    with pytest.raises(ValueError, match="layers 0..2"):
        phase_sum(table, grid_of(table), 3)
    three = characters_of(("ADD", "ADD"), 5)
    neurons = np.ones((5, 5, 5, 2), np.float32)
    with pytest.raises(ValueError, match="3 operands, 2 frequencies"):
        phases_of(neurons, neurons, np.ones((2, 5)), three)
    silent = np.ones((5, 5, 2), np.float32)
    nothing = phases_of(silent, 0 * silent, np.ones((2, 5)), characters_of(("ADD",), 5))
    assert np.isnan(nothing.error) and not nothing.add


def test_public_names() -> None:
    assert interp.OwnFrequency is OwnFrequency and interp.own_frequency is own_frequency
    assert interp.PhaseSum is PhaseSum and interp.phase_sum is phase_sum


# The claims -----------------------------------------------------------------------------------------------------------


def own_of(kept: float, other_kept: float, removed: float, *controls: float) -> OwnFrequency:
    """controls: right without another frequency; with the own one weakened; with energy taken out evenly."""
    without, weakened, evenly = (Score(0.1, share) for share in controls)
    return OwnFrequency(
        1, ("ADD",), 2, np.ones(2, np.int64), 0.6, 0.4, np.array([0.1]), Score(0.0, 1.0), Score(0.1, kept),
        Score(3.0, removed), weakened, evenly, (Score(2.0, other_kept),), (without,),
    )  # fmt: skip


def phases_at(degrees: float, chance: float = 90.0) -> PhaseSum:
    one, controls = np.ones(1), np.array([chance])
    return PhaseSum(
        1, ("ADD",), np.ones(1, np.int64), one, np.zeros((1, 2)), 0 * one, np.radians(degrees) * one,
        controls, controls, controls,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "phases", "verdict"),
    [
        ((0.98, 0.07, 0.03, 1.0, 0.9, 1.0), phases_at(20), "holds"),
        ((0.98, 0.07, 0.03, 1.0, 0.9, 1.0), phases_at(55), "partly"),
        ((0.98, 0.07, 0.03, 1.0, 0.9, 1.0), phases_at(0, chance=0), "partly"),
        ((0.90, 0.07, 0.03, 1.0, 0.9, 1.0), phases_at(20), "partly"),
        ((0.98, 0.60, 0.03, 1.0, 0.9, 1.0), phases_at(20), "not"),
        ((0.98, 0.07, 0.03, 0.05, 0.9, 1.0), phases_at(20), "not"),
        ((0.98, 0.07, 0.60, 1.0, 0.9, 1.0), phases_at(20), "not"),
        ((0.98, 0.07, 0.03, 1.0, 0.05, 1.0), phases_at(20), "not"),  # at equal energy it answers no better
        ((0.98, 0.07, 0.03, 1.0, 0.9, 0.05), phases_at(20), "not"),  # energy alone is what was lost
        ((0.30, 0.05, 0.03, 1.0, 0.9, 1.0), phases_at(20), "not"),
    ],
)
def test_a_contrast_that_the_control_has_too_is_not_held(
    own: tuple[float, ...], phases: PhaseSum, verdict: str
) -> None:
    """Structure in the spectra is claimed in all of these: it decides nothing."""
    spectra = FourierVerdict(True, (LayerEvidence(1, True, 0.4, 0.1, 0.7, 0.3),))
    control: Any = own_of(0.04, 0.04, 0.04, 0.04, 0.04, 0.04), phases_at(90)
    found = fourier_claims.fourier_neurons(own_of(*own), phases, spectra, control)
    assert found.verdict == verdict
    numbers = json.loads(json.dumps(found.to_dict()))["numbers"]
    assert numbers["own_kept"] == own[0] and numbers["layers"][0]["diagonal_share"] == 0.4


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        ((0.64, 0.1, 0.004, 0.4, 0.7), "holds"),
        ((0.64, 0.1, 0.004, 0.4, 0.3), "partly"),
        ((0.998, 0.0, 0.0, 0.0002, 0.0), "not"),  # untrained: DC dominates, and nothing comes of it
        ((0.82, 0.1, 0.11, 0.49, 0.63), "not"),  # the sum is there already
        ((0.1, 0.5, 0.004, 0.4, 0.7), "not"),
    ],
)
def test_dc_before_needs_something_behind_it(
    measured: tuple[float, float, float, float, float], verdict: str
) -> None:
    assert fourier_claims.dc_before(*measured, (0.99, 0.0002)).verdict == verdict
