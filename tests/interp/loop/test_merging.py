"""What is known of a loop's states is not computed again, and what is left out is what would have come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp import StepEdit, run_loop


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
