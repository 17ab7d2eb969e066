"""The cone of a change on any loop: where it can get to from a step and position, and where it does.

A state is changed at one position as it enters a step; everything else follows. Where it *can* get to, attention says:
a position differs only if it did before, or if one that differs has weight in its attention, with the change or without
it. That is exact for loops in which attention alone moves anything between positions, and needs ``sites['pattern']``;
weights that are 0 in float32 count as none. Where a change *does* get to is the difference of the two runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.loop.edits import StepEdit
from interp.loop.protocol import STATE, Loop, LoopedError, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopCone:
    """Two runs that differ from one step and position on; row 0 of every axis ``state`` is the state that was changed.

    Attributes:
        step, pos: where the change was made.
        moved: float [state, batch, pos], the norm of the difference of states, over all their parts.
        changed: factor -> bool [state, batch, pos], whether another symbol is shown; empty where the loop shows none.
        can: bool [state, batch, pos], whether attention leads there; None for a loop without patterns.
    """

    step: int
    pos: int
    moved: Tensor
    changed: Mapping[str, Tensor]
    can: Tensor | None

    @property
    def does(self) -> Tensor:
        """Bool [state, batch, pos]: whether the state differs at all."""
        return self.moved > 0

    @property
    def outside(self) -> float:
        """The share of differences where attention does not lead: 0 if it alone moves anything; nan if unknown."""
        if self.can is None:
            return float("nan")
        return float((self.does & ~self.can).sum() / self.does.sum().clamp_min(1))

    @property
    def reached(self) -> float:
        """Of the positions where a change can get to (its own left out), the share where it does; nan for none."""
        if self.can is None:
            return float("nan")
        can, does = self.can.any(0).clone(), self.does.any(0)
        can[:, self.pos] = False
        return float(does[can].float().mean()) if bool(can.any()) else float("nan")

    @property
    def heal_step(self) -> int | None:
        """Steps after which nothing differs any more, 0 if nothing ever did; None where something does at the end."""
        differing = self.does.flatten(1).any(1).nonzero()
        if not len(differing):
            return 0
        last = int(differing[-1]) + 1
        return None if last == len(self.moved) else last

    def to_frame(self) -> pd.DataFrame:
        """A line per state, row and position: ``state``, ``row``, ``pos``, ``moved``, ``changed`` (at all), ``can``."""
        axes = torch.meshgrid(*map(torch.arange, self.moved.shape), indexing="ij")
        state, row, pos = (axis.flatten().numpy() for axis in axes)
        columns: dict[str, Any] = {"state": state + self.step, "row": row, "pos": pos}
        columns["moved"] = self.moved.flatten().numpy()
        if self.changed:
            columns["changed"] = torch.stack(list(self.changed.values())).any(0).flatten().numpy()
        if self.can is not None:
            columns["can"] = self.can.flatten().numpy()
        return pd.DataFrame(columns)


@torch.no_grad()
def loop_cone(
    loop: Loop,
    inputs: Any,
    step: int,
    pos: int,
    change: Callable[[Tensor], Tensor] = torch.zeros_like,
    n_steps: int | None = None,
    state: str = STATE,
) -> LoopCone:
    """Change a state at one position as it enters ``step``, and follow the difference to the end of the run.

    Args:
        change: what stands there, [batch, ...], to what it becomes.
        state: which part, where there are several (``"state.H"``).

    Raises:
        LoopedError: as :func:`interp.run_loop`; an unknown part or position; a part without positions.

    Examples:
        >>> from interp import loop_cone
        >>> from models.compiled import make
        >>> cone = loop_cone(make("parity"), ["0110"], step=2, pos=4)  # a parity is lost
        >>> cone.does[:, 0, ::2].int().tolist()  # it comes back, and its successor is lost
        [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    """
    count = steps_of(loop, inputs, n_steps, "a cone")
    known: Mapping[str, str] = getattr(loop, "sites", None) or {}
    sites = [site for site in known if site.rsplit(".", 1)[-1] == "pattern"]
    plain = run_loop(loop, inputs, count, record=sites)
    given = plain.states.get(state)
    if given is None:
        raise LoopedError(f"state is {state!r}; allowed are {', '.join(plain.states)}")
    if given.ndim < 3 or not 0 <= pos < given.shape[2]:
        raise LoopedError(
            f"pos is {pos}, and {state!r} is {tuple(given.shape[1:])}; allowed is 0..n of [batch, n, ..]"
        )

    def edit(found: Tensor) -> Tensor:
        found[:, pos] = change(found[:, pos])
        return found

    start = plain.at(step)
    run = run_loop(loop, None, count, record=sites, edits=[StepEdit(state, step, edit)], start=start)
    differences = [_difference(part[step:], run[name]) for name, part in plain.states.items()]
    moved = torch.stack(differences).square().sum(0).sqrt()
    changed = {factor: plain.codes[factor][step:] != codes for factor, codes in run.codes.items()}
    can = _reach(plain, run, sites, step, moved.shape, pos) if sites else None
    return LoopCone(step, pos, moved, changed, can)


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """Norms [state, batch, pos] of what two states differ by."""
    squares = (one.double() - other.double()).square()
    return (squares.flatten(3).sum(-1) if one.ndim > 3 else squares).sqrt()


def _reach(
    plain: LoopRun, run: LoopRun, sites: list[str], step: int, shape: tuple[int, ...], pos: int
) -> Tensor:
    """The closure of attention of both runs, bool [state, batch, pos]."""
    can = torch.zeros(shape, dtype=torch.bool)
    can[0, :, pos] = True
    for row in range(len(can) - 1):
        here = can[row]
        for weights in _links(plain, run, sites, step + row, row):
            here = here | (weights & here[:, None]).any(-1)
        can[row + 1] = here
    return can


def _links(plain: LoopRun, run: LoopRun, sites: list[str], step: int, row: int) -> list[Tensor]:
    """Bool [batch, destination, source] of every call of a step, one behind the other.

    Where a module is called several times the order among modules is not known: then each time all links together.
    """
    links: list[Tensor] = []
    for site in sites:
        for call in range(plain.calls[site].shape[1]):
            weights = (plain[site][step, call] > 0) | (run[site][row, call] > 0)
            links.append(weights.any(1))
    if all(plain.calls[site].shape[1] == 1 for site in sites):
        return links
    return [torch.stack(links).any(0)] * len(links)
