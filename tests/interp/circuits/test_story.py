"""Circuit stories: on a model with known weights they are right in every sentence, and all of it is backed; elsewhere
they say what is not.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

import models
from interp.causal.ablation import Component
from interp.circuits.circuit_story import Story, story
from interp.engine.sites import SiteError
from interp.mechanism.perturbed import ControlledError, controlled
from interp.mechanism.variances import PLACES
from models.compiled import CompiledTransformer, compile_model
from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

OPS = ("ADD", "SUB")
SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
TEXT = "1 = a; 2 = b; 4 = c; 3 = d; a + b = e; d = f; e - c + d = h; h + f = k"
GRAPH = ComputationGraph.parse(TEXT, **SIZES)


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(OPS, **SIZES)


@pytest.fixture(scope="module")
def stories(model: CompiledTransformer) -> dict[str, Story]:
    """Of a leaf, and of nodes with one, three and two operands."""
    return {name: story(model, GRAPH, name, n=2) for name in ("c", "f", "h", "k")}


def planted(model: CompiledTransformer, role: str) -> Component:
    head = model.circuit.with_role(role)
    return Component(head.layer, head.head)


@pytest.mark.parametrize("name", ["f", "h", "k"])
def test_exactly_the_planted_heads_are_named_at_every_step(
    model: CompiledTransformer, stories: dict[str, Story], name: str
) -> None:
    told = stories[name]
    n_operands = len(GRAPH.nodes[told.node].operands)
    for operand, place in enumerate(PLACES[:n_operands][::-1]):
        for step in range(len(told.steps)):
            expected = {planted(model, f"value:{place}")}
            assert told.fetching("value", operand, step) == expected
            # At step 0 nothing shows a value, so that no other name would change anything.
            expected = {planted(model, f"name:{place}")} if step else set[Component]()
            assert told.fetching("name", operand, step) == expected
    operations = {"h": {1: "early", 2: "late"}, "k": {1: "late"}}.get(name, {})
    for operand, which in operations.items():
        assert told.fetching("operation", operand) == {planted(model, f"operation:{which}")}


def test_a_leaf_copies_its_number(model: CompiledTransformer, stories: dict[str, Story]) -> None:
    leaf = stories["c"]
    for step in range(2):
        assert leaf.fetching("number", step=step) == {planted(model, "name:last")}
    assert [step.written for step in leaf.steps] == ["4", "4"]
    assert {claim.parts for claim in leaf.claims if claim.by_mlp and claim.backed} == {(Component(2),)}
    assert "Head 0.1 copied the number 4 from position 8 (attention 1.00). Backed" in leaf.text()


@pytest.mark.parametrize("name", ["c", "f", "h", "k"])
def test_all_that_can_be_tested_is_backed_and_controls_change_nothing(
    stories: dict[str, Story], name: str
) -> None:
    told = stories[name]
    tested = [claim for claim in told.claims if claim.backed is not None]
    assert all(claim.backed and claim.effect == claim.changed == 1 for claim in tested)
    assert all(predicted == written for claim in tested for _, predicted, written in claim.cases)
    assert all(claim.logit_diff > 10 for claim in tested)
    assert all(claim.past_mlps == 0 for claim in tested if not claim.by_mlp)
    beyond = [claim for claim in told.claims if claim.backed is None]
    assert {(claim.step, claim.kind) for claim in beyond} <= {(0, "name")}
    controls = told.controls()
    assert controls["others"][0] == controls["elsewhere"][0] == 0
    assert controls["others"][1] > 20
    assert (controls["elsewhere"][1] > 0) == (told.node > 0)
    assert told.solved and told.committed == GRAPH.depths_by_node[told.node]
    assert len(told.steps) == told.committed + 2


def test_mlps_are_those_that_hold_the_tables(stories: dict[str, Story]) -> None:
    used = {
        (claim.parts[0].layer, claim.kind, claim.operand) for claim in stories["h"].claims if claim.by_mlp
    }
    first = {(1, "value", 0), (1, "value", 1), (1, "operation", 1)}
    assert used == first | {(2, kind, k) for kind, k in [("value", 0), ("value", 1), ("value", 2)]} | {
        (2, "operation", 1),
        (2, "operation", 2),
    }
    step = stories["h"].steps[2]
    idle, _, last = step.writings
    assert idle.zeroed == idle.averaged == "2" and abs(idle.to_written) < 1e-4
    assert (last.zeroed, last.before, last.after) == ("EMPTY", "", "2")
    assert last.true_after > 0.99 and last.to_true == last.to_written > 10
    assert (step.written, step.runner_up) == ("2", "EMPTY") and step.margin == pytest.approx(15, abs=1e-3)


def test_a_waiting_step_says_what_is_missing(stories: dict[str, Story]) -> None:
    told = stories["h"]
    assert [step.missing for step in told.steps] == [("e", "c", "d"), ("e",), (), ()]
    assert [step.status for step in told.steps] == ["waiting", "waiting", "computing", "done"]
    (empty,) = [
        claim
        for claim in told.claims
        if (claim.step, claim.kind, claim.operand) == (1, "value", 0) and not claim.by_mlp
    ]
    assert empty.read == "EMPTY" and empty.filled == () and empty.pos == 20
    known = next(claim for claim in told.claims if (claim.step, claim.kind, claim.operand) == (1, "value", 1))
    assert known.read == "4" and known.filled == ("e",)
    text = told.text()
    assert "Step 1 (waiting): the symbol EMPTY enters; e shows no value yet." in text
    assert (
        "Head 1.0 looked for the value of e at position 20 (attention 1.00) and found EMPTY. Backed" in text
    )
    assert "Head 1.1 fetched the value c = 4 from position 10 (attention 1.00). Backed" in text


def test_a_head_that_looks_and_is_not_used_is_a_bystander(stories: dict[str, Story]) -> None:
    """Six positions before the end of k's equation h has its value, so that the first operand's head finds it too."""
    claims = [claim for claim in stories["k"].claims if claim.kind == "value" and claim.operand == 0]
    assert {claim.bystanders for claim in claims if not claim.by_mlp} == {(Component(1, 0),)}


def test_the_effects_are_those_of_plain_hooks(model: CompiledTransformer, stories: dict[str, Story]) -> None:
    told = stories["k"]
    step = 3
    claim = next(c for c in told.claims if (c.step, c.kind, c.operand) == (step, "value", 1) and not c.by_mlp)
    (part,) = claim.parts
    states = controlled(model, GRAPH, "operand_value:1", told.node)
    truth = states.truth(model.vocabulary)
    view, name = model.at_step(step), f"blocks.{part.layer}.attn.hook_z"
    for instead, predicted, written in claim.cases:
        row = states.labels.index(instead)
        assert str(int(truth[row])) == predicted
        _, cache = view.run_with_cache(model.vocabulary.pack(states.states[row : row + 1]))

        def put(z: torch.Tensor, hook: Any, cache: Any = cache) -> torch.Tensor:
            z[:, states.rhs, part.head] = cache[name][:, states.rhs, part.head]
            return z

        unchanged = model.vocabulary.pack(states.states[:1])
        logits = view.run_with_hooks(unchanged, fwd_hooks=[(name, put)])
        assert str(int(logits[0, states.rhs, model.vocabulary.slice("value")].argmax())) == written


def test_a_story_of_a_broken_model_says_what_is_missing(model: CompiledTransformer) -> None:
    broken = copy.deepcopy(model)
    head = model.circuit.with_role("value:last")
    with torch.no_grad():
        broken.layers[head.layer].attn.W_O[head.head] = 0
    told = story(broken, GRAPH, "e", n=2)
    assert not told.solved
    assert told.fetching("value", 0) == set() and told.fetching("value", 1) == set()
    (lost,) = [claim for claim in told.claims if (claim.step, claim.kind, claim.operand) == (1, "value", 1)]
    assert lost.parts == () and lost.backed is False
    assert "no head looks at it and moves with it" in lost.why
    assert "The model does not solve it: it shows EMPTY at the end." in told.text()
    assert "The algorithm would have written 3." in told.text()


def test_nothing_is_backed_in_an_untrained_model() -> None:
    cfg = RecurrentConfig(**SIZES, ops=OPS, n_layers=2, d_model=32, d_head=8, n_heads=4, seed=1)
    untrained = RecurrentTransformer(cfg).eval()
    for name in ("c", "h"):
        told = story(untrained, GRAPH, name, n=3)
        assert told.claims and not any(claim.backed for claim in told.claims)
        assert not told.solved and len(told.steps) == GRAPH.depths_by_node[told.node] + 2
        assert "0 of " in told.verdict() and "does not solve the node" in told.verdict()


def test_bundled_model_fetches_names_by_place_and_values_by_name() -> None:
    loaded = models.load("discrete-corrected")
    graph = ComputationGraph.parse("20 = x_7; 2 = x_42; 9 = x_5; 11 = x_80; x_7 + x_42 + x_5 = x_23")
    told = story(loaded, graph, "x_23", n=3)
    assert told.solved
    heads = {"name": (6, 4, 2), "value": (0, 7, 6)}
    for (kind, numbers), layer in zip(heads.items(), (0, 1), strict=True):
        for operand, head in enumerate(numbers):
            assert told.fetching(kind, operand, step=1) == {Component(layer, head)}
    assert told.controls()["others"][0] == 0


def test_frames_json_and_figure_hold_the_story(stories: dict[str, Story]) -> None:
    told = stories["h"]
    frame = told.to_frame()
    assert len(frame) == len(told.claims) and set(frame["backed"]) == {"yes", "cannot be tested"}
    effects = told.effects_frame()
    assert set(effects["where"]) == {"alone", "held", "elsewhere"}
    line = effects.query("step == 2 and kind == 'value' and operand == 0 and where == 'alone'").set_index(
        "parts"
    )
    assert line.loc["head 1.0", "predicted"] == 1 and line.loc["head 1.1", "changed"] == 0
    written = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert written["solved"] and written["text"] == str(told) and len(written["claims"]) == len(frame)
    figure = told.figure()
    heatmap = next(trace for trace in figure.data if trace.type == "heatmap")
    z = dict(zip(figure.layout.yaxis2.ticktext, heatmap.z, strict=True))
    assert "head 1.0" in z and "head 1.4" not in z
    columns = list(zip(figure.layout.xaxis2.ticktext, z["head 1.0"], strict=True))
    assert {share for label, share in columns if label == "value e"} == {1.0}
    assert {share for label, share in columns if label == "value c"} == {0.0}
    arcs = [trace.text[0] for trace in figure.data[:-2] if trace.mode == "markers+text"]
    assert sorted(arcs) == ["0.1", "0.2", "0.3", "0.4", "0.5", "1.0", "1.1", "2.0"]


def test_bad_input_is_refused(model: CompiledTransformer, stories: dict[str, Story]) -> None:
    with pytest.raises(SiteError, match="there is no node 'z'"):
        story(model, GRAPH, "z")
    with pytest.raises(ValueError, match="n is 0"):
        story(model, GRAPH, "c", n=0)
    with pytest.raises(ValueError, match="step is 9; allowed are 0 to 1"):
        stories["c"].figure(step=9)
    cfg = RecurrentConfig(**SIZES, ops=OPS, d_model=16, bottleneck="continuous", method="continuous")
    with pytest.raises(ControlledError, match="entered by discrete states"):
        story(RecurrentTransformer(cfg), GRAPH, "c")
