"""What a looped model has to offer, and what it may offer besides.

A loop is four things: a module, a state to begin with, one step, and what a state shows. Everything that a run needs
besides its state (masks, rotary tables, the output of a prelude) is its context: it is handed over, never kept on
``self``, so that a run can be stopped, stored, edited and resumed.

Names of states are ``"state"`` where the state is one tensor, else ``"state.H"`` for each of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from torch import Tensor, nn

State = Tensor | Mapping[str, Tensor]
"""One tensor, or several by name (``{"H": ..., "L": ...}``); the first axis of each is the batch."""

STATE: Final = "state"

OPTIONAL: Final = {
    "sites": "a mapping from the names of activations to their addresses",
    "n_heads": "the number of attention heads",
    "halted": "halted(state, context) -> bool [batch] or [batch, pos]",
    "codes": "codes(state, context) -> factor -> int [batch, pos]",
    "key": "key(state, context) -> int [batch, ...], all that the next state depends on besides the context",
    "lens": "lens(hidden, context) -> factor -> logits [batch, pos, size] of what a residual stream holds",
    "take": "take(context, rows) -> the context of these rows of the batch",
    "weights": "the module that has the parameters, where `module` does not",
    "n_steps": "how many steps a run takes: a number, or n_steps(inputs) -> a number",
    "tokens": "tokens(inputs) -> the text at every position, a list for every row",
}
"""Members that switch analyses on, and what each is."""


class LoopedError(ValueError):
    """A looped model, name, step or edit that cannot be used; the message says what is allowed."""


class Loop(Protocol):
    """What a looped model has to offer; :data:`OPTIONAL` has what it may offer besides."""

    @property
    def module(self) -> nn.Module:
        """Whose submodules are recorded and edited, by the names of ``named_modules``."""
        ...

    def begin(self, inputs: Any) -> tuple[State, Any]:
        """The state that enters step 0, and the context: what all steps of this run share."""
        ...

    def step(self, state: Any, step: int, context: Any) -> State:
        """One application of the loop's body; ``step`` counts from 0. The state keeps its shapes."""
        ...

    def read(self, state: Any, context: Any) -> Mapping[str, Tensor]:
        """Factor -> logits [batch, pos, size] of what the state shows; a coda lives here."""
        ...


def has(loop: Loop, member: str) -> bool:
    """Whether the loop offers an optional member."""
    return getattr(loop, member, None) is not None


def need(owner: object, member: str, what: str, known: Mapping[str, str] = OPTIONAL) -> Any:
    """An optional member of a loop, or of what else has such members; ``what`` needs it.

    Raises:
        LoopedError: it is missing; the message names it, and says what it would have to be.
    """
    found = getattr(owner, member, None)
    if found is None:
        raise LoopedError(
            f"{what} needs `{member}`, which {type(owner).__name__} does not have: {known[member]}"
        )
    return found


def steps_of(loop: Loop, inputs: Any, n_steps: int | None, what: str) -> int:
    """``n_steps``, or, where it is None, as many as the loop says that a run takes.

    Raises:
        LoopedError: neither.
    """
    if n_steps is not None:
        return n_steps
    own: Any = need(loop, "n_steps", f"{what} without a number of steps")
    return own if isinstance(own, int) else int(own(inputs))


def sites_of(loop: Loop, kind: str, what: str) -> list[str]:
    """The sites of one kind: ``"pattern"`` itself, and those whose last part it is (``"L.0.pattern"``), in order.

    Raises:
        LoopedError: there is none; the message names it (``needs `sites['pattern']```) and those that are there.
    """
    sites: Mapping[str, str] = getattr(loop, "sites", None) or {}
    found = [name for name in sites if name.rsplit(".", 1)[-1] == kind]
    if not found:
        there = ", ".join(sites) or "none"
        raise LoopedError(
            f"{what} needs `sites[{kind!r}]`, which {type(loop).__name__} does not have; its sites: {there}"
        )
    return found


def parts_of(state: State) -> dict[str, Tensor]:
    """The tensors of a state by name."""
    if isinstance(state, Tensor):
        return {STATE: state}
    return {f"{STATE}.{name}": part for name, part in state.items()}


def with_parts(state: State, parts: Mapping[str, Tensor]) -> State:
    """A state of the same make with other tensors."""
    if isinstance(state, Tensor):
        return parts[STATE]
    return {name: parts[f"{STATE}.{name}"] for name in state}
