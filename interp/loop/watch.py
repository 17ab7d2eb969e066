"""The other way in: the model's own forward drives, and a step begins whenever one of its modules is entered.

For models whose loop cannot be taken apart, and for the halting that a model decides itself. What it cannot do: begin
in the middle, or run other steps than the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from interp.loop.edits import StepEdit
from interp.loop.places import Place, find_places
from interp.loop.protocol import STATE, LoopedError
from interp.loop.result import LoopRun
from interp.loop.stacking import stacked
from interp.loop.watchers import Clock, StateEdits, Watcher, check_applied, watching
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class Watched:
    """A model whose steps are told by a marker; :meth:`run` runs it.

    Attributes:
        module: the model.
        marker: name of the module that is entered once in every step.
        read: state -> factor -> logits [batch, pos, size]; None: there are no codes.
        sites: names of activations and their addresses.
    """

    module: nn.Module
    marker: str
    read: Callable[[Tensor], Mapping[str, Tensor]] | None = None
    sites: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(
        self,
        *arguments: Any,
        record: Collection[str] = (),
        edits: Sequence[StepEdit] = (),
        grad: bool = False,
        keep_logits: bool = False,
        **named: Any,
    ) -> LoopRun:
        """Call the model with ``arguments`` and ``named``, recording and editing by step as :func:`run_loop` does.

        ``"state"`` is what enters the marker, and, as the last, what left it. ``output`` is what the model gave. What
        is called before the marker is first entered belongs to no step, what is called after it to the last.

        Raises:
            LoopedError: a marker that is never entered, or not with a tensor; and as :func:`run_loop`.
        """
        clock, entering = Clock(), StateEdits(edits, (STATE,), grad)
        marker = self.module.get_submodule(self.marker)
        states: list[Tensor] = []
        left: list[Tensor] = []

        def enters(_: nn.Module, given: tuple[Any, ...], also: dict[str, Any]) -> Any:
            clock.step = len(states)
            state = _tensor((*given, *also.values()), f"{self.marker!r} was entered with")
            edited = entering({STATE: state}, clock.step)[STATE]
            states.append(edited if grad else edited.detach().clone())
            if edited is state:
                return None
            if given:
                return (edited, *given[1:]), also
            return given, also | {next(iter(also)): edited}

        def leaves(_: nn.Module, given: Any, output: Any) -> None:
            left[:] = [
                _tensor(
                    cast(Any, output) if isinstance(output, tuple) else (output,), f"{self.marker!r} gave"
                )
            ]

        with (
            torch.set_grad_enabled(grad),
            marker.register_forward_pre_hook(enters, with_kwargs=True),
            watching(self.module, self.sites, record, edits, clock, grad, (STATE,)) as watchers,
            marker.register_forward_hook(leaves),
        ):
            output = self.module(*arguments, **named)
            if not states:
                raise LoopedError(
                    f"the marker {self.marker!r} was never entered; allowed are modules that are"
                )
            states.append(left[0] if grad else left[0].detach().clone())
            logits = self._read(states)
        steps = range(len(states) - 1)
        check_applied(watchers.values(), entering, steps)
        return _run_of(states, logits, watchers, record, steps, keep_logits, output)

    def _read(self, states: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        logits: dict[str, list[Tensor]] = {}
        for state in states if self.read is not None else ():
            for factor, scores in cast(Any, self.read)(state).items():
                logits.setdefault(factor, []).append(scores)
        return logits


def watch(
    model: nn.Module,
    *,
    marker: str,
    read: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
    sites: Mapping[str, str] | None = None,
) -> Watched:
    """A model whose own forward is watched: a step begins when the module ``marker`` is entered.

    Raises:
        LoopedError: a marker or a site that the model does not have.

    Examples:
        >>> import torch
        >>> from interp import watch
        >>> class Loops(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.block = torch.nn.Softplus()
        ...     def forward(self, x):
        ...         while x.mean() < 2:
        ...             x = self.block(x)
        ...         return x
        >>> run = watch(Loops(), marker="block").run(torch.ones(1, 3, 4))
        >>> run.n_steps, run["state"].shape, torch.equal(run.output, run["state"][-1])
        (5, torch.Size([6, 1, 3, 4]), True)
    """
    place = find_places(model, {}, [marker])[marker]
    if place != Place(marker, marker):
        raise LoopedError(f"the marker is {marker!r}; allowed is the name of a module, without an ending")
    find_places(model, sites or {}, list(sites or {}))
    return Watched(model, marker, read, sites or {})


def _tensor(values: Sequence[Any], what: str) -> Tensor:
    if not values or not isinstance(values[0], Tensor):
        raise LoopedError(
            f"the marker {what} {type(values[0]).__name__ if values else 'nothing'}; allowed is a module that maps a "
            "state, a tensor, to the next"
        )
    return values[0]


def _run_of(
    states: Sequence[Tensor],
    logits: Mapping[str, Sequence[Tensor]],
    watchers: Mapping[str, Watcher],
    record: Collection[str],
    steps: range,
    keep_logits: bool,
    output: Any,
) -> LoopRun:
    return LoopRun(
        first=0,
        states={STATE: stacked(states)},
        codes={factor: stacked([scores.argmax(-1) for scores in read]) for factor, read in logits.items()},
        logits={factor: stacked(read) for factor, read in logits.items()} if keep_logits else {},
        activations={name: watchers[name].stacked(steps) for name in record},
        calls={name: watcher.called(steps) for name, watcher in watchers.items()},
        output=output,
    )
