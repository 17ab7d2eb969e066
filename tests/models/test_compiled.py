"""The ground truth: it solves every graph exactly, and its circuit data says what its weights do."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import CompiledTransformer, ComputationGraph, Trajectory, load
from models.compiled import compile_model

ALL_OPS = ("ADD", "SUB", "MUL")


@pytest.fixture(scope="module")
def compiled() -> CompiledTransformer:
    model = load("compiled")
    assert isinstance(model, CompiledTransformer)
    return model


def assert_perfect(model: CompiledTransformer, graphs: list[ComputationGraph]) -> Trajectory:
    run = model.run(graphs)
    assert run.fully_solved.all()
    assert torch.equal(run.solved_at, run.encoded.depths), "every value commits at its depth"
    assert torch.equal(run.fixed_point, run.encoded.depths.max(-1).values)
    assert not run.hit_bound.any()
    assert torch.equal(run.states[-1][..., :3], run.encoded.factors[..., :3]), "other factors are copied"
    elsewhere = torch.ones(run.states.shape[1:3], dtype=torch.bool)
    elsewhere.scatter_(1, run.encoded.rhs.clamp_min(0), False)
    assert torch.equal(run.states[-1][elsewhere], run.encoded.factors[elsewhere]), (
        "only right-hand sides change"
    )
    assert float(run.confidence.min()) > 1 - 1e-4
    return run


def test_solves_the_reference_graphs(compiled: CompiledTransformer, data: Path) -> None:
    lines = [json.loads(line) for line in (data / "graphs.jsonl").read_text().splitlines()]
    small = [line for line in lines if line["n_nodes"] < 128] + [
        line for line in lines if line["n_nodes"] == 128
    ][::4]
    graphs = [ComputationGraph.from_equations(line["equations"]) for line in small]
    run = assert_perfect(compiled, graphs)
    for row, line in enumerate(small):
        values = dict(
            zip([node.name for node in graphs[row].nodes], run.values[-1, row].tolist(), strict=False)
        )
        assert values == line["values"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9), n_nodes=st.integers(1, 24), n_leaves=st.integers(1, 8))
def test_solves_any_graph(compiled: CompiledTransformer, seed: int, n_nodes: int, n_leaves: int) -> None:
    assert_perfect(
        compiled, [ComputationGraph.sample(n_nodes, ops=ALL_OPS, n_leaves=min(n_leaves, n_nodes), seed=seed)]
    )


@pytest.mark.parametrize("op", ALL_OPS)
def test_every_pair_of_values(compiled: CompiledTransformer, op: str) -> None:
    """All 23 x 23 values of two operands, in one batch of states that differ in their leaves only."""
    graph = ComputationGraph.parse(f"0 = a; 0 = b; a {op} b = c")
    encoded = compiled.to_encoded([graph] * 529)
    left, right = torch.arange(23).repeat_interleave(23), torch.arange(23).repeat(23)
    state = encoded.factors.clone()
    state[:, 0, 3], state[:, 4, 3] = left, right
    run = compiled.run(encoded, initial_state=state, n_steps=2)
    expected = {"ADD": left + right, "SUB": left - right, "MUL": left * right}[op] % 23
    assert torch.equal(run.values[-1, :, 2], expected)


@pytest.mark.parametrize("text", ["a - b + c = d", "a * b - c = d", "a + b * c = d", "c - b * a = d"])
def test_three_operands_left_to_right(compiled: CompiledTransformer, text: str) -> None:
    graph = ComputationGraph.parse(f"5 = a; 17 = b; 9 = c; {text}")
    assert compiled.run(graph).values[-1, 0, 3] == graph.evaluate()["d"]


def test_corruption_is_overwritten_one_step_later(compiled: CompiledTransformer) -> None:
    graph = ComputationGraph.sample(24, ops=ALL_OPS, seed=3)
    run = compiled.run(graph)
    generator = torch.Generator().manual_seed(0)
    state = run.states[-1].clone()
    rhs = run.encoded.rhs[0]
    state[0, rhs, 3] = torch.randint(0, 25, (len(rhs),), generator=generator)
    healed = compiled.run(graph, initial_state=state)
    assert healed.fully_solved.all()
    operand_nodes = run.encoded.operand_nodes[0]
    for node, operands in enumerate(operand_nodes.tolist()):
        if all(int(state[0, rhs[o], 3]) == int(run.encoded.values[0, o]) for o in operands if o >= 0):
            assert healed.values[1, 0, node] == run.encoded.values[0, node]


@pytest.mark.parametrize(
    ("ops", "modulus", "n_variables"), [(("ADD",), 5, 16), (("MUL", "SUB"), 7, 9), (ALL_OPS, 2, 40)]
)
def test_other_tasks(ops: tuple[str, ...], modulus: int, n_variables: int) -> None:
    model = compile_model(ops, modulus, n_variables)
    graphs = [
        ComputationGraph.sample(9, ops=ops, modulus=modulus, n_variables=n_variables, n_leaves=3, seed=seed)
        for seed in range(4)
    ]
    assert_perfect(model, graphs)


# ---- the circuit data --------------------------------------------------------------------------------------


def test_offset_heads_attend_where_the_circuit_says(compiled: CompiledTransformer) -> None:
    graph = ComputationGraph.sample(20, ops=ALL_OPS, seed=8)
    _, cache = compiled.run_with_cache(graph, steps=[0, 3], names="hook_pattern")
    pattern = cache["blocks.0.attn.hook_pattern"]
    offsets = [head for head in compiled.circuit.heads if head.kind == "offset"]
    assert [head.offset for head in offsets] == [1, 2, 3, 4, 5, 6]
    for offset, head in enumerate(offsets, start=1):
        weights = pattern[:, 0, head.head].diagonal(offset=-offset, dim1=-2, dim2=-1)
        assert torch.equal(weights, torch.ones_like(weights))


def test_lookup_heads_attend_to_the_operands_right_hand_side(compiled: CompiledTransformer) -> None:
    graph = ComputationGraph.sample(30, ops=ALL_OPS, seed=9)
    encoded = compiled.to_encoded(graph)
    _, cache = compiled.run_with_cache(graph, steps=[0, 4], names="hook_pattern")
    looked_up = 0
    for head in (head for head in compiled.circuit.heads if head.kind == "lookup"):
        (from_end,) = head.operands
        pattern = cache[f"blocks.{head.layer}.attn.hook_pattern"][:, 0, head.head]
        for node in range(len(graph)):
            operands = [o for o in encoded.operand_nodes[0, node].tolist() if o >= 0]
            if len(operands) > from_end:
                source = encoded.rhs[0, operands[-1 - from_end]]
                assert torch.allclose(pattern[:, encoded.rhs[0, node], source], torch.ones(2), atol=1e-6)
                looked_up += 1
    assert looked_up > 40


def test_idle_heads_write_nothing_and_busy_ones_do(compiled: CompiledTransformer) -> None:
    for head in compiled.circuit.heads:
        norm = float(compiled.W_O[head.layer, head.head].abs().sum())
        assert (norm == 0) == (head.kind == "idle"), head
        for slot in head.writes:
            assert compiled.W_O[head.layer, head.head][:, compiled.circuit.slots[slot]].abs().sum() > 0
        for slot in head.reads:
            assert compiled.W_V[head.layer, head.head][compiled.circuit.slots[slot]].abs().sum() > 0
    for mlp in compiled.circuit.mlps:
        assert (float(compiled.W_out[mlp.layer].abs().sum()) == 0) == (mlp.kind == "idle")


def test_heads_are_necessary(compiled: CompiledTransformer) -> None:
    """Switching a busy head off breaks the runs it serves; switching an idle head off changes nothing."""
    graphs = [ComputationGraph.sample(14, ops=ALL_OPS, seed=seed) for seed in range(2)]
    for head in compiled.circuit.heads:
        name = f"blocks.{head.layer}.attn.hook_z"

        def off(z: torch.Tensor, hook: object, index: int = head.head) -> torch.Tensor:
            z = z.clone()
            z[:, :, index] = 0
            return z

        with compiled.hooks(fwd_hooks=[(lambda n, name=name: n.endswith(name), off)]):
            run = compiled.run(graphs, n_steps=7)
        assert bool(run.fully_solved.all()) == (head.kind == "idle"), head


def test_a_copy_knows_its_circuit(compiled: CompiledTransformer) -> None:
    clone = copy.deepcopy(compiled)
    assert clone.circuit == compiled.circuit
    assert all(torch.equal(a, b) for a, b in zip(clone.parameters(), compiled.parameters(), strict=True))


def test_circuit_look_up_errors(compiled: CompiledTransformer) -> None:
    assert compiled.circuit.with_role("value:last") is compiled.circuit.head(2, 0)
    with pytest.raises(KeyError, match="no head 9 in layer 0"):
        compiled.circuit.head(0, 9)
    with pytest.raises(KeyError, match="there are"):
        compiled.circuit.with_role("induction")


# ---- spare heads -------------------------------------------------------------------------------------------


def test_spare_heads_are_named_and_no_graph_needs_them() -> None:
    model = compile_model(spare_heads=True)
    graphs = [ComputationGraph.sample(n, ops=ALL_OPS, seed=n) for n in (14, 40)]
    assert_perfect(model, graphs)
    twins = model.circuit.all_with_role("name:first")
    assert [(head.head, head.necessity) for head in twins] == [(5, "redundant"), (6, "redundant")]
    assert model.circuit.head(1, 2).necessity == "decoy"
    read_by_keys = [W[..., model.circuit.slots["decoy"], :] for W in (model.W_Q, model.W_K, model.W_V)]
    assert not any(bool(weight.any()) for weight in read_by_keys)
    assert not model.W_in[:, model.circuit.slots["decoy"]].any()
    assert not model.W_U[model.circuit.slots["decoy"]].any()
