"""The protocol of looped models: addresses, edits, resuming, gradients, halting, on a loop worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from interp import LoopedError, StepEdit, run_loop, watch
from interp.loop.protocol import need, sites_of
from models.one_line import LONGEST


class Tupled(nn.Module):
    """x -> (x + 1, 10 x)"""

    def forward(self, x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        return x + 1, 10 * scale * x


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class TwoLevels:
    """``L <- 2 (L + H)``, twice, then ``H <- H + L + 1 + bias``; the context is the bias.

    From H = 1, L = 0, bias = 0: L = 2, 6, H = 8; L = 28, 72, H = 81.
    """

    n_heads = 1

    def __init__(self) -> None:
        self.module = nn.ModuleDict(
            {"fast": Scaled(2.0), "slow": Tupled(), "out": nn.Identity(), "idle": nn.Identity()}
        )
        self.sites = {"L.out": "fast", "H.out": "slow", "H.pattern": "slow:1", "H.resid_pre": "slow.in"}

    def begin(self, inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        return {"H": inputs, "L": torch.zeros_like(inputs)}, torch.zeros(1)

    def step(self, state: Mapping[str, Tensor], step: int, context: Tensor) -> dict[str, Tensor]:
        high, low = state["H"], state["L"]
        for _ in range(2):
            low = self.module["fast"](low + high)
        high, _ = self.module["slow"](high + low)
        if step == 5:
            self.module["idle"](high)
        return {"H": high + context, "L": low}

    def read(self, state: Mapping[str, Tensor], context: Tensor) -> dict[str, Tensor]:
        high = self.module["out"](state["H"])
        return {"large": torch.cat([10 - high, high], dim=-1)}

    def halted(self, state: Mapping[str, Tensor], context: Tensor) -> Tensor:
        return state["H"][..., 0] > 50

    def tokens(self, inputs: Tensor) -> list[list[str]]:
        return [[f"{row}{pos}" for pos in range(inputs.shape[1])] for row in range(len(inputs))]


class OneState:
    """``x <- w x``: no optional member."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.module = nn.ModuleDict({"scale": Scaled(3.0).to(dtype)})

    def begin(self, inputs: Tensor) -> tuple[Tensor, None]:
        return inputs, None

    def step(self, state: Tensor, step: int, context: None) -> Tensor:
        scale = self.module["scale"]
        return scale(state.to(scale.factor.dtype))

    def read(self, state: Tensor, context: None) -> dict[str, Tensor]:
        return {}


ONE = torch.ones(1, 1, 1)


def numbers(values: Tensor) -> list[float]:
    return values.flatten().tolist()


def test_states_have_names_and_modules_a_step_and_a_call() -> None:
    run = run_loop(TwoLevels(), ONE, 2, record=["L.out", "slow", "slow:1", "slow.in"], keep_logits=True)
    assert numbers(run["state.H"]) == [1, 8, 81]
    assert numbers(run["state.L"]) == [0, 6, 72]
    assert run["L.out"].shape == (2, 2, 1, 1, 1)  # [step, call, batch, pos, d]
    assert numbers(run["L.out"]) == [2, 6, 28, 72]
    assert run.calls["L.out"].tolist() == [[True, True], [True, True]]
    assert numbers(run.once("slow")) == [8, 81]
    assert numbers(run["slow:1"]) == [70, 800]
    assert numbers(run["slow.in"]) == [7, 80]
    assert numbers(run.codes["large"]) == [0, 1, 1]
    assert numbers(run.logits["large"]) == [9, 1, 2, 8, -71, 81]
    assert run.halted_at is not None and numbers(run.halted_at) == [2]
    assert run.steps == range(2) and len(repr(run)) <= LONGEST and "\n" not in repr(run)


def test_what_some_steps_do_not_call_is_masked() -> None:
    run = run_loop(TwoLevels(), ONE, 7, record=["idle"])
    assert run.calls["idle"][:, 0].tolist() == [False] * 5 + [True, False]
    assert numbers(run["idle"])[:5] == [0] * 5 and numbers(run["idle"])[5] == numbers(run["state.H"])[6]
    with pytest.raises(LoopedError, match=r"called \[0, 0, 0, 0, 0, 1, 0\] times by step"):
        run.once("idle")


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (StepEdit("L.out", 1, torch.zeros_like), [1, 8, 9]),
        (StepEdit("L.out", 1, torch.zeros_like, call=0), [1, 8, 25]),  # L = 0, 16
        (StepEdit("L.out", "all", torch.zeros_like), [1, 2, 3]),
        (StepEdit("L.out", lambda step: step < 1, torch.zeros_like), [1, 2, 15]),
        (StepEdit("slow.in", 0, torch.zeros_like), [1, 1, 32]),
        (StepEdit("slow:1", 0, torch.zeros_like), [1, 8, 81]),
        (StepEdit("state.L", 1, torch.zeros_like), [1, 8, 57]),
        (StepEdit("state.H", 1, torch.zeros_like), [1, 0, 25]),
    ],
)
def test_edits_act_where_they_are_addressed(edit: StepEdit, expected: list[float]) -> None:
    assert numbers(run_loop(TwoLevels(), ONE, 2, edits=[edit])["state.H"]) == expected


def test_a_run_is_resumed_from_the_middle_with_its_context() -> None:
    loop = TwoLevels()
    whole = run_loop(loop, ONE, 5, record=["L.out"])
    tail = run_loop(loop, None, 5, record=["L.out"], start=whole.at(2))
    assert tail.steps == range(2, 5)
    assert torch.equal(tail["state.H"], whole["state.H"][2:])
    assert torch.equal(tail["L.out"], whole["L.out"][2:])
    step, state, _ = whole.at(4)
    other = run_loop(loop, None, 5, start=(step, state, torch.ones(1)))
    assert numbers(other["state.H"][1] - whole["state.H"][5]) == [1]
    assert numbers(run_loop(loop, None, 3, start=whole.at(2))["state.H"]) == numbers(whole["state.H"][2:4])
    with pytest.raises(LoopedError, match=r"step is 6; allowed are 0\.\.5"):
        whole.at(6)


def test_until_halted() -> None:
    run = run_loop(TwoLevels(), torch.tensor([[[1.0], [100.0]]]), "halted")
    assert run.n_steps == 2
    assert run.halted_at is not None and run.halted_at.tolist() == [[2, 0]]
    bounded = run_loop(TwoLevels(), ONE, "halted", most=1)
    assert bounded.n_steps == 1 and bounded.halted_at is not None and bounded.halted_at.tolist() == [[-1]]


def test_gradients_go_through_steps_and_edits() -> None:
    loop = OneState()
    start = ONE.clone().requires_grad_()
    run = run_loop(loop, start, 2, record=["scale"], edits=[StepEdit("scale", 0, lambda x: x + 1)], grad=True)
    run["state"][2].sum().backward()  # w (w x + 1)
    assert start.grad is not None and numbers(start.grad) == [9]
    factor = loop.module["scale"].factor
    assert factor.grad is not None and float(factor.grad) == 7
    assert run["scale"].requires_grad
    assert not run_loop(loop, start, 2)["state"].requires_grad
    grown: list[bool] = []
    loop.begin = lambda inputs: (grown.append(torch.is_grad_enabled()) or inputs, None)  # type: ignore[method-assign]
    run_loop(loop, start, 1)
    run_loop(loop, start, 1, grad=True)
    assert grown == [False, True]


def test_precision_may_change_from_step_to_step() -> None:
    loop = OneState(torch.bfloat16)
    plain = run_loop(loop, ONE, 3, record=["scale"])
    assert plain["state"].dtype == torch.float32 and plain["scale"].dtype == torch.bfloat16
    patch = StepEdit("scale", 1, lambda x: torch.ones(x.shape))
    assert numbers(run_loop(loop, ONE, 3, edits=[patch])["state"]) == [1, 3, 1, 3]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert numbers(run_loop(OneState(), ONE, 2)["state"]) == [1, 3, 9]


def test_a_frame_has_a_line_a_state_position_and_factor() -> None:
    frame = run_loop(TwoLevels(), torch.ones(1, 2, 1), 1).to_frame()
    assert list(frame.columns) == ["state", "row", "pos", "token", "factor", "code"]
    assert frame.token.tolist() == ["00", "01"] * 2 and frame.code.tolist() == [0, 0, 1, 1]
    loop = TwoLevels()
    tail = run_loop(loop, None, 3, start=run_loop(loop, ONE, 2).at(2)).to_frame()
    assert tail.state.tolist() == [2, 3] and "token" not in tail


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0; allowed is 1 or more"),
        (
            {"record": ["fsat"]},
            "there is no module 'fsat'; its sites are L.out, H.out, .* there are fast, slow",
        ),
        ({"record": ["slow:x"]}, "there is no module 'slow:x'"),
        ({"record": ["slow:2"]}, "module 'slow' gives NoneType as item 2"),
        ({"record": "fast"}, r"allowed is a list of names, such as \['fast'\]"),
        ({"record": ["out"]}, "module 'out' was not called in step 0, nor in a later one"),
        ({"edits": [StepEdit("fast", 2, torch.neg)]}, r"at step 2; allowed are 0\.\.1"),
        (
            {"edits": [StepEdit("fast", 1, torch.neg, call=2)]},
            "the edit of 'fast' at step 1, call 2 never acted",
        ),
        (
            {"edits": [StepEdit("fast", lambda step: step > 3, torch.neg)]},
            "at a predicate of the step never acted",
        ),
        ({"edits": [StepEdit("state", 0, torch.neg)]}, r"\(and 'state.H', 'state.L' for edits\)"),
        (
            {"edits": [StepEdit("fast", 1, lambda x: x[0])]},
            r"gave \(1, 1\); allowed is a tensor of the shape",
        ),
    ],
)
def test_what_cannot_be_used_is_said_and_leaves_no_hook(arguments: dict[str, object], message: str) -> None:
    loop = TwoLevels()
    with pytest.raises(LoopedError, match=message):
        run_loop(loop, **({"inputs": ONE, "n_steps": 2} | arguments))  # type: ignore[arg-type]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in loop.module.modules())


def test_a_member_that_is_missing_is_named() -> None:
    with pytest.raises(LoopedError, match=r'n_steps="halted" needs `halted`, which OneState does not have'):
        run_loop(OneState(), ONE, "halted")
    with pytest.raises(
        LoopedError, match=r"attention needs `sites\['pattern'\]`, which OneState does not have"
    ):
        sites_of(OneState(), "pattern", "attention")
    assert sites_of(TwoLevels(), "pattern", "attention") == ["H.pattern"]
    assert need(TwoLevels(), "n_heads", "attention") == 1
    run = run_loop(OneState(), ONE, 1)
    with pytest.raises(LoopedError, match=r"'scale' was not kept; there are state"):
        run["scale"]
    assert run.to_frame().empty


def test_a_step_that_changes_the_shape_is_refused() -> None:
    loop = OneState()
    loop.step = lambda state, step, context: state[0]  # type: ignore[method-assign]
    with pytest.raises(LoopedError, match=r"step 0 made \(1, 1\) of a hidden state \(1, 1, 1\)"):
        run_loop(loop, ONE, 1)


# The model's own forward ---------------------------------------------------------------------------------------


class Halving(nn.Module):
    """Halves until the mean is below 1: how often, it decides itself."""

    def __init__(self) -> None:
        super().__init__()
        self.divide = Scaled(0.5)
        self.after = nn.Identity()
        self.before = nn.Identity()

    def forward(self, x: Tensor, named: bool = False) -> Tensor:
        x = self.before(x)
        while x.mean() >= 1:
            x = self.after(self.divide(x=x) if named else self.divide(x))
        return x


@pytest.mark.parametrize("named", [False, True])
def test_a_marker_tells_the_steps_of_a_model_that_runs_itself(named: bool) -> None:
    watched = watch(Halving(), marker="divide", read=lambda x: {"large": torch.cat([2 - x, x], dim=-1)})
    run = watched.run(8 * ONE, named=named, record=["after"], keep_logits=True)
    assert run.n_steps == 4 and numbers(run["state"]) == [8, 4, 2, 1, 0.5]
    assert numbers(run.once("after")) == [4, 2, 1, 0.5] and numbers(run.output) == [0.5]
    assert numbers(run.codes["large"]) == [1, 1, 1, 0, 0] and run.logits["large"].shape == (5, 1, 1, 2)
    edits = [StepEdit("state", 1, lambda x: 4 * x), StepEdit("after", 0, lambda x: x + 1)]
    edited = watched.run(8 * ONE, named=named, edits=edits)
    assert numbers(edited["state"]) == [8, 20, 10, 5, 2.5, 1.25, 0.625]
    grown = watched.run((8 * ONE).requires_grad_(), named=named, grad=True)
    assert grown["state"].requires_grad and not run["state"].requires_grad


def test_what_a_marker_cannot_be_is_said() -> None:
    model = Halving()
    with pytest.raises(LoopedError, match="there is no module 'divdie'"):
        watch(model, marker="divdie")
    with pytest.raises(LoopedError, match="allowed is the name of a module, without an ending"):
        watch(model, marker="divide.in")
    with pytest.raises(LoopedError, match="the marker 'divide' was never entered"):
        watch(model, marker="divide").run(ONE / 2)
    with pytest.raises(LoopedError, match="'before' was not called in step 0"):
        watch(model, marker="divide").run(8 * ONE, record=["before"])
    with pytest.raises(LoopedError, match="the edit of 'divide' at step 9 never acted"):
        watch(model, marker="divide").run(8 * ONE, edits=[StepEdit("divide", 9, torch.neg)])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
