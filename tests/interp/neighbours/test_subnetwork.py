"""The mask of the known model is what was planted; random sets of its size fail; and neurons that never fire go."""

from __future__ import annotations

import numpy as np
import pytest

from interp.neighbours.masks import HEADS, all_units, only, sparsify
from interp.neighbours.step_set import StepSet, step_sets
from interp.neighbours.subnetwork import minimal_subnetwork
from models import ComputationGraph
from models.compiled import CompiledTransformer, compile_model
from tests.small_models import numbers


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def graphs() -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(8, ("ADD",), 3, modulus=5, seed=seed, n_variables=16) for seed in range(12)
    ]


@pytest.fixture(scope="module")
def steps(model: CompiledTransformer, graphs: list[ComputationGraph]) -> StepSet:
    return step_sets(model, graphs, 16)[0]


def test_the_mask_of_the_known_model_is_the_planted_heads_and_mlps(
    model: CompiledTransformer, graphs: list[ComputationGraph]
) -> None:
    found = minimal_subnetwork(model, graphs, [0.1], 80, whole_mlps=True, n_steps=16, draws=4)
    planted = {f"{head.layer}.{head.head}" for head in model.circuit.heads if head.kind != "idle"}
    assert found.found.heads() == planted == found.named and len(planted) == 9
    mlps = [bool(on[0]) for name, on in found.found.units.items() if not name.endswith(HEADS)]
    assert mlps == [False, True, True]
    assert found.found.written == found.full == 1 and found.random.max() < 0.9
    assert found.overlap(True)[0] == 1 and found.overlap(True)[1] < 0.7
    assert found.overlap(False) == (1, pytest.approx(0.5))
    assert "9 of 18 heads" in found.sentence() and not len(found.other_neurons)


def test_neurons_of_the_known_model_are_those_that_fire(model: CompiledTransformer, steps: StepSet) -> None:
    units = sparsify(model, steps, 0.1, 100)
    with only(model, units):
        assert steps.written(model) > 0.95
    assert not units["blocks.0.mlp.hook_post"].any()
    assert 0 < units["blocks.2.mlp.hook_post"].sum() < 43


def test_all_units_change_nothing_and_none_write_nothing(model: CompiledTransformer, steps: StepSet) -> None:
    every = all_units(model)
    with only(model, every):
        assert steps.written(model) == 1
    with only(model, {name: np.zeros_like(on) for name, on in every.items()}):
        assert steps.written(model) == 0
    assert steps.written(model) == 1


def test_where_nothing_suffices_it_is_said() -> None:
    other = numbers()
    graph = ComputationGraph.parse("4 = a; 2 = b; a + b = c; c + b = d", modulus=5, n_variables=16)
    found = minimal_subnetwork(other, [graph], [0.1], rounds=2, n_steps=4, draws=2)
    assert "no set writes 99%" in found.sentence()
    with pytest.raises(ValueError, match="that have one for each set"):
        minimal_subnetwork(other, [ComputationGraph.parse("4 = a", modulus=5, n_variables=16)])
