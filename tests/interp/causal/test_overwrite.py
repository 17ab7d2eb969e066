"""Overwriting a value: of a discrete state by the symbol, of a hidden state by the shortest move that shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dashboards.trajectory.words import overwrite_sentence
from interp.causal.overwrite import Overwrite, OverwrittenRun, overwrite_value
from interp.engine.interventions import SetCode, SetValue
from interp.engine.replay import run_interventions, run_plainly
from interp.engine.sites import Site, rhs
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS

TASK: dict[str, Any] = {"modulus": 5, "n_variables": 16}
TEXT = "1 = a; 2 = b; a + b = c; c + a = d; d + b + c = e; e = f"
N_NODES = 6


def untrained(**changes: Any) -> RecurrentTransformer:
    """In float64, and with readouts far from ties."""
    settings: dict[str, Any] = {"n_layers": 2, "d_model": 32, "n_heads": 2, "d_head": 8, "d_mlp": 32}
    settings |= {"positions": "relative_bias", "position_window": 8, "seed": 3, **TASK, **changes}
    return RecurrentTransformer(RecurrentConfig(**settings)).to(torch.float64).eval()


HIDDEN: dict[str, dict[str, Any]] = {
    "continuous": {"bottleneck": "continuous"},
    "fixed number of steps": {"bottleneck": "continuous", "default_steps": 6},
    "bidirectional": {"bottleneck": "continuous", "attention_dir": "bidirectional"},
}


@pytest.fixture(params=HIDDEN)
def hidden_model(request: pytest.FixtureRequest) -> RecurrentTransformer:
    return untrained(**HIDDEN[request.param])


def run_of(model: RecurrentTransformer) -> Trajectory:
    return model.run(ComputationGraph.parse(TEXT, **TASK))


def other_value(run: Trajectory, node: int, state: int) -> int:
    return (int(run.values[state, 0, node]) + 1) % 5


def same(one: Trajectory, other: Trajectory, start: int) -> bool:
    """Whether ``one`` is bit for bit what ``other`` is from a state on, as far as both were run."""
    n = min(one.n_steps, other.n_steps - start)
    return torch.equal(one.states[: n + 1], other.states[start : start + n + 1]) and torch.equal(
        one.confidence[:n], other.confidence[start : start + n]
    )


def test_an_edit_that_changes_nothing_changes_no_bit(hidden_model: RecurrentTransformer) -> None:
    run = run_of(hidden_model)
    for state in range(run.n_steps + 1):
        for node in (0, 3):
            result = overwrite_value(
                hidden_model, run, Overwrite(node, state, int(run.values[state, 0, node]))
            )
            assert result.hidden == (state > 0)
            assert same(result.run, run, state) and same(result.control, run, state)
            assert result.healed_at == -1 and not result.changed.any() and not result.control_changed.any()


def test_the_control_of_an_edit_is_the_original_bit_for_bit(hidden_model: RecurrentTransformer) -> None:
    run = run_of(hidden_model)
    for state in range(run.n_steps + 1):
        result = overwrite_value(hidden_model, run, Overwrite(2, state, other_value(run, 2, state)))
        assert same(result.control, run, state) and result.control.n_steps == result.run.n_steps
        assert result.changed[0].nonzero().flatten().tolist() == [2]


def test_an_edit_moves_only_what_follows() -> None:
    """Nothing to the left of the edited token, in a causal model; not one bit of what the readouts say there."""
    model = untrained(**HIDDEN["continuous"])
    run = run_of(model)
    for node in range(N_NODES):
        result = overwrite_value(model, run, Overwrite(node, 2, other_value(run, node, 2)))
        left = int(run.encoded.rhs[0, node])
        assert torch.equal(result.run.confidence[:, :, :left], result.control.confidence[:, :, :left])
        assert torch.equal(result.run.states[:, :, :left], result.control.states[:, :, :left])
        assert not torch.equal(result.run.confidence, result.control.confidence)


def test_the_readout_shows_the_new_symbols_and_the_move_is_the_shortest() -> None:
    model = untrained(**HIDDEN["continuous"])
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 9, 32, generator=generator, dtype=torch.float64)
    shown = model.discretise(model.unembed(hidden))
    wanted = shown.clone()
    wanted[0, 2, 3] = (shown[0, 2, 3] + 1) % 7
    wanted[0, 5, 1], wanted[0, 5, 2] = (shown[0, 5, 1] + 3) % 17, (shown[0, 5, 2] + 1) % 2
    moved = model.unembed.rewrite(hidden, shown, wanted)
    logits = [model.unembed(state)[0] for state in (hidden, moved)]
    vocabulary = model.vocabulary
    for pos, factor in ((2, 3), (5, 1), (5, 2)):
        part = vocabulary.slice(FACTORS[factor])
        before, after = (one[pos, part] for one in logits)
        swapped = before.clone()
        old, new = int(shown[0, pos, factor]), int(wanted[0, pos, factor])
        swapped[old], swapped[new] = before[new], before[old]
        assert torch.allclose(after, swapped) and int(after.argmax()) == new
    same_positions = [0, 1, 3, 4, 6, 7, 8]
    assert torch.equal(moved[0, same_positions], hidden[0, same_positions])
    # The shortest: inside the span of the readout directions that it is about.
    columns = model.unembed.W_U[:, vocabulary.slice("value")]
    move = (moved - hidden)[0, 2]
    inside = columns @ torch.linalg.lstsq(columns, move[:, None]).solution[:, 0]
    assert torch.allclose(inside, move)
    assert model.unembed.rewrite(hidden, shown, shown).equal(hidden)


def test_a_code_set_by_the_replay_engine_is_the_same_edit(hidden_model: RecurrentTransformer) -> None:
    run = run_of(hidden_model)
    graph, steps = run.encoded.graphs[0], 6
    original = hidden_model.run(graph, steps)
    edited = other_value(original, 3, 2)
    given = [
        SetCode(2, rhs(3), "value", edited),
        SetValue(Site("state", step=2, pos=rhs(3), factor="value"), edited),
        SetCode(2, rhs(3), "value", int(original.values[2, 0, 3])),
        (),
    ]
    code, value, nothing, base = run_interventions(hidden_model, graph, given, steps, tokens=1)
    result = overwrite_value(hidden_model, original, Overwrite(3, 2, edited))
    assert torch.equal(code.states[2:, None], result.run.states[:5])
    assert torch.equal(value.states, code.states) and torch.equal(value.logits, code.logits)
    assert not nothing.differing and torch.equal(nothing.logits, base.logits)
    assert not torch.equal(code.logits, base.logits)
    for batched, plain in zip(
        run_interventions(hidden_model, graph, given, steps),
        run_plainly(hidden_model, graph, given, steps),
        strict=True,
    ):
        assert torch.equal(batched.states, plain.states)
        assert torch.allclose(batched.logits, plain.logits)


def test_a_discrete_state_is_edited_by_the_symbol_alone() -> None:
    model = untrained()
    run = run_of(model)
    for state in range(run.n_steps):
        value = other_value(run, 1, state)
        result = overwrite_value(model, run, Overwrite(1, state, value))
        by_hand = run.states[state].clone()
        by_hand[0, run.encoded.rhs[0, 1], 3] = value
        resumed = model.run(run.encoded, result.run.n_steps, by_hand)
        assert not result.hidden and same(result.run, resumed, 0) and same(result.control, run, state)


@pytest.mark.parametrize("bottleneck", ["continuous", "discrete"])
def test_beyond_the_end_of_a_run_that_was_cut_off_the_true_continuation_is_compared(bottleneck: str) -> None:
    model = untrained(bottleneck=bottleneck)
    graph = ComputationGraph.parse(TEXT, **TASK)
    short, long = model.run(graph, 2), model.run(graph, 12)
    result: OverwrittenRun = overwrite_value(model, short, Overwrite(0, 1, int(short.values[1, 0, 0])))
    assert result.run.n_steps > short.n_steps - 1 and result.nodes == []
    assert same(result.control, long, 1)


def test_the_sentence_tells_values_that_heal_from_a_text_that_does_not() -> None:
    model = untrained()
    run = run_of(model)
    result = overwrite_value(model, run, Overwrite(0, 1, other_value(run, 0, 1)))
    last = result.control.states.clone()
    last[-1, 0, 0, 1] = (last[-1, 0, 0, 1] + 1) % 16
    last[0] = result.run.states[0]
    text_only = replace(result, run=replace(result.run, states=last))
    assert text_only.healed_at is None and not text_only.changed[-1].any()
    said = overwrite_sentence(text_only)
    assert (
        "all nodes show the original's values again**, but 1 symbol elsewhere in the text did not heal"
        in said
    )
    last[-1, 0, run.encoded.rhs[0, 3], 3] = (result.control.values[-1, 0, 3] + 1) % 5
    assert "**it never healed**" in overwrite_sentence(text_only)


def test_a_step_means_in_an_overwritten_value_what_it_means_in_a_code() -> None:
    model = untrained()
    run = run_of(model)
    for step in range(run.n_steps):
        value = other_value(run, 1, step)
        found = overwrite_value(model, run, Overwrite(node=1, step=step, value=value))
        code = SetCode(step, rhs(1), "value", value)
        (replay,) = run_interventions(model, run.encoded.graphs[0], [code], n_steps=run.n_steps)
        assert torch.equal(replay.states[step:], found.run.states[: run.n_steps + 1 - step, 0])


def test_the_old_name_of_the_step_is_still_understood() -> None:
    with pytest.warns(DeprecationWarning, match="is now Overwrite.step=2.: the state that enters that step"):
        old = Overwrite(node=1, state=2, value=3)
    assert old == Overwrite(1, 2, 3) and (old.step, old.state) == (2, 2)
    assert replace(old, value=4) == Overwrite(1, 2, 4)
    for given in ({"node": 1, "value": 3}, {"node": 1, "step": 1}):
        with pytest.raises(TypeError, match="needs node, step and value; got node=1"):
            Overwrite(**given)
    with pytest.raises(TypeError, match="needs node"), pytest.warns(DeprecationWarning, match="is now"):
        Overwrite(1, 2, 3, state=2)


def test_a_hidden_state_to_begin_with_is_checked() -> None:
    graph = ComputationGraph.parse(TEXT, **TASK)
    with pytest.raises(ValueError, match="whose steps only symbols enter; allowed is initial_state"):
        untrained().run(graph, initial_hidden=torch.zeros(1, 1, 32))
    with pytest.raises(ValueError, match=r"initial_hidden must be \(1, 31, 32\), got \(1, 1, 32\)"):
        untrained(bottleneck="continuous").run(graph, initial_hidden=torch.zeros(1, 1, 32))
