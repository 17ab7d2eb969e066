"""The loop's own way: its steps are run one by one, from any state, under edits that know their step.

The stepper is :func:`models.stepper.run_steps`; edits of states are what enters a step, halting is its stop rule. A
step that no edit acts in is not computed where the loop has a ``key`` and has met it: the next state is known, and so
is what was recorded.

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
from interp.loop.protocol import Loop, LoopedError, State, has, need, parts_of, steps_of, with_parts
from interp.loop.result import LoopRun
from interp.loop.stacking import halted_at, stacked
from interp.loop.stepping import Body, Recalling, key_of
from interp.loop.watchers import Clock, StateEdits, check_applied, watching
from models.stepper import Stepped, run_steps

MOST_STEPS: Final = 256
"""Steps after which a run until ``"halted"`` is ended."""


def record_loop(loop: Loop, inputs: Any, n_steps: int | None = None, sites: Collection[str] = ()) -> LoopRun:
    """:func:`run_loop` as :func:`interp.record` has it: as many steps as the loop takes, and its logits.

    Raises:
        LoopedError: no number of steps; a site that there is not.
    """
    return run_loop(loop, inputs, steps_of(loop, inputs, n_steps, "a run"), record=sites, keep_logits=True)


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
    if n_steps == "halted":
        need(loop, "halted", 'n_steps="halted"')
    last = most if n_steps == "halted" else n_steps
    if last <= first:
        raise LoopedError(
            f"n_steps is {last}; allowed is {first + 1} or more{f', after step {first}' if first else ''}"
        )
    key = None if grad else key_of(loop)
    names = tuple(parts_of(state))
    clock, entering = Clock(), StateEdits(edits, names, grad)
    course = _Course(loop, context, entering, last, n_steps == "halted", grad, read, keep_logits)
    sites: Mapping[str, str] = getattr(loop, "sites", None) or {}
    with (
        torch.set_grad_enabled(grad),
        watching(loop.module, sites, record, edits, clock, grad, names) as watchers,
    ):
        check_steps(edits, first, last)
        body: Body | Recalling = Body(loop, clock)
        if key is not None:
            body = Recalling(body, key, [edit for edit in edits if edit.name not in names], watchers)
        for _ in run_steps(body, state, context, last, first, course.enter, course.ends):
            pass
    steps = range(first, first + course.n_states - 1)
    check_applied(watchers.values(), entering, steps)
    return LoopRun(
        first=first,
        states={name: stacked(parts) for name, parts in course.kept.items()},
        codes={factor: stacked(codes) for factor, codes in course.shown.items()},
        logits={factor: stacked(scores) for factor, scores in course.logits.items()},
        activations={name: watchers[name].stacked(steps) for name in record},
        calls={name: watcher.called(steps) for name, watcher in watchers.items()},
        halted_at=halted_at(course.halted, first) if course.halted else None,
        tokens=cast(Any, loop).tokens(inputs) if inputs is not None and has(loop, "tokens") else None,
        context=context,
    )


class _Course:
    """The states of a run as they come: what enters a step, whether the run ends, and what is kept of each.

    Attributes:
        kept: ``"state"`` or ``"state.H"`` -> a tensor per state. shown, logits: factor -> the same.
        halted: bool [batch] or [batch, pos] of every state.
    """

    def __init__(
        self,
        loop: Loop,
        context: Any,
        edits: StateEdits,
        last: int,
        until_halted: bool,
        grad: bool,
        read: bool,
        keep_logits: bool,
    ) -> None:
        self.kept: dict[str, list[Tensor]] = {}
        self.shown: dict[str, list[Tensor]] = {}
        self.logits: dict[str, list[Tensor]] = {}
        self.halted: list[Tensor] = []
        self.n_states = 0
        self._loop, self._context, self._edits, self._last = loop, context, edits, last
        self._until_halted, self._grad, self._read, self._keep_logits = until_halted, grad, read, keep_logits
        self._halts = getattr(loop, "halted", None)
        self._now: tuple[int, State] | None = None

    def enter(self, state: State, step: int) -> State:
        """The state that enters ``step``, edited, and kept when it is first asked for; none enters the last."""
        if self._now is None or self._now[0] != step:
            if step < self._last:
                parts = parts_of(state)
                edited = self._edits(parts, step)
                state = state if edited is parts else with_parts(state, edited)
            if self._now is not None and self._now[1] is state:
                self._keep_again()
            else:
                self._keep(state)
            self.n_states += 1
            self._now = step, state
        return self._now[1]

    def ends(self, stepped: Stepped[State]) -> bool:
        """The stop rule: all have halted, in the state that would enter the next step."""
        self.enter(stepped.state, stepped.number + 1)
        return self._until_halted and bool(self.halted[-1].all())

    def _keep_again(self) -> None:
        """The state is the one before: what is known of it is not computed again."""
        for kept in (*self.kept.values(), *self.shown.values(), *self.logits.values(), self.halted):
            kept += kept[-1:]

    def _keep(self, state: State) -> None:
        for name, part in parts_of(state).items():
            self.kept.setdefault(name, []).append(part if self._grad else part.detach().clone())
        if self._read:
            _read_into(
                self._loop, state, self._context, self.shown, self.logits if self._keep_logits else None
            )
        if self._halts is not None:
            self.halted.append(cast(Tensor, self._halts(state, self._context)).detach())


def check_steps(edits: Sequence[StepEdit], first: int, last: int) -> None:
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
    codes = getattr(loop, "codes", None)
    if codes is None or logits is not None:
        read = loop.read(state, context)
        for factor, scores in read.items():
            if codes is None:
                shown.setdefault(factor, []).append(scores.argmax(-1).detach())
            if logits is not None:
                logits.setdefault(factor, []).append(scores)
    if codes is not None:
        for factor, code in codes(state, context).items():
            shown.setdefault(factor, []).append(code.detach())
