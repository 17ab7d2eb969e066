"""Many edited runs beside one run of a loop, none of which computes what is known.

    share    a run is the base run up to the first step that an edit of its acts in
    batch    runs go through a step together, where the loop has ``take`` (rows of the batch are then independent)
    merge    where the loop has ``key``: a row whose key was met, in the base run or another, takes the known next state

It agrees with one :func:`interp.run_loop` for each, exactly in keys and up to rounding in what is read: rows of another
batch are computed together. The stepper is :func:`models.stepper.run_steps`, with a :class:`models.stepper.Memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from interp.loop.base_rows import BaseRows, Row
from interp.loop.edits import StepEdit
from interp.loop.places import find_places
from interp.loop.protocol import Loop, State, parts_of
from interp.loop.result import LoopRun
from interp.loop.running import check_steps
from interp.loop.stepping import Body
from interp.loop.watchers import Clock, StateEdits, check_applied, watching
from models.one_line import one_line
from models.stepper import Memory, run_steps

BLOCK: Final = 256
"""Edited runs that are followed at once."""

TOKENS: Final = 4096
"""Positions in one step of the loop, about, which bounds memory; an eighth of them are read at once."""


@one_line
@dataclass(frozen=True, eq=False)
class EditedRun:
    """How a run with edits ends.

    Attributes:
        index: which of the lists of edits given.
        state: what left the last step.
        read: factor -> logits [batch, pos, size], what it shows.
        as_base: bool [batch]; the rows that end in the base run's last state, to the last bit.
    """

    index: int
    state: State
    read: Mapping[str, Tensor]
    as_base: Tensor


def run_edits(
    loop: Loop,
    base: LoopRun,
    edits: Sequence[StepEdit | Sequence[StepEdit]],
    tokens: int = TOKENS,
) -> Iterator[EditedRun]:
    """:func:`interp.run_edits` for any loop: edited runs share, batch and merge by rows."""
    return _streamed(loop, base, checked_edits(loop, base, edits), tokens)


def checked_edits(
    loop: Loop, base: LoopRun, edits: Sequence[StepEdit | Sequence[StepEdit]]
) -> list[tuple[StepEdit, ...]]:
    """The edits of every run, of steps and places that there are; raises LoopedError for others."""
    given = [(each,) if isinstance(each, StepEdit) else tuple(each) for each in edits]
    names = tuple(base.states)
    for each in given:
        check_steps(each, base.first, base.first + base.n_steps)
    inside = dict.fromkeys(edit.name for each in given for edit in each if edit.name not in names)
    find_places(loop.module, getattr(loop, "sites", None) or {}, list(inside), names)
    return given


def _streamed(
    loop: Loop, base: LoopRun, given: Sequence[tuple[StepEdit, ...]], tokens: int
) -> Iterator[EditedRun]:
    rows = BaseRows(loop, base, tokens)
    for start in range(0, len(given), BLOCK):
        block = _Block(rows, given[start : start + BLOCK])
        ends = block.followed()
        for several in rows.in_batches(range(len(ends)), tokens // 8):
            for index, end in zip(several, rows.read([ends[index] for index in several]), strict=True):
                yield EditedRun(start + index, *end)


class _NotRowsError(Exception):
    """An activation whose first axis is not the batch."""


class _Acting:
    """The edits of one run: of activations, and of states; how often each has acted."""

    def __init__(self, edits: Sequence[StepEdit], states: Sequence[str]) -> None:
        self.edits = [edit for edit in edits if edit.name not in states]
        self.applied = [0] * len(self.edits)
        self.entering = StateEdits(edits, states, grad=False)

    def acts_in(self, step: int) -> bool:
        """Whether an activation is edited."""
        return any(edit.acts_in(step) for edit in self.edits)

    def first(self, steps: range) -> int:
        """The first step that is touched; the end, if none is."""
        edits = [*self.edits, *self.entering.edits]
        return next((step for step in steps if any(edit.acts_in(step) for edit in edits)), steps.stop)


class _Block:
    """Edited runs that are followed together: a :class:`models.stepper.RowLoop`, whose rows are run by run."""

    def __init__(self, base: BaseRows, given: Sequence[tuple[StepEdit, ...]]) -> None:
        self._base = base
        self._runs = [_Acting(edits, tuple(base.base.states)) for edits in given]

    @torch.no_grad()
    def followed(self) -> list[list[Row]]:
        """The last state of every run, in rows.

        Raises:
            LoopedError: an edit that never acted.
        """
        base, n = self._base, self._base.n_rows
        start = min(run.first(range(base.first, base.last)) for run in self._runs)
        start = min(start, base.last - 1)
        memory: Memory[list[Row], Row, None] = Memory(self, base.known())
        state = list(base.states[start]) * len(self._runs)
        for stepped in run_steps(memory, state, None, base.last, start, self.enter):
            state = stepped.state
        for run in self._runs:
            check_applied([run], run.entering, base.base.steps)
        return [state[index * n : (index + 1) * n] for index in range(len(self._runs))]

    def enter(self, state: list[Row], step: int) -> list[Row]:
        """With the states that are edited."""
        entered, n = list(state), self._base.n_rows
        for index, run in enumerate(self._runs):
            if any(edit.acts_in(step) for edit in run.entering.edits):
                mine = slice(index * n, (index + 1) * n)
                edited = self._base.split(run.entering(self._base.joined(state[mine]), step))
                pairs = zip(state[mine], edited, strict=True)
                entered[mine] = [before if before.same(after) else after for before, after in pairs]
        return entered

    def keys(self, state: list[Row], step: int, context: None) -> list[Hashable | None]:
        base, n = self._base, self._base.n_rows
        keys: list[Hashable | None] = [None] * len(state)
        asked: list[int] = []
        for place, row in enumerate(state):
            if not self._runs[place // n].acts_in(step):
                if row.at >= 0:
                    keys[place] = base.keys[row.at][place % n]
                else:
                    asked.append(place)
        found = base.key_bytes([state[place] for place in asked], [place % n for place in asked])
        for place, key in zip(asked, found, strict=True):
            keys[place] = key
        return keys

    def step_rows(self, state: list[Row], rows: Sequence[int], step: int, context: None) -> list[Row]:
        n = self._base.n_rows
        by_run: dict[int, list[int]] = {}
        for place in rows:
            by_run.setdefault(place // n, []).append(place)
        found: list[Row] = []
        for several in self._base.in_batches(list(by_run), self._base.tokens):
            batch = [by_run[run] for run in several]
            try:
                found += self._stepped(state, batch, step)
            except _NotRowsError:
                for alone in batch:
                    found += self._stepped(state, [alone], step)
        return found

    def join(self, rows: Sequence[Row], step: int, context: None) -> list[Row]:
        return list(rows)

    def _stepped(self, state: list[Row], batch: Sequence[Sequence[int]], step: int) -> list[Row]:
        """One application of the loop to the rows of several runs."""
        base = self._base
        places = [place for mine in batch for place in mine]
        clock = Clock()
        sites: Mapping[str, str] = getattr(base.loop, "sites", None) or {}
        edits = self._edits_of(batch, len(places), step)
        entering = base.state_of(base.joined([state[place] for place in places]))
        context = base.context_of([place % base.n_rows for place in places])
        with watching(base.loop.module, sites, (), edits, clock, grad=False):
            following = Body(base.loop, clock).step(entering, step, context)
        return base.split(parts_of(following))

    def _edits_of(self, batch: Sequence[Sequence[int]], n_rows: int, step: int) -> list[StepEdit]:
        """The edits of several runs as edits of one batch, those of one run in their order."""
        parts: dict[tuple[int, str, int | Literal["all"]], list[tuple[slice, _Acting, int]]] = {}
        begin = 0
        for mine in batch:
            run = self._runs[mine[0] // self._base.n_rows]
            acting = [index for index, edit in enumerate(run.edits) if edit.acts_in(step)]
            for rank, index in enumerate(acting):
                edit = run.edits[index]
                rows = slice(begin, begin + len(mine))
                parts.setdefault((rank, edit.name, edit.call), []).append((rows, run, index))
            begin += len(mine)
        whole = len(batch) == 1
        return [
            StepEdit(name, step, _of_rows(part, None if whole else n_rows), call)
            for (_, name, call), part in sorted(parts.items(), key=lambda item: item[0][0])
        ]


def _of_rows(parts: Sequence[tuple[slice, _Acting, int]], n_rows: int | None) -> Callable[[Tensor], Tensor]:
    """An edit that does to each part of the rows what its run asks for; None: there is one run alone."""

    def edited(found: Tensor) -> Tensor:
        if n_rows is not None and len(found) != n_rows:
            raise _NotRowsError
        for rows, run, index in parts:
            run.applied[index] += 1
            if n_rows is None:
                return run.edits[index].applied(found, grad=False)
            found[rows] = run.edits[index].applied(found[rows], grad=False)
        return found

    return edited
