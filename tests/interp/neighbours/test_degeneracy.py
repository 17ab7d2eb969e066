"""Coefficients tell planted heads from idle ones, and an interaction basis leaves out what nothing reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from interp.neighbours.degeneracy import OF_PART, OF_WHOLE, WHOLE, all_parts, degeneracy, estimate
from interp.neighbours.interaction_basis import interaction_basis
from interp.neighbours.langevin import Sampler
from interp.neighbours.step_set import StepSet, step_sets
from models import ComputationGraph
from models.compiled import CompiledTransformer, compile_model

GRAPHS = [ComputationGraph.sample(8, ("ADD",), 3, modulus=5, seed=seed, n_variables=16) for seed in range(12)]


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def steps(model: CompiledTransformer) -> StepSet:
    return step_sets(model, GRAPHS, 8)[0]


def test_planted_heads_have_larger_coefficients_than_idle_ones(
    model: CompiledTransformer, steps: StepSet
) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.requires_grad_(True)
    sampler = Sampler(100, 100, 3e-4, 6, 10)
    parts = all_parts(model)
    planted = [head.kind != "idle" for head in model.circuit.heads]
    names = [f"{head.layer}.{head.head}" for head in model.circuit.heads]
    found = [estimate(model, steps, parts[name], sampler) for name in names]
    assert sum(planted) == 9 and roc_auc_score(planted, found) >= 0.95
    assert min(found) >= 0
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("sampler", [OF_WHOLE, OF_PART])
def test_chains_forget_where_they_began_before_they_are_counted(sampler: Sampler) -> None:
    assert sampler.burn >= 2 / (sampler.step * sampler.gamma)


def test_parts_are_all_weights_once(model: CompiledTransformer) -> None:
    parts = all_parts(model)
    counts = {name: sum(one.of(one.tensor).numel() for one in part) for name, part in parts.items()}
    assert counts[WHOLE] == sum(weight.numel() for weight in model.parameters())
    shared = sum(weight.numel() for name, weight in model.named_parameters() if name.endswith("b_O"))
    outside = sum(
        weight.numel() for name, weight in model.named_parameters() if not name.startswith("blocks.")
    )
    assert sum(counts.values()) - counts[WHOLE] == counts[WHOLE] - shared - outside


def test_an_interaction_basis_leaves_out_what_nothing_reads(model: CompiledTransformer) -> None:
    (steps,) = step_sets(model, GRAPHS, 24)
    found = interaction_basis(model, steps, 2)
    assert found.written["interaction"][-1] == found.written["random"][-1] == 1
    # Only the slot of the value is read behind the last layer, 5 values and their mean apart; far more varies.
    assert found.held[0] == 4 == int((found.strength > 1e-6 * found.strength[0]).sum())
    assert found.held[1] > 8
    directions, components = found.enough("interaction"), found.enough("principal")
    assert directions is not None and components is not None and directions < components
    with pytest.raises(ValueError, match="allowed: 0 to 2"):
        interaction_basis(model, steps, 3)


def test_a_study_has_its_controls(model: CompiledTransformer) -> None:
    text = ["4 = a; 2 = b; a + b = c; c + b = d"]
    graphs = [ComputationGraph.parse(one, modulus=5, n_variables=16) for one in text]
    asked = [weight.requires_grad for weight in model.parameters()]
    found = degeneracy(model, graphs, chains=1, n_steps=2, plateau=False, length=0.1)
    assert next(iter(found.parts)) == WHOLE and found.grid is None and found.over is None
    assert found.cost["mlp2"] > 1 > abs(found.cost["mlp0"])
    assert "chains are negative" in found.sentence()
    assert set(found.frames()) == {"basis"} and len(found.to_frame()) == 1 + 18 + 3
    assert asked == [weight.requires_grad for weight in model.parameters()]
    assert np.isfinite(found.parts[WHOLE]).all()
    with pytest.raises(ValueError, match="ran away at n beta 1e\\+20"):
        degeneracy(model, graphs, n_beta=1e20, chains=1, n_steps=2, plateau=False, length=0.2)
    with pytest.raises(ValueError, match="1 chain or more"):
        degeneracy(model, graphs, chains=0)
