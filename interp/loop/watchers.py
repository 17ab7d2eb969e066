"""Recording and editing what modules give, with the step and the call in which they give it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from interp.loop.edits import StepEdit
from interp.loop.places import Place, find_places, is_among
from interp.loop.protocol import LoopedError
from interp.loop.stacking import stacked


class Clock:
    """Which step is running; None outside of steps, where watchers do nothing."""

    def __init__(self) -> None:
        self.step: int | None = None


class Watcher:
    """Of one place: how often it was called in every step, and, if it records, what was there."""

    def __init__(
        self, place: Place, clock: Clock, edits: Sequence[StepEdit], records: bool, grad: bool
    ) -> None:
        self.place, self.clock, self.records, self.grad = place, clock, records, grad
        self.edits = tuple(edits)
        self.applied = [0] * len(self.edits)
        self.kept: dict[tuple[int, int], Tensor] = {}
        self.calls: dict[int, int] = {}

    def hook(self, module: nn.Module) -> Any:
        """The handle of the module's hook, a context manager that removes it."""
        if self.place.enters:
            return module.register_forward_pre_hook(self._entered, with_kwargs=True)
        return module.register_forward_hook(self._left)

    def called(self, steps: Sequence[int]) -> Tensor:
        """Whether there was a call, bool [step, call]."""
        called = torch.zeros(len(steps), max(self.calls.values(), default=0), dtype=torch.bool)
        for row, step in enumerate(steps):
            called[row, : self.calls.get(step, 0)] = True
        return called

    def stacked(self, steps: Sequence[int]) -> Tensor:
        """What was kept, [step, call, batch, ...], 0 where there was no call.

        Raises:
            LoopedError: no call at all; calls that differ in shape.
        """
        if not self.kept:
            raise LoopedError(
                f"module {self.place.module!r} was not called in step {steps[0]}, nor in a later one; allowed are "
                "modules that steps call"
            )
        shapes = dict.fromkeys(tuple(tensor.shape) for tensor in self.kept.values())
        if len(shapes) > 1:
            raise LoopedError(
                f"{self.place.name!r} has the shapes {', '.join(map(str, shapes))} in its calls; allowed are "
                "activations of one shape"
            )
        blank = torch.zeros_like(next(iter(self.kept.values())))
        calls = range(max(self.calls.values()))
        return stacked([stacked([self.kept.get((step, call), blank) for call in calls]) for step in steps])

    def repeat(self, source: int, step: int) -> None:
        """Step ``step`` was as ``source`` was, and has not been run."""
        self.calls[step] = self.calls.get(source, 0)
        for call in range(self.calls[step]):
            if (source, call) in self.kept:
                self.kept[step, call] = self.kept[source, call]

    def _left(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        return self._seen(output)

    def _entered(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if arguments:
            changed = self._seen(arguments)
            return None if changed is None else (changed, named)
        values = self._seen(tuple(named.values()))
        return None if values is None else (arguments, dict(zip(named, values, strict=True)))

    def _seen(self, value: Any) -> Any:
        """The value as edited, None where it stays as it is."""
        step = self.clock.step
        if step is None:
            return None
        call = self.calls.get(step, 0)
        self.calls[step] = call + 1
        several = is_among(value, self.place)
        items, at = ([value], 0) if several is None else several
        found = items[at] if at < len(items) else None
        if not isinstance(found, Tensor):
            hint = "; where weights of attention are None, load the model with attn_implementation='eager'"
            raise LoopedError(
                f"module {self.place.module!r} {'is given' if self.place.enters else 'gives'} {type(found).__name__}"
                f"{f' as item {at}' if several else ''}; allowed are a tensor, and a tuple with one at this place"
                f"{hint if found is None else ''}"
            )
        edited = found
        for index, edit in enumerate(self.edits):
            if edit.acts(step, call):
                edited = edit.applied(edited, self.grad)
                self.applied[index] += 1
        if self.records:
            self.kept[step, call] = edited if self.grad else edited.detach().clone()
        if edited is found:
            return None
        if several is None:
            return edited
        items[at] = edited
        return cast(Any, type(value))(items)


@contextmanager
def watching(
    module: nn.Module,
    sites: Mapping[str, str],
    record: Collection[str],
    edits: Sequence[StepEdit],
    clock: Clock,
    grad: bool,
    states: Collection[str] = (),
) -> Generator[dict[str, Watcher]]:
    """Hooks on everything that is recorded or edited; they are gone afterwards, also after an exception.

    states: names of edits that belong to states, not to modules.
    """
    edited = [edit.name for edit in edits if edit.name not in states]
    places = find_places(module, sites, record, states)
    places |= find_places(module, sites, list(dict.fromkeys(edited)), states)
    watchers = {
        name: Watcher(place, clock, [edit for edit in edits if edit.name == name], name in record, grad)
        for name, place in places.items()
    }
    with ExitStack() as stack:
        for watcher in watchers.values():
            stack.enter_context(watcher.hook(module.get_submodule(watcher.place.module)))
        yield watchers


class StateEdits:
    """Edits of states as they enter a step."""

    def __init__(self, edits: Sequence[StepEdit], names: Collection[str], grad: bool) -> None:
        self.edits = [edit for edit in edits if edit.name in names]
        self.applied = [0] * len(self.edits)
        self.grad = grad

    def __call__(self, parts: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """The parts of a state as they enter ``step``."""
        for index, edit in enumerate(self.edits):
            if edit.acts(step, 0):
                parts = parts | {edit.name: edit.applied(parts[edit.name], self.grad)}
                self.applied[index] += 1
        return parts


class Counted(Protocol):
    """Edits, and how often each has acted."""

    @property
    def edits(self) -> Sequence[StepEdit]: ...

    @property
    def applied(self) -> Sequence[int]: ...


def check_applied(watchers: Collection[Counted], entering: Counted, steps: Sequence[int]) -> None:
    """Raise LoopedError for an edit that never acted: what is asked for and not done is no result."""
    counts = [(edit, n) for w in (*watchers, entering) for edit, n in zip(w.edits, w.applied, strict=True)]
    for edit, n in counts:
        if n == 0:
            raise LoopedError(
                f"the edit of {edit.where} never acted; allowed are steps {_range(steps)}, and calls that the module "
                "has there"
            )


def _range(steps: Sequence[int]) -> str:
    return f"{steps[0]}..{steps[-1]}" if steps else "none"
