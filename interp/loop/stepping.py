"""A loop as what :func:`models.stepper.run_steps` steps: under a clock, and leaving out what it has met."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from interp.loop.edits import StepEdit
from interp.loop.protocol import Loop, LoopedError, State, parts_of
from interp.loop.watchers import Clock, Watcher
from models.stepper import Memory

Key = Callable[[Any, Any], Tensor]
"""(state, context) -> int [batch, ...], all that the next state depends on."""


def key_of(loop: Loop) -> Key | None:
    """How states of the loop are recognised; None where they are not, or where hooks of one's own see its module."""
    watched: Any = (module for module in loop.module.modules())
    if any(module._forward_hooks or module._forward_pre_hooks for module in watched):
        return None
    return getattr(loop, "key", None)


def key_bytes(key: Tensor) -> bytes:
    """A key of rows, or of one, as what a dictionary can hold."""
    return cast(Any, key.contiguous()).numpy(force=True).tobytes()


class Body:
    """A loop's step; watchers see its number on the clock."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self.loop, self.clock = loop, clock

    def step(self, state: State, step: int, context: Any) -> State:
        """The next state.

        Raises:
            LoopedError: one of another shape.
        """
        self.clock.step = step
        following = self.loop.step(state, step, context)
        self.clock.step = None
        shapes, made = (
            {name: tuple(part.shape) for name, part in parts_of(some).items()} for some in (state, following)
        )
        if shapes != made:
            was, became = (next(iter(s.values())) if len(s) == 1 else s for s in (shapes, made))
            raise LoopedError(
                f"step {step} made {became} of a hidden state {was}; allowed is a step that keeps the shape"
            )
        return following


class Recalling:
    """A :class:`Body` that is not asked for a step it has made already, of a state with the same key.

    The batch is one row of a :class:`models.stepper.Memory`. What watchers saw in the step that was made stands for the
    one that was not.

    edits: of activations; a step that one acts in is made, and is not remembered.
    """

    def __init__(
        self, body: Body, key: Key, edits: Sequence[StepEdit], watchers: Mapping[str, Watcher]
    ) -> None:
        self._body, self._key, self._edits, self._watchers = body, key, edits, watchers
        self._memory: Memory[State, State, Any] = Memory(self)

    def step(self, state: State, step: int, context: Any) -> State:
        """The next state; the same object wherever it is known."""
        following = self._memory.step(state, step, context)
        (source,) = self._memory.sources
        if source != step:
            for watcher in self._watchers.values():
                watcher.repeat(source, step)
        return following

    def keys(self, state: State, step: int, context: Any) -> list[Hashable | None]:
        edited = any(edit.acts_in(step) for edit in self._edits)
        return [None if edited else key_bytes(self._key(state, context))]

    def step_rows(self, state: State, rows: Sequence[int], step: int, context: Any) -> list[State]:
        return [self._body.step(state, step, context)]

    def join(self, rows: Sequence[State], step: int, context: Any) -> State:
        return rows[0]
