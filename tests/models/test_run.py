"""Runs: halting, bounds, cycles, resuming, batches, and what a trajectory says about them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import torch
from torch import Tensor

from models import (
    ComputationGraph,
    GraphError,
    RecurrentConfig,
    RecurrentTransformer,
    Trajectory,
    load,
    running,
)
from models.vocabulary import VocabularyError


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return load("compiled")


def small(**changes: Any) -> RecurrentTransformer:
    """An untrained model."""
    sizes: dict[str, Any] = {"n_layers": 1, "d_model": 8, "n_heads": 1, "d_head": 4, "d_mlp": 8}
    return RecurrentTransformer(RecurrentConfig(**(sizes | changes))).eval()


class Scripted(RecurrentTransformer):
    """A model whose transition is a table on the value at the first right-hand side: exact cycles and long
    runs.
    """

    def __init__(self, table: list[int], **changes: Any) -> None:
        super().__init__(RecurrentConfig(n_layers=1, d_model=8, n_heads=1, d_head=4, d_mlp=8, **changes))
        self.table = table
        self.calls: list[int] = []

    def transition(self, state: Tensor, step: int = 0, padding: Tensor | None = None) -> Tensor:
        self.calls.append(len(state))
        following = state.clone()
        following[:, 2, 3] = torch.tensor(self.table)[state[:, 2, 3]]
        parts = [
            torch.nn.functional.one_hot(following[..., f], n) for f, n in enumerate(self.vocabulary.sizes)
        ]
        return 10.0 * torch.cat(parts, dim=-1).float()


def table(**moves: int) -> list[int]:
    """Value -> next value; EMPTY is 24. Values that are not named stay."""
    return [moves.get(f"v{value}", value) for value in range(25)]


LEAF = ComputationGraph.parse("5 = a")


def test_run_halts_at_the_fixed_point() -> None:
    model = Scripted(table(v24=3, v3=5))
    run = model.run([LEAF])
    assert run.values[:, 0, 0].tolist() == [24, 3, 5, 5]
    assert (int(run.fixed_point[0]), int(run.cycle[0]), bool(run.hit_bound[0])) == (1, 1, False)
    assert run.solved_at.tolist() == [[1]] and run.fully_solved.tolist() == [True]
    longer = model.run([LEAF], n_steps=6)
    assert longer.values[:, 0, 0].tolist() == [24, 3, 5, 5, 5, 5, 5]
    assert len(model.calls) == 3 + 3, "settled rows are continued without computing them"


def test_noise_in_training_mode_keeps_rows_from_being_called_settled() -> None:
    """What happened once need not happen again there, so every step is computed."""
    model = Scripted(table(v24=5), attention_noise=1.0)
    stepped: list[int] = []
    model.iterate = lambda *args: (
        stepped.append(1) or pair for pair in RecurrentTransformer.iterate(model, *args)
    )  # type: ignore[method-assign]
    assert model.train().run([LEAF], n_steps=5).n_steps == len(stepped) == 5
    model.eval().run([LEAF], n_steps=5)
    assert (len(stepped), len(model.calls)) == (5, 2)


def test_cycles_are_found_and_continued_exactly() -> None:
    model = Scripted(table(v24=3, v3=7, v7=8, v8=3))
    run = model.run([LEAF], n_steps=9)
    assert run.values[:, 0, 0].tolist() == [24, 3, 7, 8, 3, 7, 8, 3, 7, 8]
    assert (int(run.fixed_point[0]), int(run.cycle[0]), bool(run.hit_bound[0])) == (-1, 3, False)
    assert len(model.calls) == 4
    assert not run.fully_solved.any() and run.solved_at.tolist() == [[-1]]


def test_a_long_run_continues_settled_rows_at_once_and_a_longer_one_is_refused() -> None:
    """Settled rows were continued step by step in Python, and 99,999,999 steps allocated until memory was full."""
    model = Scripted(table(v24=3, v3=7, v7=8, v8=3, v9=9))
    initial = model.to_encoded([LEAF, LEAF]).factors.clone()
    initial[0, 2, 3] = 9
    begin = time.process_time()
    run = model.run([LEAF, LEAF], n_steps=200_000, initial_state=initial)
    assert time.process_time() - begin < 15
    assert run.n_steps == 200_000 and run.confidence.shape[0] == 200_000
    assert run.values[:, 0, 0].unique().tolist() == [9]
    assert run.values[1:, 1, 0].tolist() == [(3, 7, 8)[step % 3] for step in range(200_000)]
    assert (run.fixed_point.tolist(), run.cycle.tolist()) == ([0, -1], [1, 3])
    with pytest.raises(
        ValueError, match="n_steps is 99999999, and the states of 1 graphs .* allowed are up to"
    ):
        model.run([LEAF], n_steps=99_999_999)


def test_a_run_that_nobody_watches_makes_no_hook_points_for_its_steps() -> None:
    """They took two thirds of the time, and memory for as long as the model lives."""
    model = small()
    model.run([LEAF], n_steps=1)
    before = len(model.hook_dict)
    run = model.run([LEAF], n_steps=9)
    assert len(model.hook_dict) == before
    with torch.no_grad():
        steps = [state for _, state in model.iterate(run.states[0], 9)]
    assert torch.equal(torch.stack(steps), run.states[1:])


@pytest.mark.parametrize("watched", [False, True])
def test_a_run_of_which_every_step_is_computed_has_a_bound(watched: bool) -> None:
    """25,000,000 steps of a continuous model were begun."""
    model = small(bottleneck="discrete" if watched else "continuous")
    hooks = [("steps.0.hook_embed", lambda x, hook: x)] if watched else []
    with (
        model.hooks(fwd_hooks=hooks),
        pytest.raises(
            ValueError, match="n_steps is 10001; allowed are up to 10000 where every step is computed"
        ),
    ):
        model.run([LEAF], n_steps=10_001)


def test_the_bound_is_reported_when_hit() -> None:
    model = Scripted([(value + 1) % 25 for value in range(25)])
    run = model.run([LEAF])
    assert (run.bound, run.n_steps) == (3, 3)
    assert run.hit_bound.tolist() == [True] and run.fixed_point.tolist() == [-1] and run.cycle.tolist() == [0]


def test_rows_settle_on_their_own() -> None:
    """A row that has settled costs nothing while another goes on, and both end as they would alone."""
    graphs = [LEAF, LEAF]
    model = Scripted(table(v24=3, v3=7, v7=9, v9=11, v11=5))
    initial = model.to_encoded(graphs).factors.clone()
    initial[0, 2, 3] = 5
    run = model.run(graphs, n_steps=7, initial_state=initial)
    assert run.values[:, 0, 0].tolist() == [5] * 8
    assert run.values[:, 1, 0].tolist() == [24, 3, 7, 9, 11, 5, 5, 5]
    assert run.fixed_point.tolist() == [0, 4]
    assert model.calls == [2, 1, 1, 1, 1, 1]


def test_nothing_to_do_and_no_steps() -> None:
    model = Scripted(table(v24=5))
    run = model.run([LEAF], n_steps=0)
    assert run.n_steps == 0 and run.solved_at.tolist() == [[-1]] and not run.solved.any()
    with pytest.raises(ValueError, match="n_steps must be 0 or more, got -1"):
        model.run([LEAF], n_steps=-1)


@pytest.mark.parametrize("chunk_bytes", [1, 200 * 2**20])
def test_chunks_change_nothing(
    compiled: RecurrentTransformer, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(running, "CHUNK_BYTES", chunk_bytes)
    graphs = [ComputationGraph.sample(n, ops=("ADD", "SUB", "MUL"), seed=n) for n in (12, 6, 9, 30)]
    together = compiled.run(graphs)
    for row, graph in enumerate(graphs):
        alone = compiled.run(graph)
        n = alone.states.shape[2]
        for step in range(len(together.states)):
            expected = alone.states[min(step, alone.n_steps), 0]
            assert torch.equal(together.states[step, row, :n], expected)
        assert int(together.fixed_point[row]) == int(alone.fixed_point[0])


def test_runs_without_hooks_equal_runs_with_an_idle_hook(compiled: RecurrentTransformer) -> None:
    graph = ComputationGraph.sample(9, ops=("ADD", "MUL"), seed=5)
    plain = compiled.run(graph)
    with compiled.hooks(fwd_hooks=[(lambda name: name.endswith("hook_embed"), lambda x, hook: None)]):
        watched = compiled.run(graph)
    assert torch.equal(plain.states, watched.states)
    assert torch.equal(plain.fixed_point, watched.fixed_point)
    assert torch.allclose(plain.confidence, watched.confidence)


def test_a_hook_changes_a_run(compiled: RecurrentTransformer) -> None:
    """An edited state at one step propagates, and the run heals: every value is computed anew from its
    operands.
    """
    graph = ComputationGraph.parse("4 = a; a = b; b = c; c = d")
    rhs = compiled.to_encoded(graph).rhs[0]

    def corrupt(state: Tensor, hook: Any) -> Tensor:
        state = state.clone()
        state[0, rhs[1], 3] = 19
        return state

    with compiled.hooks(fwd_hooks=[("steps.4.hook_state", corrupt)]):
        run = compiled.run(graph, n_steps=8)
    values = run.values[:, 0].tolist()
    assert values[4] == [4, 4, 4, 4]
    assert values[5] == [4, 4, 19, 4] and values[6] == [4, 4, 4, 19] and values[7] == [4, 4, 4, 4]


def test_a_resumed_run_continues_the_original(compiled: RecurrentTransformer) -> None:
    graph = ComputationGraph.sample(20, ops=("ADD", "SUB", "MUL"), seed=1)
    whole = compiled.run(graph)
    rest = compiled.run(graph, initial_state=whole.states[3])
    assert torch.equal(rest.states, whole.states[3:])
    with pytest.raises(ValueError, match="initial_state must be"):
        compiled.run(graph, initial_state=whole.states[3][:, :-1])
    broken = whole.states[3].clone()
    broken[0, 0, 3] = 99
    with pytest.raises(VocabularyError, match="value id is 99"):
        compiled.run(graph, initial_state=broken)


def test_input_of_every_kind(compiled: RecurrentTransformer) -> None:
    text = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23"
    graph = ComputationGraph.parse(text)
    runs = [compiled.run(item) for item in (text, graph, [graph], compiled.to_encoded(graph))]
    assert all(torch.equal(run.states, runs[0].states) for run in runs)
    with pytest.raises(GraphError, match="x_9"):
        compiled.run("x_9 = x_1")
    with pytest.raises(TypeError, match="packed ids"):
        compiled.run(compiled.to_tokens(graph))  # type: ignore[arg-type]
    adding = RecurrentTransformer(RecurrentConfig(n_layers=1, d_model=8, n_heads=1, d_head=4, d_mlp=8))
    with pytest.raises(VocabularyError, match="MUL"):
        adding.run("3 = a; 4 = b; a * b = c")


def test_forward_gives_a_step_axis(compiled: RecurrentTransformer) -> None:
    graph = ComputationGraph.parse("4 = a; a = b")
    run = compiled.run(graph)
    with torch.no_grad():
        logits = compiled(graph)
        states = compiled(graph, return_type="states")
    assert logits.shape == (run.n_steps, 1, run.states.shape[2], compiled.cfg.d_vocab)
    assert torch.equal(states, run.states)
    assert torch.equal(compiled.discretise(logits[-1]), run.states[-1])
    with pytest.raises(ValueError, match="return_type"):
        compiled(graph, return_type="words")
    with pytest.raises(ValueError, match="n_steps must be 1 or more"):
        compiled(graph, n_steps=0)


def test_continuous_models_feed_their_hidden_state_back() -> None:
    cfg = RecurrentConfig(
        n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, bottleneck="continuous", seed=3
    )
    model = RecurrentTransformer(cfg).eval()
    graph = ComputationGraph.sample(7, seed=0)
    _, cache = model.run_with_cache(graph, names=["hook_embed", "blocks.0.hook_resid_post"], n_steps=3)
    with torch.no_grad():
        assert torch.equal(cache["hook_embed"][1:], model.ln_final(cache["blocks.0.hook_resid_post"])[:-1])
        logits = model(graph, n_steps=3)
        assert torch.allclose(model.at_step(2)(model.to_tokens(graph)), logits[2], atol=1e-6)
    run = model.run(graph)
    assert run.n_steps <= run.bound
    assert torch.equal(model(graph, return_type="states"), run.states), "forward stops where run does"
    fixed = RecurrentTransformer(RecurrentConfig.from_dict(cfg.to_dict() | {"default_steps": 4})).eval()
    assert fixed.run(graph).n_steps == 4


def test_trajectory_as_json(compiled: RecurrentTransformer) -> None:
    run = compiled.run(["20 = a; 2 = b; a - b = c", "7 = long_name"][0])
    assert isinstance(run, Trajectory)
    data = json.loads(run.to_json())
    nodes = data["graphs"][0]["nodes"]
    assert [node["name"] for node in nodes] == ["a", "b", "c"]
    assert nodes[2]["values"] == ["EMPTY", "EMPTY", "18", "18"]
    assert nodes[2]["equation"] == "a SUB b = c" and nodes[2]["solved_at"] == nodes[2]["depth"] == 1
    assert data["graphs"][0]["fully_solved"] is True
    assert all(0 <= p <= 1 for p in nodes[0]["confidence"])


def test_value_confidence_of_unequal_graphs(compiled: RecurrentTransformer) -> None:
    run = compiled.run([ComputationGraph.parse("7 = a"), ComputationGraph.parse("7 = a; a = b")])
    confidence = run.value_confidence
    assert torch.isnan(confidence[:, 0, 1]).all() and (confidence[:, 1] > 0.99).all()
    assert run.values[:, 0, 1].eq(-1).all() and not run.right[:, 0, 1].any() and run.fully_solved.all()
