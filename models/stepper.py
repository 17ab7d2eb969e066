"""Running states forward, step by step: the one loop, and its policies as values.

What a state is, :func:`run_steps` does not know. The loop asks one thing of what it runs, a :class:`Loop`'s ``step``;
all else is given to it:

    start   the number of the first step: a run that goes on from the middle
    n_steps where it ends: steps ``start`` to ``n_steps`` - 1 are run
    enter   what enters a step instead of the state before it: given states, edits
    stop    a rule that is asked after every step; :class:`Unchanged`, :class:`Recognised`, or a function of one's own
    memory  a :class:`Memory` around rows that are functions of what enters: none is computed twice

Gradients pass through, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

State = TypeVar("State")
Context = TypeVar("Context")
Given = TypeVar("Given", contravariant=True)
"""A context, where it is only read."""
Row = TypeVar("Row")
Enter = Callable[[State, int], State]
"""(what the step before left, number of the step) -> what enters."""


class Loop(Protocol[State, Given]):
    """What is run. ``context`` is what stays the same from step to step, such as a mask."""

    def step(self, state: State, step: int, context: Given) -> State:
        """What step number ``step`` makes of a state."""
        ...


class RowLoop(Protocol[State, Row, Given]):
    """A loop over independent rows, each of whose steps is a function of its key."""

    def keys(self, state: State, step: int, context: Given) -> Sequence[Hashable | None]:
        """For every row what its next state depends on; None is never recognised."""
        ...

    def step_rows(self, state: State, rows: Sequence[int], step: int, context: Given) -> Sequence[Row]:
        """What the step makes of these rows, at least one."""
        ...

    def join(self, rows: Sequence[Row], step: int, context: Given) -> State:
        """The state that one outcome per row makes; the same object may come more than once."""
        ...


@dataclass(frozen=True, eq=False)
class Stepped(Generic[State]):
    """One step that was run: its number, what entered, and what it left."""

    number: int
    entering: State
    state: State


Stop = Callable[[Stepped[Any]], bool]
"""Asked after every step; True ends the run."""


def run_steps(
    loop: Loop[State, Context],
    state: State,
    context: Context,
    n_steps: int,
    start: int = 0,
    enter: Enter[State] | None = None,
    stop: Stop | None = None,
) -> Iterator[Stepped[State]]:
    """Run steps ``start`` to ``n_steps`` - 1, or until ``stop`` says so.

    Examples:
        >>> from models.stepper import run_steps
        >>> class Doubling:
        ...     def step(self, state, step, context):
        ...         return 2 * state + context
        >>> [step.state for step in run_steps(Doubling(), 1, 1, n_steps=4)]
        [3, 7, 15, 31]
        >>> [step.state for step in run_steps(Doubling(), 7, 1, n_steps=4, start=2)]
        [15, 31]
        >>> [step.state for step in run_steps(Doubling(), 1, 1, n_steps=99, stop=lambda step: step.state > 9)]
        [3, 7, 15]
    """
    for number in range(start, n_steps):
        entering = state if enter is None else enter(state, number)
        state = loop.step(entering, number, context)
        stepped = Stepped(number, entering, state)
        yield stepped
        if stop is not None and stop(stepped):
            return


class Memory(Generic[State, Row, Context]):
    """A :class:`Loop` that steps only the rows whose key it has not met; the others take the known outcome.

    Rows of one step that have the same key are stepped once. So a fixed point, a cycle, a state that another run has
    been in cost nothing: what follows is known exactly.

    Attributes:
        sources: after a step, for every row the step in which its outcome was computed; -1 where it was ``known``
            beforehand.
    """

    def __init__(
        self, rows: RowLoop[State, Row, Context], known: Mapping[Hashable, Row] | None = None
    ) -> None:
        self.sources: list[int] = []
        self._rows = rows
        self._outcomes: dict[Hashable, Row] = dict(known or {})
        self._first: dict[Hashable, int] = {}
        self._latest: tuple[State, int, Sequence[Hashable | None]] | None = None

    def step(self, state: State, step: int, context: Context) -> State:
        """The state after the step."""
        keys = self._keys(state, step, context)
        todo: list[int] = []
        new: dict[Hashable, int] = {}
        alone: dict[int, int] = {}
        for row, key in enumerate(keys):
            if key is None:
                alone[row] = len(todo)
                todo.append(row)
            elif key not in self._outcomes and key not in new:
                new[key] = len(todo)
                todo.append(row)
        outcomes = self._rows.step_rows(state, todo, step, context) if todo else ()
        for key, place in new.items():
            self._outcomes[key], self._first[key] = outcomes[place], step
        self.sources = [step if key is None else self._first.get(key, -1) for key in keys]
        after = [outcomes[alone[row]] if key is None else self._outcomes[key] for row, key in enumerate(keys)]
        return self._rows.join(after, step, context)

    def met(self, state: State, step: int, context: Context) -> list[int]:
        """For every row of a state that may enter ``step``, the first step that it entered; -1 if it never did."""
        return [self._first.get(key, -1) for key in self._keys(state, step, context)]

    def _keys(self, state: State, step: int, context: Context) -> Sequence[Hashable | None]:
        if self._latest is None or self._latest[0] is not state or self._latest[1] != step:
            self._latest = state, step, self._rows.keys(state, step, context)
        return self._latest[2]


@dataclass(frozen=True, eq=False)
class Recognised(Generic[State, Context]):
    """A stop rule: every row of the state has been met before, so that all that follows is known."""

    memory: Memory[State, Any, Context]
    context: Context

    def __call__(self, step: Stepped[State]) -> bool:
        return min(self.memory.met(step.state, step.number + 1, self.context), default=0) >= 0


class Unchanged(Generic[State]):
    """A stop rule: what every row shows has been the same for ``patience`` steps in a row.

    shown: [batch, ...], what of a state is compared. ends: False for a rule that counts and never stops.

    Attributes:
        count: int64 [batch], for how many steps that is so; 0 before the first.
    """

    def __init__(self, shown: Callable[[State], Tensor], patience: int, ends: bool = True) -> None:
        self.patience = patience
        self.count = torch.zeros((), dtype=torch.int64)
        self._shown, self._ends = shown, ends

    def __call__(self, step: Stepped[State]) -> bool:
        before, after = self._shown(step.entering), self._shown(step.state)
        same = (after == before).reshape(len(after), -1).all(-1)
        self.count = torch.where(same, self.count.to(same.device) + 1, 0)
        return self._ends and bool(self.settled.all())

    @property
    def settled(self) -> Tensor:
        """Bool [batch]: whose patience is at its end."""
        return self.count >= self.patience
