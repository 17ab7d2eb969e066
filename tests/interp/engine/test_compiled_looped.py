"""What goes through `run_looped` gives the known answers on every compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp import StepEdit, dynamics_of, run_looped
from interp.state_dynamics.cycles import approximate_cycles, exact_cycles
from models.compiled import CompiledTask, loops, make
from tests.compiled_inputs import EXAMPLES

N_STEPS = 6


class Bound:
    """A compiled loop on inputs that it was begun with: a looped model as `run_looped` asks for it."""

    def __init__(self, loop: Any) -> None:
        self.loop, self.module = loop, loop.module

    def begin(self, inputs: Any) -> Tensor:
        hidden, self.context = self.loop.begin(inputs)
        return hidden

    def step(self, hidden: Tensor, step: int) -> Tensor:
        return self.loop.step(hidden, step, self.context)

    def read(self, hidden: Tensor) -> dict[str, Tensor]:
        return self.loop.read(hidden, self.context)


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    built: dict[str, Any] = {}
    return lambda name: built.setdefault(name, make(name))


def expected(loop: Any, inputs: Any) -> dict[str, Tensor]:
    """Factor -> [state, batch, pos] of the symbolic algorithm, N_STEPS steps."""
    _, context = loop.begin(inputs)
    states = [loop.start(context)]
    for _ in range(N_STEPS):
        states.append(loop.oracle_step(states[-1], context))
    return {factor: torch.stack([state[factor] for state in states]) for factor in states[0]}


def heads_off(loop: Any, heads: Any, step: int) -> list[StepEdit]:
    def zero(index: int) -> Callable[[Tensor], Tensor]:
        def edit(z: Tensor) -> Tensor:
            z[:, :, index] = 0
            return z

        return edit

    return [StepEdit(loop.sites[f"{head.layer}.z"], step, zero(head.head)) for head in heads]


@pytest.mark.parametrize("name", loops())
def test_codes_and_activations_know_their_step(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    for inputs in EXAMPLES[name]:
        names = [loop.sites[site] for site in ("0.pattern", "0.z", "0.resid_pre", "0.resid_post")]
        run = run_looped(Bound(loop), inputs, N_STEPS, names)
        for factor, codes in expected(loop, inputs).items():
            assert torch.equal(run.codes[factor], codes)
        pattern, _, before, after = (run.activations[address] for address in names)
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]))
        assert pattern.shape[:3] == (N_STEPS, 1, loop.n_heads)
        assert not torch.equal(before, after)


@pytest.mark.parametrize("name", loops())
def test_a_head_off_at_one_step_breaks_it_then(made: Callable[[str], Any], name: str) -> None:
    """Pairs of twins at step 1: what was right before it stays, and the step after is as it would be without them."""
    loop = made(name)
    inputs = EXAMPLES[name][0]
    plain = expected(loop, inputs)
    decoys = [head for head in loop.circuit.heads if head.necessity == "decoy"]
    twins = [head for head in loop.circuit.heads if head.necessity == "redundant"]
    for spared in (decoys, twins[:1], twins[1:]):
        run = run_looped(Bound(loop), inputs, N_STEPS, edits=heads_off(loop, spared, step=1))
        assert all(torch.equal(run.codes[factor], codes) for factor, codes in plain.items())
    run = run_looped(Bound(loop), inputs, N_STEPS, edits=heads_off(loop, twins, step=1))
    assert all(torch.equal(run.codes[factor][:2], codes[:2]) for factor, codes in plain.items())
    if name != "graphs":  # names of first operands are idle where there are two
        symbols = {factor: codes[1] for factor, codes in plain.items()}
        without = loop.oracle_step(symbols, loop.begin(inputs)[1], without={twins[0].role})
        assert all(torch.equal(run.codes[factor][2], codes) for factor, codes in without.items())
        assert not all(torch.equal(run.codes[factor], codes) for factor, codes in plain.items())


@pytest.mark.parametrize("name", loops())
def test_a_state_patched_in_goes_on_as_the_algorithm_does(made: Callable[[str], Any], name: str) -> None:
    """The state of another run at step 2; the text stays, where it is no part of the state."""
    loop = made(name)
    inputs, other = EXAMPLES[name]
    donor = run_looped(Bound(loop), other, N_STEPS)
    run = run_looped(Bound(loop), inputs, N_STEPS, edits=[StepEdit("hidden", 2, lambda _: donor.hidden[2])])
    context = loop.begin(other if name == "graphs" else inputs)[1]
    symbols = {factor: codes[2] for factor, codes in donor.codes.items()}
    for step in range(2, N_STEPS):
        symbols = loop.oracle_step(symbols, context)
        assert all(torch.equal(run.codes[factor][step + 1], codes) for factor, codes in symbols.items())


@pytest.mark.parametrize("name", loops())
def test_states_come_to_rest_when_the_algorithm_does(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs = EXAMPLES[name][0]
    run = run_looped(Bound(loop), inputs, N_STEPS)
    rest = int(CompiledTask(loop).levels(inputs).max())
    assert 1 < rest < N_STEPS
    if name == "graphs":
        assert exact_cycles(run.codes["value"].flatten(2).numpy()).start.tolist() == [rest]
    if name != "graphs":
        whole = run.hidden.flatten(2).numpy()
        settled = approximate_cycles(whole, tolerance=1e-6)
        assert (settled.period.tolist(), settled.start.tolist()) == ([1], [rest])
        assert exact_cycles(whole.view(np.int32)).start.tolist() == [rest]
        motion = dynamics_of(whole)
        assert (motion.residual[:rest] > 0).all() and (motion.residual[rest:] == 0).all()
