"""What is known of a loop's states is not computed again, and what is left out is what would have come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp import LoopedError, StepEdit, run_edits, run_loop
from interp.engine.graph_edits import run_edits_by_engine
from interp.loop.edits import Fill, Put
from interp.loop.protocol import parts_of
from interp.loop.replaying import checked_edits
from interp.loop.replaying import run_edits as run_edits_by_rows
from models import as_loop, load


class Countdown:
    """``x <- max(x - 1, 0)`` at every position; ``stepped`` is how many rows went through which step."""

    def __init__(self, known: bool = True) -> None:
        self.module = nn.ModuleDict({"less": nn.Identity()})
        self.sites = {"less": "less"}
        self.stepped: list[tuple[int, int]] = []
        self.key = (lambda state, context: state.long()) if known else None

    def begin(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, torch.arange(len(inputs))

    def step(self, state: Tensor, step: int, context: Tensor) -> Tensor:
        self.stepped.append((step, len(state)))
        assert len(state) == len(context)
        return self.module["less"](state - 1).clamp_min(0)

    def read(self, state: Tensor, context: Tensor) -> dict[str, Tensor]:
        return {"zero": torch.stack([state, 1 - state], dim=-1)}

    def take(self, context: Tensor, rows: Tensor) -> Tensor:
        return context[rows]

    def halted(self, state: Tensor, context: Tensor) -> Tensor:
        return state == 0


FROM = torch.tensor([[3.0, 1.0]])


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [StepEdit("less", 1, lambda x: x + 3)],
        [StepEdit("less", 6, lambda x: x + 3)],
        [StepEdit("state", 5, lambda x: x + 2)],
        [StepEdit("less", lambda step: step > 7, lambda x: x + 2)],
    ],
)
def test_a_state_that_comes_again_is_not_stepped(edits: list[StepEdit]) -> None:
    options: dict[str, Any] = {"record": ["less"], "edits": edits, "keep_logits": True}
    ours, plain = (run_loop(Countdown(known), FROM, 12, **options) for known in (True, False))
    for name in ("state", "less"):
        assert torch.equal(ours[name], plain[name])
    assert torch.equal(ours.logits["zero"], plain.logits["zero"]) and torch.equal(
        ours.calls["less"], plain.calls["less"]
    )
    assert ours.halted_at is not None and plain.halted_at is not None
    assert torch.equal(ours.halted_at, plain.halted_at)


def test_steps_that_are_left_out() -> None:
    loop = Countdown()
    run_loop(loop, FROM, 12)
    assert [step for step, _ in loop.stepped] == [0, 1, 2, 3]  # 3, 2, 1, 0
    loop.stepped.clear()
    run_loop(loop, FROM, 12, edits=[StepEdit("less", 6, lambda x: x + 3)])  # 2 2, 1 1, 0 0
    assert [step for step, _ in loop.stepped] == [0, 1, 2, 3, 6, 7, 8]
    loop.stepped.clear()
    run_loop(loop, FROM, 12, grad=True)
    assert len(loop.stepped) == 12
    loop.stepped.clear()
    seen: list[Tensor] = []
    with loop.module["less"].register_forward_hook(lambda *call: seen.append(call[2])):
        run_loop(loop, FROM, 12)
    assert len(seen) == len(loop.stepped) == 12  # who looks on sees every step


# Many edited runs ------------------------------------------------------------------------------------------------


def plus(by: float, step: Any, call: Any = "all") -> StepEdit:
    return StepEdit("less", step, lambda x: x + by, call)


EDITS: list[StepEdit | list[StepEdit]] = [
    plus(3, 1),
    plus(0, 3),
    [plus(2, 2), StepEdit("state", 2, lambda x: x + 1)],
    StepEdit("state", 7, lambda x: x * 2),  # 0 stays 0
    [plus(1, "all"), plus(-1, lambda step: step > 2)],
    [plus(5, 4), plus(1, 9), plus(-1, 9, call=0)],
    plus(4, 11),
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("take", [True, False])
@pytest.mark.parametrize("tokens", [1, 4096])
def test_edited_runs_are_as_many_plain_ones(known: bool, take: bool, tokens: int) -> None:
    loop, plain = Countdown(known), Countdown(False)
    if not take:
        loop.take = None  # type: ignore[method-assign, assignment]
    inputs = torch.tensor([[3.0, 1.0], [0.0, 2.0], [9.0, 9.0]])
    base = run_loop(loop, inputs, 12)
    loop.stepped.clear()
    for run, given in zip(run_edits(loop, base, EDITS, tokens), EDITS, strict=True):
        edits = [given] if isinstance(given, StepEdit) else given
        expected = run_loop(plain, inputs, 12, edits=edits, keep_logits=True)
        assert isinstance(run.state, Tensor) and torch.equal(run.state, expected["state"][-1])
        assert torch.equal(run.read["zero"], expected.logits["zero"][-1])
        same = (expected["state"][-1] == base["state"][-1]).all(1)
        assert torch.equal(run.as_base, same if take else same.all().expand(3))
    computed, all_of_them = (sum(rows for _, rows in some.stepped) for some in (loop, plain))
    assert computed < all_of_them / 2 if known and take else computed < all_of_them


def test_runs_that_merge_are_not_computed() -> None:
    loop = Countdown()
    base = run_loop(loop, FROM, 12)
    loop.stepped.clear()
    tuple(run_edits(loop, base, [plus(0, step) for step in range(12)]))
    assert loop.stepped == [(step, 1) for step in range(12)]  # the step with the edit, and none behind it
    loop.stepped.clear()
    tuple(run_edits(loop, base, [plus(9, 0)] * 3))
    assert loop.stepped[0] == (0, 3) and set(loop.stepped[1:]) == {
        (step, 1) for step in range(1, 9)
    }  # 11 9 comes to 3 1


def test_what_edits_cannot_do_is_said_before_anything_is_run() -> None:
    loop = Countdown()
    base = run_loop(loop, FROM, 2)
    loop.stepped.clear()
    with pytest.raises(LoopedError, match=r"an edit of 'less' is at step 2; allowed are 0\.\.1"):
        run_edits(loop, base, [plus(1, 2)])
    with pytest.raises(LoopedError, match="there is no module 'more'"):
        run_edits(loop, base, [StepEdit("more", 0, torch.neg)])
    assert loop.stepped == []
    with pytest.raises(LoopedError, match="the edit of 'less' at step 1, call 1 never acted"):
        next(run_edits(loop, base, [plus(1, 1, call=1)]))
    assert not any(m._forward_hooks for m in loop.module.modules())


def test_an_activation_without_a_batch_is_edited_run_by_run() -> None:
    class Shifted(Countdown):
        def __init__(self) -> None:
            super().__init__()
            self.module["table"] = nn.Identity()

        def step(self, state: Tensor, step: int, context: Tensor) -> Tensor:
            return super().step(state + self.module["table"](torch.zeros(1, 2)), step, context)

    loop = Shifted()
    inputs = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
    base = run_loop(loop, inputs, 2)
    edits = [StepEdit("table", 1, lambda x, by=by: x + by) for by in (1, 2)]
    for run, edit in zip(run_edits(loop, base, edits), edits, strict=True):
        assert torch.equal(run.state, run_loop(loop, inputs, 2, edits=[edit])["state"][-1])  # type: ignore[arg-type]


def test_a_graph_model_as_a_loop_goes_through_its_engine_and_comes_out_alike() -> None:
    """What edits write is known: the engine runs them; where one is a function of what it finds, rows do."""
    loop = as_loop(load("compiled"))
    clean, corrupt = "20 = a; 2 = b; a + b = c; c + a = d", "7 = a; 2 = b; a + b = c; c + a = d"
    base = run_loop(loop, corrupt, 4)
    source = run_loop(loop, clean, 4, record=["1.resid_pre", "2.z", "1.pattern"])
    edits: list[StepEdit | list[StepEdit]] = [
        StepEdit("1.resid_pre", 1, Put(source.once("1.resid_pre")[1], 2)),
        StepEdit("1.resid_pre", 3, Put(source.once("1.resid_pre")[3])),
        StepEdit("1.pattern", 1, Put(source.once("1.pattern")[1], 12, axis=2)),
        StepEdit("state.codes", 1, Put(source["state.codes"][1], 2)),
        [
            StepEdit("2.z", "all", torch.zeros_like),
            StepEdit("state.codes", 3, Put(source["state.codes"][3], 2)),
        ],
        StepEdit("2.z", 3, Fill(source.once("2.z").mean((0, 1, 2)))),
    ]
    assert run_edits_by_engine(loop, base, checked_edits(loop, base, edits), 4096) is not None
    by_rows = run_edits_by_rows(loop, base, edits)
    for run, expected in zip(run_edits(loop, base, edits), by_rows, strict=True):
        assert run.index == expected.index and torch.equal(run.as_base, expected.as_base)
        (codes, hidden), (own, others) = (parts_of(each.state).values() for each in (run, expected))
        assert torch.equal(codes, own) and torch.allclose(hidden, others, atol=1e-4)
        for factor, logits in expected.read.items():
            assert torch.allclose(run.read[factor], logits, atol=1e-4)
    for other in (StepEdit("2.z", 3, torch.neg), StepEdit("2.z", 3, Put(torch.zeros(1, 2)))):
        assert run_edits_by_engine(loop, base, [(other,)], 4096) is None
    edited = run_loop(loop, corrupt, 4, edits=[StepEdit("2.z", 3, torch.zeros_like)])
    assert run_edits_by_engine(loop, edited, [(edits[1],)], 4096) is None  # type: ignore[list-item]
