"""Head roles: the planted heads are named exactly, untrained ones not at all, and numbers agree with plain loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from interp.engine.following import BaseRun
from interp.engine.interventions import record
from interp.mechanism.attention_roles import N_OFFSETS, ROLES, attention_targets
from interp.mechanism.heads import HeadRoles, head_roles
from interp.mechanism.perturbed import controlled
from interp.mechanism.variances import HeadVariance, _sums, head_outputs, head_variance
from models.compiled import CompiledTransformer, compile_model
from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

OPS = ("ADD", "SUB")
PLACES = ("last", "middle", "first")


def graphs_of(n: int = 3) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(10, ops=OPS, n_leaves=4, modulus=5, n_variables=16, seed=seed)
        for seed in range(n)
    ]


def untrained_model(**settings: Any) -> RecurrentTransformer:
    cfg = RecurrentConfig(modulus=5, n_variables=16, ops=OPS, n_layers=2, d_model=32, d_head=8, **settings)
    return RecurrentTransformer(cfg).eval()


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(OPS, modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def roles(model: CompiledTransformer) -> HeadRoles:
    return head_roles(model, graphs_of(), n=5)


def test_the_planted_heads_are_found_with_offset_and_operand(
    model: CompiledTransformer, roles: HeadRoles
) -> None:
    words = {"is_rhs": "equals", "operation:late": "operation:last", "operation:early": "operation:middle"}
    for planted in model.circuit.heads:
        found = roles.at(planted.layer, planted.head)
        assert found.kind == planted.kind, found
        assert found.offset == planted.offset, found
        if planted.kind != "idle":
            assert words.get(planted.role, planted.role) in found.roles, found
            assert found.mass == pytest.approx(1.0, abs=1e-6)


def test_the_planted_heads_respond_to_their_operand_alone(
    model: CompiledTransformer, roles: HeadRoles
) -> None:
    for layer, head, place in ((0, 1, "last"), (0, 3, "middle"), (0, 5, "first")):
        for other in PLACES:
            moved = roles.variance.relative(f"operand_name:{other}")[layer, head]
            assert moved > 0.3 if other == place else moved == 0.0
        assert roles.variance.relative("rhs_name")[layer, head] == 0.0
    for layer, head, place in ((1, 0, "first"), (1, 1, "middle"), (2, 0, "last")):
        assert roles.variance.relative(f"operand_value:{place}")[layer, head] > 0.5
        assert roles.variance.relative(f"operand_name:{place}")[layer, head] == pytest.approx(0.0, abs=1e-9)


def test_planted_heads_are_grouped_apart_and_idle_ones_together(
    model: CompiledTransformer, roles: HeadRoles
) -> None:
    idle = [(head.layer, head.head) for head in model.circuit.heads if head.kind == "idle"]
    assert idle in roles.groups.groups
    assert len(roles.groups.groups) == 1 + len(model.circuit.heads) - len(idle)
    assert roles.groups.stability > 0.9


def test_an_untrained_model_has_no_roles() -> None:
    untrained = untrained_model(n_heads=4, seed=1)
    found = head_roles(untrained, graphs_of(2), n=4)
    assert {head.kind for head in found.heads} == {"none"}
    targets = found.targets
    above = targets.over_steps(targets.mass) - targets.over_steps(targets.chance[..., None, None])
    assert np.nanmax(above) < 0.35


def test_relative_variance_is_the_formula(model: CompiledTransformer) -> None:
    graph = graphs_of(1)[0]
    node = next(i for i, node in enumerate(graph.nodes) if len(node.operands) == 3)
    measured = head_variance(model, [graph], [node], statuses=("computing",))
    states = controlled(model, graph, "operand:2", node)
    outputs = head_outputs(model, states).numpy()
    mean = outputs.mean(0)
    n = len(outputs)
    expected = ((outputs - mean) ** 2).sum(-1).sum(0) / (n - 1) / (outputs**2).sum(-1).mean(0)
    np.testing.assert_allclose(measured.relative("operand:last")[0], expected[0], rtol=1e-5, atol=1e-9)


def test_planted_heads_are_found_in_a_continuous_model(model: CompiledTransformer) -> None:
    """The compiled weights without a bottleneck, whose slots fill up: what is named is named as in the other."""
    cfg = RecurrentConfig.from_dict(
        model.cfg.to_dict() | {"bottleneck": "continuous", "method": "continuous"}
    )
    continuous = RecurrentTransformer(cfg).eval()
    continuous.load_state_dict(model.state_dict())
    found = head_roles(continuous, graphs_of(), n=5)
    named = {(role.layer, role.head): role.kind for role in found.heads if role.kind != "idle"}
    lookups = [head for head in model.circuit.heads if head.kind == "lookup"]
    assert (
        all(found.at(head.layer, head.head).roles == (head.role,) for head in lookups) and len(lookups) == 3
    )
    assert all(kind == model.circuit.head(*place).kind for place, kind in named.items())


def test_the_variance_is_unbiased_and_its_interval_is_over_graphs() -> None:
    """Outputs +1 and -1, drawn in pairs, have variance 1: the mean of all pairs' estimates is 1, not 1/2."""
    pairs = [torch.tensor(pair, dtype=torch.float64) for pair in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    spread, size = np.mean([_sums(pair[:, None, None, None]) for pair in pairs], axis=0)
    assert (spread.item(), size.item()) == (1.0, 1.0)
    table = pd.DataFrame(
        {"graph": [0, 0, 1, 2], "vary": "rhs_name", "status": "computing", "step": 1, "n_variations": 4}
    )
    varying = np.array([1.0, 1.0, 2.0, 2.0])[:, None, None] * np.ones((1, 1, 2))
    found = HeadVariance(table, varying, np.full((4, 1, 2), 4.0) * [1.0, 0.0])
    low, high = found.interval("rhs_name")
    assert found.relative("rhs_name")[0, 0] == 6 / 16
    assert (low[0, 0], high[0, 0]) == (1 / 4, 1 / 2) and np.isnan([low[0, 1], high[0, 1]]).all()
    row = found.to_frame().query("step == 'all' and head == 0").iloc[0]
    assert (row["low"], row["high"]) == (1 / 4, 1 / 2)
    alone = HeadVariance(table[:2], varying[:2], np.full((2, 1, 2), 4.0))
    assert alone.relative("rhs_name")[0, 0] == 1 / 4 and np.isnan(alone.interval("rhs_name")).all()


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
def test_resuming_a_step_gives_the_same_outputs(bottleneck: str) -> None:
    model = untrained_model(n_heads=4, positions="relative_bias", bottleneck=bottleneck)
    graph = graphs_of(1)[0]
    run = record(model, graph, n_steps=4)
    base = BaseRun.of(model, run, 4)
    for vary in ("operand:0", "rhs_name"):
        states = controlled(model, run, vary, step=2)
        plain, resumed = head_outputs(model, states), head_outputs(model, states, base)
        torch.testing.assert_close(plain, resumed, rtol=1e-4, atol=1e-5)


def test_attention_by_role_is_a_plain_sum_over_the_pattern(model: CompiledTransformer) -> None:
    graph = graphs_of(1)[0]
    untrained = untrained_model(n_heads=4)
    n_steps, step = 3, 1
    targets = attention_targets(untrained, [graph], n_steps)
    encoded = untrained.to_encoded(graph)
    _, cache = untrained.run_with_cache(encoded, steps=[step], names="hook_pattern", n_steps=n_steps)
    pattern = cache["blocks.1.attn.hook_pattern"][0, 0].numpy()  # [head, dest, src]
    nodes = [i for i, depth in enumerate(graph.depths_by_node) if depth == step]
    rhs = encoded.rhs[0].tolist()
    last = [pattern[:, rhs[i], rhs[graph.nodes[i].operands[-1]]] for i in nodes]
    np.testing.assert_allclose(
        targets.mass[1, step, ROLES.index("value:last"), 1], np.mean(last, 0), rtol=1e-5
    )
    entropy = [
        -(p[p > 0] * np.log2(p[p > 0])).sum() for p in (pattern[0, rhs[i], : rhs[i] + 1] for i in nodes)
    ]
    assert targets.entropy[1, step, 1, 0] == pytest.approx(np.mean(entropy), rel=1e-5)
    far = [i for i in nodes if rhs[i] >= N_OFFSETS - 1]
    three = [pattern[0, rhs[i], rhs[i] - 3] for i in far]
    assert targets.offsets[1, step, 3, 1, 0] == pytest.approx(np.mean(three), rel=1e-5)
    everything = targets.offsets[1, step].sum(0)
    np.testing.assert_allclose(everything, 1.0, rtol=1e-5)


def test_stability_is_one_where_nothing_changes_and_transformer_lens_agrees(roles: HeadRoles) -> None:
    targets = roles.targets
    assert np.isnan(targets.stability[0]).all()
    np.testing.assert_allclose(targets.stability[1:, 0], 1.0, rtol=1e-5)  # offsets do not depend on the state
    previous = targets.detected[0]  # [step, layer, head]
    assert (previous[:, 0].argmax(-1) == 0).all() and (previous[:, 0, 0] > 0.9).all()


def test_the_frame_has_a_line_a_head_and_the_figure_all_of_them(roles: HeadRoles) -> None:
    frame = roles.to_frame()
    assert len(frame) == len(roles.heads) == 18
    moved = frame[(frame["layer"] == 0) & (frame["head"] == 1)].iloc[0]
    assert moved["operand_name:last:low"] <= moved["operand_name:last"] <= moved["operand_name:last:high"]
    line = frame[(frame["layer"] == 1) & (frame["head"] == 0)].iloc[0]
    assert (line["kind"], line["roles"]) == ("lookup", "value:first")
    relative, attention = (trace for trace in roles.figure().data if trace.type == "heatmap")
    assert np.shape(relative.z) == (len(roles.variance.perturbations), 18)
    assert np.shape(attention.z) == (len(ROLES), 18)
    assert np.nansum(np.array(attention.z), 0).max() > 1.5  # leaves look at their number, others at a name
    assert {
        f"<b>{title}</b>"
        for title in ("What its output depends on", "Where it looks from the right-hand side")
    } == {note.text for note in roles.figure().layout.annotations}
    assert "95 % interval" in relative.text[0][1] and "interval" not in attention.text[0][1]


def test_a_head_without_a_role_is_named_by_its_distance(roles: HeadRoles) -> None:
    moved = tuple(replace(head, kind="offset", roles=(), offset=3) for head in roles.heads)
    labels = replace(roles, heads=moved).figure().layout.xaxis2.ticktext
    assert labels[0] == "0.0 offset: 3 back"


def test_bad_input_is_refused(model: CompiledTransformer) -> None:
    with pytest.raises(ValueError, match="there are no graphs"):
        attention_targets(model, [])
    with pytest.raises(ValueError, match="status 'late' is unknown"):
        head_variance(model, graphs_of(1), statuses=("late",))
    with pytest.raises(ValueError, match="2 nodes for 1 graphs"):
        head_variance(model, graphs_of(1), nodes=[4, 5])
