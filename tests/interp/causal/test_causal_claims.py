"""What is due and what is not; what is needed and what suffices: on a model whose mechanism is known, and the rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyses import claims
from analyses.claims import NodeCircuit
from interp.causal.ablation import Component
from interp.causal.by_token import KINDS, by_token, token_kinds
from interp.causal.mlp_places import MlpPlaces, mlp_places
from interp.causal.sufficiency import Sufficiency, all_heads, keep_only, needed_heads
from interp.codebook.codes import code_usage
from interp.codebook.due import DueWrites, due_writes, unchanged
from interp.engine.sites import SiteError
from models import CompiledTransformer, ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
GRAPHS = [ComputationGraph.sample(9, n_leaves=3, seed=seed, **SIZES) for seed in (1, 4)]
NAN = float("nan")


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def untrained() -> RecurrentTransformer:
    cfg = RecurrentConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=16, seed=1, **SIZES)
    return RecurrentTransformer(cfg).eval()


# What is due -----------------------------------------------------------------------------------------------------


def test_a_right_hand_side_is_due_once_and_the_identity_map_writes_none(model: CompiledTransformer) -> None:
    usage = code_usage(model, GRAPHS, n_steps=8)
    found, identity = due_writes(usage), unchanged(usage)
    assert (found.due, found.written, found.changed) == (18, 18, 0)
    assert found.due + found.others == usage.codes[1:].size
    assert (identity.due, identity.written, identity.changed) == (18, 0, 0)
    share_of_all = (identity.others - identity.changed) / (identity.others + identity.due)
    assert share_of_all > 0.95, "counted over all symbols, changing nothing is nearly always right"


def test_a_wrong_symbol_anywhere_is_counted_apart(model: CompiledTransformer) -> None:
    usage = code_usage(model, GRAPHS, n_steps=8)
    codes = usage.codes.copy()
    codes[-1, 0, 0] += 1
    found = due_writes(replace(usage, codes=codes))
    assert (found.written, found.changed) == (18, 1)
    with pytest.raises(ValueError, match="known from the oracle"):
        due_writes(replace(usage, expected=None))


def test_the_identity_map_fails_the_claim_and_the_compiled_model_holds(
    model: CompiledTransformer, untrained: RecurrentTransformer
) -> None:
    usage = code_usage(model, GRAPHS, n_steps=8)
    own, identity, other = due_writes(usage), unchanged(usage), due_writes(code_usage(untrained, GRAPHS, 8))
    assert claims.only_values(own, identity, other).verdict == "holds"
    assert claims.only_values(identity, identity, other).verdict == "not"
    assert claims.only_values(other, identity, other).verdict == "not"


def test_what_else_changes_costs_the_verdict() -> None:
    nothing = DueWrites(100, 0, 1000, 0)

    def verdict(written: int, changed: int) -> str:
        return claims.only_values(DueWrites(100, written, 1000, changed), nothing, nothing).verdict

    assert [verdict(95, 0), verdict(94, 0), verdict(49, 0)] == ["holds", "partly", "not"]
    assert [verdict(100, 1), verdict(100, 50), verdict(100, 51)] == ["partly", "partly", "not"]
    assert claims.only_values(DueWrites(0, 0, 10, 0), nothing, nothing).verdict == "not"


# Which heads suffice ---------------------------------------------------------------------------------------------


def test_the_planted_heads_suffice_and_one_fewer_does_not(model: CompiledTransformer) -> None:
    planted = [Component(one.layer, one.head) for one in model.circuit.heads if one.kind != "idle"]
    found = keep_only(model, GRAPHS, planted, draws=3)
    assert found.solved == found.solved_without == 1 and found.solved_at_random < 1
    assert len({frozenset(one) for one in found.sets}) > 1
    assert {len(one) for one in found.sets} == {len(planted)}
    frame = found.to_frame()
    assert list(frame["random"]) == [False, True, True, True] and set(frame["shared"][:1]) == {len(planted)}
    figure: Any = found.figure()
    assert len(figure.data) == 2
    role = model.circuit.with_role("value:last")
    fewer = [one for one in planted if one != Component(role.layer, role.head)]
    assert keep_only(model, GRAPHS, fewer, draws=0).solved == 0


def test_needed_heads_are_planted_ones(model: CompiledTransformer) -> None:
    planted = {Component(one.layer, one.head) for one in model.circuit.heads if one.kind != "idle"}
    needed = needed_heads(model, GRAPHS)
    assert needed and set(needed) <= planted


def test_bad_sets_are_refused(model: CompiledTransformer) -> None:
    with pytest.raises(ValueError, match="MLP 0 cannot be among the heads"):
        keep_only(model, GRAPHS, [Component(0)])
    with pytest.raises(SiteError, match="no head 99"):
        keep_only(model, GRAPHS, [Component(0, 99)])
    with pytest.raises(ValueError, match="no graph"):
        keep_only(model, [], [Component(0, 0)])
    with pytest.raises(ValueError, match="allowed are zero, mean, resample"):
        keep_only(model, GRAPHS, [Component(0, 0)], method="max")
    every = all_heads(model)
    assert np.isnan(keep_only(model, GRAPHS[:1], every, draws=2).solved_at_random), "there is one such set"


def kept(solved: float, random: float, n: int = 2) -> Sufficiency:
    own, other = tuple(Component(0, k) for k in range(n)), tuple(Component(1, k) for k in range(n))
    nodes = np.array([[float(k < 10 * share) for k in range(10)] for share in (solved, random)])
    return Sufficiency("mean", (own, other), tuple(GRAPHS[:1] * 10), 4, nodes, np.ones(10))


def test_the_rule_of_sufficiency() -> None:
    assert claims.heads_suffice(kept(1, 0), kept(1, 0)).verdict == "holds"
    assert claims.heads_suffice(kept(1, 0.6), kept(1, 0)).verdict == "partly"
    assert claims.heads_suffice(kept(0, 0), kept(1, 0)).verdict == "partly"
    assert claims.heads_suffice(kept(0, 0), kept(1, 1)).verdict == "not"
    assert claims.heads_suffice(kept(0, 0), kept(0.9, 0)).verdict == "not"
    found = claims.heads_suffice(kept(0, 0), kept(1, 0, 3))
    assert "(0.0, 0.1) solve 0 of 10" in found.measured and "(0.0, 0.1, 0.2) 10" in found.measured
    none = replace(kept(0, 0), sets=((),), nodes=np.zeros((1, 10)))
    assert claims.heads_suffice(none, none).verdict == "not", "a model without such heads fails"


# The first MLP ---------------------------------------------------------------------------------------------------


def test_the_compiled_models_last_mlp_writes_at_right_hand_sides(model: CompiledTransformer) -> None:
    last = mlp_places(model, GRAPHS, model.cfg.n_layers - 1)
    assert (last.n_solved, last.count("rhs"), last.count("elsewhere")) == (2, 0, 2)
    assert list(last.to_frame()["graphs_solved"]) == [0, 2]
    assert mlp_places(model, GRAPHS, model.cfg.n_layers - 1, "mean").still_solved("rhs") == 0
    with pytest.raises(ValueError, match="allowed are zero, mean"):
        mlp_places(model, GRAPHS, 0, "resample")


def off(rhs: float, elsewhere: float) -> MlpPlaces:
    nodes = np.array([[float(k < 10 * share) for k in range(10)] for share in (rhs, elsewhere)])
    return MlpPlaces(0, "zero", nodes, np.ones(10))


def test_little_is_little_where_it_is_measured() -> None:
    everywhere = off(1, 1)
    assert [claims.first_mlp(x, 1.0, 1.0, everywhere).verdict for x in (0.09, 0.1, 0.25)] == [
        "holds",
        "partly",
        "not",
    ]
    found = claims.first_mlp(0.09, 1.0, 1.0, off(0.9, 0))
    assert found.verdict == "partly" and found.numbers["solved_without_elsewhere"] == 0
    assert "with it zeroed there at every step 9 of 10 graphs are still solved" in found.measured
    assert found.measured.endswith("with it zeroed everywhere else 0")
    assert claims.first_mlp(0.01, 1.0, 1.0, off(0.4, 1)).verdict == "not"
    unsolved = replace(everywhere, nodes_with=np.zeros(10))
    assert np.isnan(unsolved.still_solved("rhs"))
    nothing = claims.first_mlp(0.01, 1.0, 1.0, unsolved)
    assert nothing.verdict == "not" and nothing.measured.endswith("no graph is solved, even with it")


# Stories, node by node -------------------------------------------------------------------------------------------


def test_a_node_counts_only_whole() -> None:
    whole = NodeCircuit("x_1", 2, 3, 3, 3, 9, 9)
    assert whole.whole
    for changes in ({"names": 2}, {"values": 2}, {"backed": 8}, {"operands": 0, "names": 0, "values": 0}):
        assert not replace(whole, **changes).whole
    broken = replace(whole, node="x_2", values=2)
    assert claims.induction([whole] * 4, (0, 90)).verdict == "holds"
    assert claims.induction([whole] * 4, (9, 90)).verdict == "partly"
    found = claims.induction([whole] * 3 + [broken], (0, 90))
    assert found.verdict == "partly" and "not so: x_2" in found.measured
    assert [row["whole"] for row in found.numbers["nodes"]] == [True, True, True, False]
    assert claims.induction([whole] + [broken] * 3, (0, 90)).verdict == "not"
    assert claims.induction([], (0, 0)).verdict == "does not apply"


# Kinds of tokens -------------------------------------------------------------------------------------------------


def test_kinds_of_tokens_are_the_texts() -> None:
    graph = ComputationGraph.parse("1 = x_1; x_1 = x_2; x_2 + x_1 = x_3; x_1 + x_2 + x_3 = x_4", **SIZES)
    assert token_kinds(graph) == [
        *("given", "equals", "rhs:0", "separator", "operand:last", "equals", "rhs:1", "separator"),
        *("operand:middle", "operation", "operand:last", "equals", "rhs:2", "separator"),
        *("operand:first", "operation", "operand:middle", "operation", "operand:last", "equals", "rhs:3"),
    ]


def test_what_breaks_without_a_planted_head_is_its_operand(model: CompiledTransformer) -> None:
    graph = ComputationGraph.parse("1 = x_1; 2 = x_2; x_1 + x_2 = x_3; x_3 = x_4; x_4 + x_3 = x_5", **SIZES)
    heads = [model.circuit.with_role(f"value:{place}") for place in ("last", "middle")]
    name = next(one for one in model.circuit.heads if one.role == "name:last")
    wanted = [Component(one.layer, one.head) for one in (*heads, name)]
    found = by_token(model, [graph], wanted)
    value = 3
    one, two = KINDS.index("rhs:1"), KINDS.index("rhs:2")
    assert found.broken[0, one, value] > 0 and found.broken[1, one, value] == 0
    assert found.broken[0, two, value] > 0 and found.broken[1, two, value] > 0
    assert not found.broken[:, KINDS.index("operand:last")].any()
    frame = found.to_frame()
    looks = frame[(frame["head"] == f"{name.layer}.{name.head}") & (frame["token"] == "rhs:2")].iloc[0]
    assert (looks["looks_at"], looks["back"]) == ("operand:last", 2) and looks["attention"] > 0.99
    present = found.tokens > 0
    np.testing.assert_allclose(found.attention[:, present].sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found.distance[:, present].sum(-1), 1, atol=1e-5)
    figure: Any = found.figure()
    heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(heatmaps) == 2 * len(wanted)
    with pytest.raises(ValueError, match="no MLPs"):
        by_token(model, [graph], [Component(0)])
