"""A run of a loop row by row, as what edited runs are compared with: its states, their keys, and what it shows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from interp.loop.protocol import Loop, State, has, parts_of, with_parts
from interp.loop.result import LoopRun
from interp.loop.stepping import key_bytes, key_of

Parts = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a state, [1, ...], or the whole batch where rows cannot be taken.

    at: the number of the state of the base run that it is; -1 where it is none.
    """

    parts: Parts
    at: int = -1

    def same(self, other: Row) -> bool:
        """Whether all its tensors are equal."""
        return all(torch.equal(part, other.parts[name]) for name, part in self.parts.items())


class BaseRows:
    """The base run row by row, and the loop by which others are followed beside it."""

    def __init__(self, loop: Loop, base: LoopRun, tokens: int) -> None:
        self.loop, self.base, self.key = loop, base, key_of(loop)
        self.first, self.last = base.first, base.first + base.n_steps
        self._made_of: State = base.at(self.first)[1]
        sizes = next(iter(parts_of(self._made_of).values())).shape
        self.n_batch, self._n_pos = sizes[0], sizes[1] if len(sizes) > 1 else 1
        self.splits = has(loop, "take")
        self.n_rows = self.n_batch if self.splits else 1
        self.tokens = tokens
        self.states = {
            t: self.split({name: stack[t - self.first] for name, stack in base.states.items()}, t)
            for t in range(self.first, self.last + 1)
        }
        self.keys = {t: self._keys_of(t) for t in self.states}
        self._read: Mapping[str, Tensor] | None = None

    def known(self) -> dict[Hashable, Row]:
        """Key -> the row that follows."""
        steps = range(self.first, self.last)
        return {key: row for t in steps for key, row in zip(self.keys[t], self.states[t + 1], strict=True)}

    def split(self, parts: Parts, at: int = -1) -> list[Row]:
        """Rows of a state [batch, ...]."""
        if not self.splits:
            return [Row(parts, at)]
        n_rows = len(next(iter(parts.values())))
        return [Row({name: part[row : row + 1] for name, part in parts.items()}, at) for row in range(n_rows)]

    def joined(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The inverse of :meth:`split`."""
        if len(rows) == 1:
            return dict(rows[0].parts)
        return {name: torch.cat([row.parts[name] for row in rows]) for name in rows[0].parts}

    def state_of(self, parts: Parts) -> State:
        """As the loop has it."""
        return with_parts(self._made_of, parts)

    def context_of(self, rows: Sequence[int]) -> Any:
        """The context of these rows of the batch."""
        if not self.splits or list(rows) == list(range(self.n_batch)):
            return self.base.context
        return cast(Any, self.loop).take(self.base.context, torch.tensor(rows))

    def key_bytes(self, rows: Sequence[Row], of: Sequence[int]) -> list[Hashable]:
        """What the next state of each row depends on; ``of``: which rows of the batch they are."""
        if self.key is None or not rows:
            return [None] * len(rows)
        if self.splits:
            keys = self.key(self.state_of(self.joined(rows)), self.context_of(of))
            each = [keys[place : place + 1] for place in range(len(keys))]
        else:
            each = [self.key(self.state_of(row.parts), self.base.context) for row in rows]
        return [(row, key_bytes(key)) for row, key in zip(of, each, strict=True)]

    def in_batches(self, runs: Sequence[int], tokens: int) -> Iterator[list[int]]:
        """Edited runs, as many together as have about so many positions; one at a time where there is no ``take``."""
        per_run = self.n_batch * self._n_pos
        size = max(1, tokens // per_run) if self.splits else 1
        yield from (list(runs[start : start + size]) for start in range(0, len(runs), size))

    @torch.no_grad()
    def read(self, ends: Sequence[Sequence[Row]]) -> list[tuple[State, Mapping[str, Tensor], Tensor]]:
        """State, what it shows, and which rows are the base run's, of runs that end so."""
        as_base = [torch.tensor([self._ends_as_base(row, of) for of, row in enumerate(end)]) for end in ends]
        changed = [index for index, same in enumerate(as_base) if not bool(same.all())]
        shown: dict[int, Mapping[str, Tensor]] = {}
        if changed:
            rows = [row for index in changed for row in ends[index]]
            context = self.context_of([*range(self.n_rows)] * len(changed))
            read = self.loop.read(self.state_of(self.joined(rows)), context)
            for place, index in enumerate(changed):
                mine = slice(place * self.n_batch, (place + 1) * self.n_batch)
                shown[index] = {factor: logits[mine] for factor, logits in read.items()}
        return [
            (
                self.state_of(self.joined(end)),
                shown[index] if index in shown else self._base_read(),
                same.expand(self.n_batch),
            )
            for index, (end, same) in enumerate(zip(ends, as_base, strict=True))
        ]

    def _keys_of(self, t: int) -> list[Hashable]:
        rows = self.states[t]
        found = self.key_bytes(rows, range(len(rows)))
        return [(row, t) if key is None else key for row, key in enumerate(found)]

    def _ends_as_base(self, row: Row, of: int) -> bool:
        return row.at == self.last or row.same(self.states[self.last][of])

    def _base_read(self) -> Mapping[str, Tensor]:
        if self._read is None:
            _, state, context = self.base.at(self.last)
            self._read = self.base.last_read or self.loop.read(state, context)
        return self._read
