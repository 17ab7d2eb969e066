"""The one loop: its policies one by one, and all that is built on it against what the loops before it gave."""

from __future__ import annotations

import doctest
import json
from collections.abc import Hashable, Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from models import operations, stepper, symbolic
from models.stepper import Memory, Recognised, Stepped, Unchanged, run_steps
from tests.stepping import FILE, KINDS

RECORDED: dict[str, dict[str, Any]] = json.loads(FILE.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_runs_are_what_they_were(kind: str) -> None:
    """To the last bit where numbers are whole: settled, in cycles, cut off, resumed, watched, edited."""
    found = json.loads(json.dumps(KINDS[kind]()))
    assert found.keys() == RECORDED[kind].keys()
    for name, value in found.items():
        assert value == RECORDED[kind][name], name


@pytest.mark.parametrize("module", [stepper, symbolic, operations])
def test_the_examples_are_true(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 == found.failed


class Doubling:
    """state -> 2 state + context, on tensors [batch]."""

    def step(self, state: Tensor, step: int, context: int) -> Tensor:
        return 2 * state + context


class Modular:
    """Rows of numbers, each going to 2n + 1 modulo 10; what was computed is put down."""

    def __init__(self, unknown: int = -1) -> None:
        self.computed: list[tuple[int, list[int]]] = []
        self.unknown = unknown

    def keys(self, state: list[int], step: int, context: None) -> list[Hashable | None]:
        return [None if value == self.unknown else value for value in state]

    def step_rows(self, state: list[int], rows: Sequence[int], step: int, context: None) -> list[int]:
        self.computed.append((step, [state[row] for row in rows]))
        return [(2 * state[row] + 1) % 10 for row in rows]

    def join(self, rows: Sequence[int], step: int, context: None) -> list[int]:
        return list(rows)


def test_a_run_goes_on_from_the_middle_with_the_numbers_of_its_steps() -> None:
    begin = torch.tensor([1, 5])
    whole = list(run_steps(Doubling(), begin, 1, 5))
    rest = list(run_steps(Doubling(), whole[2].state, 1, 5, start=3))
    assert [step.number for step in rest] == [3, 4]
    for mine, theirs in zip(rest, whole[3:], strict=True):
        assert torch.equal(mine.entering, theirs.entering) and torch.equal(mine.state, theirs.state)
    assert list(run_steps(Doubling(), begin, 1, 3, start=3)) == []


def test_what_enters_may_be_another_state() -> None:
    steps = run_steps(Doubling(), torch.tensor([1]), 0, 3, enter=lambda state, step: state + 10 * (step == 1))
    assert [(int(step.entering), int(step.state)) for step in steps] == [(1, 2), (12, 24), (24, 48)]


def test_gradients_pass() -> None:
    begin = torch.tensor([1.0], requires_grad=True)
    *_, last = run_steps(Doubling(), begin, 1, 3)
    last.state.sum().backward()
    assert begin.grad is not None and begin.grad.tolist() == [8.0]


def test_a_rule_is_asked_after_every_step_and_the_last_state_is_given_out() -> None:
    asked: list[int] = []

    def stop(step: Stepped[Tensor]) -> bool:
        asked.append(step.number)
        return bool((step.state > 6).all())

    steps = list(run_steps(Doubling(), torch.tensor([1, 5]), 1, 99, stop=stop))
    assert [step.state.tolist() for step in steps] == [[3, 11], [7, 23]] and asked == [0, 1]


@pytest.mark.parametrize(("patience", "n_steps"), [(1, 5), (2, 6), (3, 7)])
def test_patience_is_that_of_the_row_that_changes_last(patience: int, n_steps: int) -> None:
    by_step = torch.tensor([[0, 1], [0, 2], [0, 3], [0, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]])

    class Shown:
        def step(self, state: int, step: int, context: None) -> int:
            return state + 1

    rule = Unchanged(lambda state: by_step[state], patience)
    steps = list(run_steps(Shown(), 0, None, 8, stop=rule))
    assert len(steps) == n_steps, "row 0 changes in step 3, row 1 in step 2"
    assert rule.settled.all() and rule.count.tolist() == [patience, patience + 1]
    counting = Unchanged(lambda state: by_step[state], patience, ends=False)
    assert len(list(run_steps(Shown(), 0, None, 8, stop=counting))) == 8
    assert counting.count.tolist() == [4, 5]


def test_no_row_is_computed_twice() -> None:
    """1 -> 3 -> 7 -> 5 -> 1; rows that meet are one from there on."""
    rows = Modular()
    memory = Memory(rows)
    steps = list(run_steps(memory, [1, 7, 1, 9], None, 6))
    assert [step.state for step in steps] == [
        [3, 5, 3, 9],
        [7, 1, 7, 9],
        [5, 3, 5, 9],
        [1, 7, 1, 9],
        [3, 5, 3, 9],
        [7, 1, 7, 9],
    ]
    assert rows.computed == [(0, [1, 7, 9]), (1, [3, 5])]
    assert memory.sources == [1, 1, 1, 0]


def test_what_is_known_beforehand_is_not_computed_and_what_has_no_key_always_is() -> None:
    rows = Modular(unknown=3)
    memory = Memory(rows, {7: 8})
    states = [step.state for step in run_steps(memory, [7, 3, 3], None, 3)]
    assert states == [[8, 7, 7], [7, 8, 8], [8, 7, 7]]
    assert rows.computed == [(0, [3, 3]), (1, [8])]
    assert memory.sources == [-1, 1, 1]


def test_a_run_may_end_once_all_is_known() -> None:
    memory = Memory(Modular())
    steps = list(run_steps(memory, [1, 9], None, 99, stop=Recognised(memory, None)))
    assert [step.state for step in steps] == [[3, 9], [7, 9], [5, 9], [1, 9]]
    assert memory.met(steps[-1].state, 4, None) == [0, 0]


def test_a_foreign_loop_with_several_states_and_halting_of_its_own_fits() -> None:
    """begin, step, read and halted as models with an adapter have them: a fast and a slow state, and a learned stop."""

    class Foreign:
        def begin(self, inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            return {"H": inputs, "L": 0 * inputs}, inputs > 0

        def step(self, state: dict[str, Tensor], step: int, context: Tensor) -> dict[str, Tensor]:
            low = state["L"] + context * state["H"]
            return {"H": state["H"] - 1, "L": low}

        def read(self, state: dict[str, Tensor], context: Tensor) -> dict[str, Tensor]:
            return {"sum": state["L"]}

        def halted(self, state: dict[str, Tensor], context: Tensor) -> Tensor:
            return (state["H"] <= 0) | ~context

    loop = Foreign()
    state, context = loop.begin(torch.tensor([3, 0, 2]))
    steps = list(
        run_steps(loop, state, context, 9, stop=lambda step: bool(loop.halted(step.state, context).all()))
    )
    assert len(steps) == 3
    assert loop.read(steps[-1].state, context)["sum"].tolist() == [6, 0, 3]
