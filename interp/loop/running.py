"""The loop's own way: its steps are run one by one, from any state, under edits that know their step.

Hooks live inside ``step`` alone: what ``begin`` and ``read`` call is seen by none. States and activations keep their
dtype; where it changes from step to step (a state that begins in float32 and goes on in bfloat16), what is stacked has
the wider one. A state that :meth:`LoopRun.at` gives resumes the run exactly, unless its dtype changed so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, cast

import torch
from torch import Tensor

from interp.loop.edits import StepEdit
from interp.loop.protocol import Loop, LoopedError, State, has, need, parts_of, with_parts
from interp.loop.result import LoopRun
from interp.loop.stacking import halted_at, stacked
from interp.loop.watchers import Clock, StateEdits, check_applied, watching

MOST_STEPS: Final = 256
"""Steps after which a run until ``"halted"`` is ended."""


def run_loop(
    loop: Loop,
    inputs: Any,
    n_steps: int | Literal["halted"],
    *,
    record: Collection[str] = (),
    edits: Sequence[StepEdit] = (),
    start: tuple[int, State, Any] | None = None,
    grad: bool = False,
    keep_logits: bool = False,
    read: bool = True,
    most: int = MOST_STEPS,
) -> LoopRun:
    """Run a loop step by step, recording activations and applying edits.

    Args:
        n_steps: the step before which the run ends, counted from step 0 also where it is started later; ``"halted"``:
            until every row and position has halted, or ``most`` steps.
        record: sites of the loop, or addresses (:mod:`interp.loop.places`).
        edits: several of one place are applied in their order.
        start: (step, state, context) to go on from; ``LoopRun.at`` gives one. ``inputs`` may be None then.
        grad: keep the graph: nothing is detached or copied. Gradients are those of the loop as it is written: through
            rounding or snapping there are none.
        keep_logits: keep what ``read`` gives of every state, not the codes alone.
        read: False saves what ``read`` costs, where there is a coda; there are no codes then.

    Raises:
        LoopedError: no step to run; a name the module does not have; an edit that never acts, or gives something else
            than a tensor of the same shape; a recorded module that no step calls; a step that changes the shape of the
            state; ``"halted"`` of a loop without ``halted``.

    Examples:
        >>> import torch
        >>> from interp import StepEdit, run_loop
        >>> class Doubling:
        ...     def __init__(self):
        ...         self.module = torch.nn.ModuleDict({"twice": torch.nn.Linear(1, 1, bias=False)})
        ...         self.module["twice"].weight.data.fill_(2)
        ...     def begin(self, inputs):
        ...         return inputs, None
        ...     def step(self, state, step, context):
        ...         return self.module["twice"](state)
        ...     def read(self, state, context):
        ...         return {"sign": torch.cat([-state, state], dim=-1)}
        >>> run = run_loop(Doubling(), torch.ones(1, 1, 1), 3, record=["twice"])
        >>> run["state"].flatten().tolist(), run["twice"].shape  # [step, call, batch, pos, d]
        ([1.0, 2.0, 4.0, 8.0], torch.Size([3, 1, 1, 1, 1]))
        >>> off = StepEdit("twice", step=1, edit=torch.zeros_like)
        >>> run_loop(Doubling(), None, 3, edits=[off], start=run.at(1))["state"].flatten().tolist()
        [2.0, 0.0, 0.0]
    """
    with torch.set_grad_enabled(grad):
        first, state, context = start if start is not None else (0, *loop.begin(inputs))
    halted = (
        need(loop, "halted", 'n_steps="halted"') if n_steps == "halted" else getattr(loop, "halted", None)
    )
    last = most if n_steps == "halted" else n_steps
    if last <= first:
        raise LoopedError(
            f"n_steps is {last}; allowed is {first + 1} or more{f', after step {first}' if first else ''}"
        )
    names = tuple(parts_of(state))
    clock, entering = Clock(), StateEdits(edits, names, grad)
    kept: dict[str, list[Tensor]] = {name: [] for name in names}
    shown: dict[str, list[Tensor]] = {}
    logits: dict[str, list[Tensor]] = {}
    stopped: list[Tensor] = []
    sites: Mapping[str, str] = getattr(loop, "sites", None) or {}
    with (
        torch.set_grad_enabled(grad),
        watching(loop.module, sites, record, edits, clock, grad, names) as watchers,
    ):
        _check_steps(edits, first, last)
        step = first
        while True:
            ends = step == last
            if not ends:
                state = with_parts(state, entering(parts_of(state), step))
            for name, part in parts_of(state).items():
                kept[name].append(part if grad else part.detach().clone())
            if read:
                _read_into(loop, state, context, shown, logits if keep_logits else None)
            if halted is not None:
                stopped.append(cast(Tensor, halted(state, context)).detach())
            if ends or (n_steps == "halted" and bool(stopped[-1].all()) and step > first):
                break
            clock.step = step
            state = _stepped(loop, state, step, context)
            clock.step = None
            step += 1
    steps = range(first, step)
    check_applied(watchers.values(), entering, steps)
    return LoopRun(
        first=first,
        states={name: stacked(parts) for name, parts in kept.items()},
        codes={factor: stacked(codes) for factor, codes in shown.items()},
        logits={factor: stacked(scores) for factor, scores in logits.items()},
        activations={name: watchers[name].stacked(steps) for name in record},
        calls={name: watcher.called(steps) for name, watcher in watchers.items()},
        halted_at=halted_at(stopped, first) if stopped else None,
        tokens=cast(Any, loop).tokens(inputs) if inputs is not None and has(loop, "tokens") else None,
        context=context,
    )


def _stepped(loop: Loop, state: State, step: int, context: Any) -> State:
    following = loop.step(state, step, context)
    before, after = parts_of(state), parts_of(following)
    shapes = {name: tuple(part.shape) for name, part in before.items()}
    made = {name: tuple(part.shape) for name, part in after.items()}
    if shapes != made:
        was, became = (next(iter(s.values())) if len(s) == 1 else s for s in (shapes, made))
        raise LoopedError(
            f"step {step} made {became} of a hidden state {was}; allowed is a step that keeps the shape"
        )
    return following


def _check_steps(edits: Sequence[StepEdit], first: int, last: int) -> None:
    """Said before anything is computed."""
    for edit in edits:
        if isinstance(edit.step, int) and not first <= edit.step < last:
            raise LoopedError(
                f"an edit of {edit.name!r} is at step {edit.step}; allowed are {first}..{last - 1}"
            )


def _read_into(
    loop: Loop,
    state: State,
    context: Any,
    shown: dict[str, list[Tensor]],
    logits: dict[str, list[Tensor]] | None,
) -> None:
    read = loop.read(state, context)
    codes = getattr(loop, "codes", None)
    largest = {factor: scores.argmax(-1) for factor, scores in read.items()}
    for factor, code in (largest if codes is None else codes(state, context)).items():
        shown.setdefault(factor, []).append(code.detach())
    if logits is not None:
        for factor, scores in read.items():
            logits.setdefault(factor, []).append(scores)
