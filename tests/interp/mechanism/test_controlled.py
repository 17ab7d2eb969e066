"""Controlled perturbations: exactly one thing differs, and the oracle says what follows from it."""

from __future__ import annotations

import pytest
import torch

from interp.engine.interventions import record
from interp.mechanism.perturbed import ControlledError, append_equation, controlled, perturbations_of
from models.compiled import CompiledTransformer, compile_model
from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

TEXT = "3 = a; 1 = b; 4 = c; a - b = d; d + c - a = e; e = f"


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD", "SUB"), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def graph() -> ComputationGraph:
    return ComputationGraph.parse(TEXT, modulus=5, n_variables=16)


def differing(states: torch.Tensor) -> set[tuple[int, int]]:
    """(position, factor) at which some state is not the first."""
    return {(int(pos), int(factor)) for _, pos, factor in (states != states[0]).nonzero()}


def test_each_perturbation_touches_one_thing(model: CompiledTransformer, graph: ComputationGraph) -> None:
    run = record(model, graph, n_steps=5)
    encoded = run.encoded
    e, (first, second, third) = 4, encoded.operands[0, 4].tolist()
    rhs = encoded.rhs[0].tolist()
    touched = {
        vary: differing(controlled(model, run, vary, node=e).states)
        for vary in perturbations_of(graph.nodes[e])
    }
    assert touched["operand:0"] == touched["operand_name:0"] == {(first, 1)}
    assert touched["operand:2"] == {(third, 1)}
    assert touched["operand_value:0"] == {(rhs[3], 3)}
    assert touched["operand_value:1"] == {(rhs[2], 3), (rhs[2] - 2, 3)}, "a leaf's number says the same"
    assert touched["rhs_name"] == {(rhs[e], 1)}
    assert touched["operation:0"] == {(first + 1, 2)} and touched["operation:1"] == {(second + 1, 2)}


def test_the_state_that_is_there_is_the_first_and_the_truth_is_the_algorithms(
    model: CompiledTransformer, graph: ComputationGraph
) -> None:
    run = record(model, graph, n_steps=5)
    values = controlled(model, run, "operand_value:1", node=4)
    assert values.status == "computing" and values.step == 2
    assert torch.equal(values.states[0], run.trajectory.states[2, 0])
    d, a = 2, 3
    expected = [(d + int(c) - a) % 5 for c in values.labels]
    assert values.truth(model.vocabulary).tolist() == expected
    names = controlled(model, run, "operand_name:1", node=4)
    assert set(names.truth(model.vocabulary).tolist()) == {expected[0]}, "only the name varies"
    operands = controlled(model, run, "operand:1", node=4)
    by_name = {"a": 3, "b": 1, "c": 4, "d": 2}
    assert operands.truth(model.vocabulary).tolist() == [(d + by_name[x] - a) % 5 for x in operands.labels]


def test_the_model_answers_every_variation_as_the_oracle(
    model: CompiledTransformer, graph: ComputationGraph
) -> None:
    run = record(model, graph, n_steps=5)
    made: list[tuple[str, int]] = []
    for vary in perturbations_of(graph.nodes[4]):
        for step in (1, 2, 3):
            if step == 1 and vary in ("operand:0", "operand_name:0", "operand_value:0"):
                continue  # d shows nothing yet, and no other node that could stand there does not either
            states = controlled(model, run, vary, node=4, step=step)
            answer = model.discretise(model.transition(states.states, step))
            assert torch.equal(answer[:, states.rhs, 3], states.truth(model.vocabulary)), vary
            made.append((states.status, step))
    assert set(made) == {("waiting", 1), ("computing", 2), ("done", 3)}
    with pytest.raises(ControlledError, match="shows no value at step 1"):
        controlled(model, run, "operand_value:0", node=4, step=1)


def test_an_equation_can_be_appended(graph: ComputationGraph) -> None:
    longer = append_equation(graph, (0, 3), "SUB")
    assert longer.nodes[:-1] == graph.nodes and longer.values_by_node[-1] == (3 - 2) % 5
    drawn = append_equation(graph, 3, "ADD", seed=1)
    assert drawn == append_equation(graph, 3, "ADD", seed=1) != append_equation(graph, 3, "ADD", seed=2)
    with pytest.raises(ControlledError, match="7 operands of a graph of 6 nodes"):
        append_equation(graph, 7)


def test_fewer_variations_keep_the_first(model: CompiledTransformer, graph: ComputationGraph) -> None:
    every = controlled(model, graph, "rhs_name", node=4)
    some = controlled(model, graph, "rhs_name", node=4, n=4, seed=3)
    assert len(every) == 16 - 6 + 1 and len(some) == 4
    assert some.labels[0] == "e" and set(some.labels) <= set(every.labels)


@pytest.mark.parametrize(
    ("vary", "node", "step", "message"),
    [
        ("operand:3", 4, None, "vary is 'operand:3'; allowed at node e: operand:0"),
        ("operand:0", 1, None, "b is a leaf"),
        ("colour", 4, None, "vary is 'colour'"),
        ("operand:0", 9, None, "there is no node 9"),
        ("operand:0", 4, 99, "step 99 is beyond the run"),
    ],
)
def test_bad_requests_say_what_is_allowed(
    model: CompiledTransformer, graph: ComputationGraph, vary: str, node: int, step: int | None, message: str
) -> None:
    with pytest.raises(ControlledError, match=message):
        controlled(model, graph, vary, node, step)


def test_a_hidden_state_is_moved_to_show_the_variation(graph: ComputationGraph) -> None:
    cfg = RecurrentConfig(
        bottleneck="continuous", method="continuous", modulus=5, n_variables=16, ops=("ADD", "SUB")
    )
    continuous = RecurrentTransformer(cfg).eval()
    run = record(continuous, graph, n_steps=4)
    for vary, step in (("operand:0", 0), ("rhs_name", 2)):
        states = controlled(continuous, run, vary, node=4, step=step)
        assert states.hidden is not None
        own, shown = run.activation("hook_embed", step), run.trajectory.states[step, 0]
        same = (states.states == shown).all(-1)
        assert torch.equal(states.hidden[same], own.expand_as(states.hidden)[same]) and not bool(same.all())
        logits = continuous.unembed(states.hidden)[..., continuous.vocabulary.slice("variable")]
        before = continuous.unembed(own[None])[0][..., continuous.vocabulary.slice("variable")]
        for row, pos in (~same).nonzero().tolist():
            wanted, was = int(states.states[row, pos, 1]), int(shown[pos, 1])
            torch.testing.assert_close(logits[row, pos, wanted], before[pos, was])
            torch.testing.assert_close(logits[row, pos, was], before[pos, wanted])


def test_a_continuous_model_of_fixed_steps_is_refused(graph: ComputationGraph) -> None:
    cfg = RecurrentConfig(
        bottleneck="continuous",
        method="recurrent",
        default_steps=3,
        modulus=5,
        n_variables=16,
        ops=("ADD", "SUB"),
    )
    with pytest.raises(ControlledError, match="supervised after the last of 3 steps alone"):
        controlled(RecurrentTransformer(cfg).eval(), graph, "operand:0")
