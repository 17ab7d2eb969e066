"""Why runs fail, on models that fail for a known reason: planted dilution, damage, drift, mistakes, few steps."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from interp.failures.drifting import COPIED, drifting, hidden_steps
from interp.failures.fetching import fetching
from interp.failures.losing_place import KINDS, classified, losing_place, solution_places
from interp.failures.reaching import reaching
from interp.failures.schedule import by_size, right_state
from interp.failures.sharpening import CONTROL, FETCHING, sharpened, sharpening
from interp.failures.snapping import LATE, MOMENTS, NEVER, PLACEBO, snapping
from interp.failures.writes import due_writes, writes
from interp.statistics.shares import Share, solves_more
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from models.solving import solve
from models.training.objectives.chain_of_thought import write_thoughts
from models.training.sampling import PADDING, batch_of
from models.training.transition import true_values

SIZES = {"modulus": 5, "n_variables": 64}
DILUTED, DAMAGED = (1, 1), (2, 0)


def sampled(n_nodes: int, count: int) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(n_nodes=n_nodes, ops=("ADD",), seed=seed, **SIZES) for seed in range(count)
    ]


@pytest.fixture(scope="module")
def compiled():
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def graphs() -> list[ComputationGraph]:
    return sampled(8, 8) + sampled(32, 8)


@pytest.fixture(scope="module")
def diluted(compiled):
    """Its head for the middle operand has scores so low that among many keys the right one gets too little."""
    return sharpened(compiled, [DILUTED], 0.03)


@pytest.fixture(scope="module")
def damaged(compiled):
    """Its head for the last operand cannot tell names apart that differ in three of their bits."""
    model = copy.deepcopy(compiled)
    bits = compiled.circuit.slots["name"]
    with torch.no_grad():
        model.layers[DAMAGED[0]].attn.W_K[DAMAGED[1], bits.start : bits.start + 3] = 0
    return model


@pytest.fixture(scope="module")
def continuous(compiled):
    """The same weights without a bottleneck: what a step leaves in its slots is there in the next, which is drift."""
    cfg = RecurrentConfig.from_dict(
        compiled.cfg.to_dict() | {"bottleneck": "continuous", "method": "continuous"}
    )
    model = RecurrentTransformer(cfg).eval()
    model.load_state_dict(compiled.state_dict())
    return model


# Wrong writes ----------------------------------------------------------------------------------------------------


def test_a_model_without_failures_has_none(compiled, graphs):
    found = writes(compiled, graphs)
    assert found.failed == [] and len(found.first) == 0
    assert found.due["right"].all() and found.due["clean"].all() and not found.due["wrong_later"].any()
    assert len(found.due) == sum(map(len, graphs))
    assert found.verdict() == "all 16 graphs are solved, so there is no first wrong write"
    assert [(one.predicted, one.from_smallest, one.solved.value) for one in found.compounding()] == [
        (1, 1, 1)
    ] * 2
    assert (
        fetching(compiled, found)
        .verdict()
        .endswith("no clean write, one whose operands are all right, was wrong")
    )


def test_the_first_wrong_write_is_that_of_the_states(diluted, graphs):
    found = writes(diluted, graphs)
    assert found.failed
    for index in found.failed:
        run, graph = diluted.run(graphs[index]), graphs[index]
        step = next(
            t for t in range(run.n_steps)
            if (run.states[t + 1] != right_state(run.encoded, t + 1, diluted.vocabulary.empty)).any()
        )  # fmt: skip
        rows = found.first[found.first["graph"] == index]
        assert set(rows["step"]) == {step} and found.runs["first_step"][index] == step
        wrong = [
            node for node, depth in enumerate(graph.depths_by_node)
            if depth == step and not bool(run.right[step + 1, 0, node])
        ]  # fmt: skip
        assert rows[rows["kind"] == "value"]["node"].tolist() == wrong
        row = rows.iloc[0]
        node, rhs = graph.nodes[row["node"]], run.encoded.rhs[0]
        assert row["operands"] == len(node.operands) and row["position"] == rhs[row["node"]]
        assert row["distance"] == max(int(rhs[row["node"]] - rhs[operand]) for operand in node.operands)


def test_kinds_of_wrong_tokens_and_repair(compiled):
    """A run with errors put in: a value lost and right again, one that stays wrong, and a node that reads it."""
    graph = ComputationGraph.parse("1 = a; 2 = b; a + b = c; c + a = d", **SIZES)
    run = compiled.run(graph, n_steps=6)
    states = run.states.clone()
    rhs = run.encoded.rhs[0]
    states[2, 0, rhs[0], 3] = 4  # a was right, is lost, and comes back
    states[2:, 0, rhs[2], 3] = 0  # c is wrong from the first
    states[3:, 0, rhs[3], 3] = 1  # d = c + a of what c shows
    rows = pd.DataFrame(due_writes(replace(run, states=states), [0])).set_index("name")
    assert rows["right"].to_dict() == {"a": True, "b": True, "c": False, "d": False}
    assert rows["clean"].to_dict() == {"a": True, "b": True, "c": True, "d": False}
    assert rows["wrong_later"].to_dict() == {"a": True, "b": False, "c": True, "d": True}
    assert rows["repaired"].to_dict() == {"a": True, "b": False, "c": False, "d": False}


def test_independent_errors_compound(diluted, graphs):
    found = writes(diluted, graphs)
    for one in found.compounding():
        part = found.clean(one.n_nodes)
        inner, leaves = part[part["operands"] > 0], part[part["operands"] == 0]
        assert one.errors == Share(int((~inner["right"]).sum()), len(inner)) and leaves["right"].all()
        assert one.predicted == pytest.approx((1 - one.errors.value) ** (one.n_nodes - 6))
    assert "If errors were independent" in found.verdict()
    by_operands = found.errors_by("operands").query("nodes == 32").set_index("group")
    assert (
        by_operands.loc[1, "count"] == 0 < by_operands.loc[3, "count"]
    )  # one operand is the last, not the middle
    with pytest.raises(ValueError, match="errors by 'name'; allowed: operands"):
        found.errors_by("name")


# Attention -------------------------------------------------------------------------------------------------------


def test_planted_dilution_is_found_and_mended(diluted, graphs):
    found = writes(diluted, graphs)
    looked = fetching(diluted, found)
    named = looked.failing()
    assert named is not None and (named.layer, named.head, named.place) == (*DILUTED, "middle")
    wrong = looked.rows(named, right=False)
    assert (wrong["margin"] > 0).all() and looked.misses(named, False).above(looked.misses(named, True))
    masses = looked.by_size().query("layer == 1 and head == 1 and right").set_index("nodes")["mass"]
    assert masses[32] < masses[8] - 0.1
    sharper = sharpening(diluted, graphs, looked.heads, looked.others, (2.0,))
    assert sharper.mends and sharper.verdict().endswith(": dilution")
    assert sharper.share(FETCHING, 2.0).value == 1 and sharper.mended(CONTROL, 2.0).count == 0
    assert sharper.mended("head 1.1", 2.0).value == 1 and sharper.mended("head 2.0", 2.0).value == 0


def test_damage_is_no_dilution(damaged, graphs):
    found = writes(damaged, graphs)
    looked = fetching(damaged, found)
    named = looked.failing()
    assert named is not None and (named.layer, named.head, named.place) == (*DAMAGED, "last")
    assert (looked.rows(named, right=False)["margin"] <= 1e-4).mean() > 0.9
    sharper = sharpening(damaged, graphs, looked.heads, looked.others, (2.0,))
    assert not sharper.mends and "dilution is not" in sharper.verdict()


def test_sharpened_scores_are_the_scores_times_a_factor(graphs):
    for positions in ("relative_bias", "deberta", "rotary"):
        cfg = RecurrentConfig(
            n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, positions=positions, seed=1, **SIZES
        )
        model = RecurrentTransformer(cfg).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "pos" in name or "b_Q" in name:
                    weight.normal_(generator=torch.Generator().manual_seed(0))
        scores = {}
        for name, one in (("plain", model), ("sharp", sharpened(model, [(0, 1)], 2.5))):
            _, cache = one.run_with_cache(graphs[0], steps=[0], names="hook_attn_scores")
            scores[name] = cache["blocks.0.attn.hook_attn_scores"][0, 0]
        assert torch.equal(scores["plain"][0], scores["sharp"][0])
        torch.testing.assert_close(scores["sharp"][1], 2.5 * scores["plain"][1])
    with pytest.raises(ValueError, match="there is no head 1.0"):
        sharpened(model, [(1, 0)], 2.0)
    with pytest.raises(ValueError, match="factor is 0"):
        sharpened(model, [(0, 0)], 0.0)


# Drift and snapping ----------------------------------------------------------------------------------------------


def test_hidden_steps_are_those_of_the_run(continuous, compiled, graphs):
    for model in (continuous, compiled):
        for _, _, encoded in by_size(model, graphs[:4]):
            run = model.run(encoded, n_steps=4)
            states = torch.stack([state for _, state in hidden_steps(model, encoded, 4)])
            assert torch.equal(states, run.states)


def test_a_discrete_run_does_not_drift_and_snapping_changes_nothing(compiled, graphs):
    found = drifting(compiled, graphs)
    for size in (8, 32):
        assert (found.of("rhs_distance", size) == 0).all() and (found.of("text_own", size) == 0).all()
        assert all((found.of(f"{name}_right", size) == 1).all() for name in (*COPIED, "value"))
        assert found.another[size] > 0.5
    snapped = snapping(compiled, graphs, (1, 4))
    assert all(np.array_equal(flags, snapped.solved[NEVER]) for flags in snapped.solved.values())
    assert all(snapped.share(NEVER, moment, 32).value == 1 for moment in MOMENTS)
    assert not snapped.heals("late", 32)


def test_planted_drift_is_seen_and_healed_by_snapping_alone(continuous, compiled, graphs):
    found = drifting(continuous, graphs)
    assert found.of("rhs_distance", 8)[0] == 0 and found.of("rhs_distance", 8)[2] > 0.3
    snapped = snapping(continuous, graphs, (1, 2))
    for size in (8, 32):
        assert snapped.share("1", "on_time", size) == snapped.share("1", "late", size) == Share(8, 8)
        assert snapped.share(NEVER, "late", size).count == snapped.share(PLACEBO, "late", size).count == 0
        assert snapped.heals("late", size)
    assert snapped.verdict().count("snapping heals (on time, best, late)") == 2
    run = compiled.run(graphs[8:], n_steps=len(snapped.solved["1"]))
    right = (run.right[1:] | (run.encoded.rhs < 0)).all(-1).numpy()
    steps = LATE * int(snapped.needed[8:].max())
    assert np.array_equal(snapped.solved["1"][:steps, 8:], right[:steps])


def test_what_has_no_state_by_step_is_refused(compiled, graphs):
    for options in ({"method": "recurrent", "default_steps": 3}, {"method": "chain-of-thought"}):
        model = RecurrentTransformer(RecurrentConfig.from_dict(compiled.cfg.to_dict() | options))
        with pytest.raises(ValueError, match="allowed: models that step until nothing changes"):
            drifting(model, graphs)
        with pytest.raises(ValueError, match="allowed: models that step until nothing changes"):
            snapping(model, graphs)
    with pytest.raises(ValueError, match="every is"):
        snapping(compiled, graphs, (0,))


def test_more_is_told_from_as_many():
    some, none = np.ones(8, bool), np.zeros(8, bool)
    assert solves_more(some, none) and not solves_more(none, some) and not solves_more(some, some)
    assert not solves_more(np.arange(8) < 5, none)


# Chain of thought ------------------------------------------------------------------------------------------------


def test_planted_mistakes_of_a_text_are_classified(compiled):
    texts = ["1 = a; 2 = b; a + b = c; c + b = d"] * 6
    graphs = [ComputationGraph.parse(text, **SIZES) for text in texts]
    batch, vocabulary = batch_of(graphs, compiled.vocabulary), compiled.vocabulary
    thoughts = write_thoughts(batch, true_values(batch, vocabulary), vocabulary)
    begin = int(batch.mask[0].sum())  # of the solution, less one: what was written is shifted by one
    nodes, kinds = solution_places(graphs[0])
    assert len(nodes) == len(kinds) == thoughts.solution[0].sum()
    written = thoughts.tokens[:, 1:].copy()

    def at(node: int, kind: str, which: int = 0) -> int:
        return [i for i in range(len(kinds)) if (nodes[i], kinds[i]) == (node, kind)][which]

    opening, value = at(2, "opening"), at(2, "value")
    token = {kind: written[0, begin + at(2, kind)].copy() for kind in ("value", "separator")}
    written[1, begin + opening] = written[
        0, begin + at(3, "opening")
    ]  # goes on with the last equation instead
    written[2, begin + value, 3] = 0  # 1 + 2 is 3
    written[3, begin + at(0, "separator")] = (PADDING, *vocabulary.padding[1:].tolist())
    written[4, begin + at(2, "name")] = token["value"]  # a number where an operand is due
    written[4, begin + value, 3] = 0  # not the first mistake
    written[5, begin + at(2, "equals", 1)] = token["separator"]  # the question goes on there
    found = classified(written, thoughts, batch, graphs, vocabulary)
    assert found.runs["solved"].tolist() == [True] + [False] * 5
    rows = found.mistakes.set_index("graph")
    assert rows["index"].to_dict() == {
        1: opening, 2: value, 3: at(0, "separator"), 4: at(2, "name"), 5: at(2, "equals", 1)
    }  # fmt: skip
    assert rows["kind"].tolist() == ["opening", "value", "separator", "name", "equals"]
    assert rows["outcome"].tolist() == ["copy", "value", "end", "other", "copy"]
    assert rows["node"].tolist() == [2, 2, 0, 2, 2] and rows["continued"].tolist() == [3, -1, -1, -1, 2]
    assert rows.loc[2, "factors"] == "value" and rows.loc[2, "wrote"] == "value 0"
    assert rows.loc[1, "chance"] == pytest.approx(
        4 / 8
    )  # of the question's names a and c, twice each, begin an equation
    table = found.by("kind").set_index("group")
    assert table.loc["value", ["wrong", "first", "total"]].tolist() == [2, 1, 24]
    assert found.by("quarter")["first"].sum() == 5 and found.tokens["total"].sum() == 6 * len(kinds)
    assert found.outcomes()["copy"] == Share(2, 5)


def test_a_text_is_right_where_solving_it_says_so(graphs):
    cfg = RecurrentConfig(
        n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, method="chain-of-thought", **SIZES
    )
    model = RecurrentTransformer(cfg).eval()
    found = losing_place(model, graphs)
    solved = found.runs.set_index("graph")["solved"].sort_index()
    assert solved.tolist() == solve(model, graphs).fully_solved.tolist()
    assert len(found.mistakes) == len(graphs) - solved.sum() and set(found.mistakes["kind"]) <= set(KINDS)
    assert found.by("kind")["expected"].sum() == pytest.approx(2)


def test_texts_without_mistakes_are_said_to_have_none(compiled):
    graphs = sampled(8, 2)
    batch = batch_of(graphs, compiled.vocabulary)
    thoughts = write_thoughts(batch, true_values(batch, compiled.vocabulary), compiled.vocabulary)
    found = classified(thoughts.tokens[:, 1:], thoughts, batch, graphs, compiled.vocabulary)
    assert found.verdict().startswith("every solution is written without a mistake (8 nodes 2 of 2")
    assert len(found.figure().data) > 0


# Depth -----------------------------------------------------------------------------------------------------------


def test_the_reach_is_the_number_of_steps(compiled, graphs):
    cfg = RecurrentConfig.from_dict(compiled.cfg.to_dict() | {"method": "recurrent", "default_steps": 3})
    model = RecurrentTransformer(cfg).eval()
    model.load_state_dict(compiled.state_dict())
    found = reaching(model, graphs)
    assert (found.nodes["right"] == (found.nodes["depth"] < 3)).all()
    assert found.reach(32) == 3 and found.share(2, 32).value == 1 and found.share(3, 32).value == 0
    depths = [depth for graph in graphs[8:] for depth in graph.depths_by_node]
    assert found.by_step[:, 1].tolist() == [
        [sum(depth < step for depth in depths), len(depths)] for step in range(1, 7)
    ]
    assert "more steps help" in found.verdict()
    assert found.step_frame()["solved"].max() == max(found.solved[..., 0].max(0) / 8)


def test_a_reach_that_differs_by_size_is_said(compiled):
    model = RecurrentTransformer(
        RecurrentConfig.from_dict(compiled.cfg.to_dict() | {"method": "feedforward", "default_steps": 1})
    ).eval()
    model.load_state_dict(compiled.state_dict())
    found = reaching(model, sampled(16, 4))
    assert found.reach() == 1 and len(found.by_step) == 1 and "more steps" not in found.verdict()
    with pytest.raises(ValueError, match="as many steps as the graph needs"):
        reaching(compiled, sampled(8, 1))
