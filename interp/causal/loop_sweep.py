"""Patch sweeps on any loop: an activation of a clean run put into a corrupt one, at every step, call and position.

    effect = (patched - corrupt) / (clean - corrupt)

with the metric of the last state: 0 where the patch does nothing, 1 where it restores the clean run (denoising). A run
that is patched at step t begins there, with the corrupt run's state; where the loop has ``take``, all positions of a
step are rows of one run. Both are exact. An activation that carries the whole answer restores it trivially: compare
sites of one step, and hold a whole state patched (effect 1 by construction) as no evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.loop.edits import StepEdit
from interp.loop.protocol import STATE, Loop, has, parts_of, steps_of, with_parts
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from models.one_line import one_line

Metric = Callable[[Mapping[str, Tensor]], Tensor]
"""What ``read`` gives of the last state -> float [batch]."""

_DESTINATION: Final = 2
"""The position axis of attention, [batch, head, destination, source]."""


def logit_difference(factor: str, pos: int, clean: int, corrupt: int) -> Metric:
    """The logit of symbol ``clean`` less that of ``corrupt``, at a position."""
    return lambda logits: logits[factor][:, pos, clean] - logits[factor][:, pos, corrupt]


def effect_of(patched: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    """This module's formula; nan or infinite where clean and corrupt are equal."""
    return (patched - corrupt) / (clean - corrupt)


@one_line
@dataclass(frozen=True, eq=False)
class LoopSweep:
    """Metrics of patched runs.

    Attributes:
        cells: one a patch: site, step, call, and position, -1 where all were patched.
        patched: float [cell, batch]. clean, corrupt: float [batch].
    """

    cells: tuple[tuple[str, int, int, int], ...]
    patched: Tensor
    clean: Tensor
    corrupt: Tensor

    @property
    def effect(self) -> Tensor:
        """Float [cell, batch]: :func:`effect_of`."""
        return effect_of(self.patched, self.clean, self.corrupt)

    def to_frame(self) -> pd.DataFrame:
        """A line a patch, means over the batch: ``site``, ``step``, ``call``, ``pos``, ``patched``, ``effect``."""
        frame: Any = pd.DataFrame(self.cells, columns=["site", "step", "call", "pos"])
        means = {"patched": self.patched.mean(1).numpy(), "effect": self.effect.mean(1).numpy()}
        return frame.assign(**means)


@torch.no_grad()
def loop_patch_sweep(
    loop: Loop,
    clean: Any,
    corrupt: Any,
    sites: Collection[str],
    metric: Metric,
    n_steps: int | None = None,
    steps: Collection[int] | None = None,
    pos: Literal["all", "each"] = "all",
) -> LoopSweep:
    """Put what the clean run has at each site, step and call into the corrupt run.

    Args:
        clean, corrupt: inputs of one shape.
        sites: sites, addresses or states (``"state"``, ``"state.H"``).
        steps: default: all.
        pos: ``"each"``: every position by itself.

    Raises:
        LoopedError: as :func:`interp.run_loop`; inputs whose activations differ in shape.

    Examples:
        >>> from interp import logit_difference, loop_patch_sweep
        >>> from models import as_loop, load
        >>> loop = as_loop(load("compiled"))
        >>> texts = "20 = a; 2 = b; a + b = c", "20 = a; 5 = b; a + b = c"
        >>> metric = logit_difference("value", pos=12, clean=22, corrupt=2)
        >>> sweep = loop_patch_sweep(loop, *texts, ["2.z"], metric, n_steps=2)
        >>> sweep.to_frame()[["step", "effect"]].round(2).values.tolist()  # c is written in step 1
        [[0.0, 0.0], [1.0, 1.0]]
    """
    count = steps_of(loop, clean, n_steps, "a patch sweep")
    modules = [site for site in sites if site.partition(".")[0] != STATE]
    whole = run_loop(loop, clean, count, record=modules, keep_logits=True)
    base = run_loop(loop, corrupt, count, keep_logits=True)
    cells: list[tuple[str, int, int, int]] = []
    patched: list[Tensor] = []
    for site, step, call, value in _patches(whole, sites, range(count) if steps is None else steps):
        axis = _DESTINATION if site.rsplit(".", 1)[-1] == "pattern" else 1
        found = (
            [patched_score(loop, base.at(step), count, metric, StepEdit(site, step, _to(value), call))]
            if pos == "all"
            else _each(loop, base.at(step), count, metric, (site, step, call), value, axis)
        )
        cells += [(site, step, call, -1 if pos == "all" else at) for at in range(len(found))]
        patched += found
    return LoopSweep(tuple(cells), torch.stack(patched), metric(_last(whole)), metric(_last(base)))


def _patches(
    whole: LoopRun, sites: Collection[str], steps: Collection[int]
) -> Iterator[tuple[str, int, int, Tensor]]:
    """Site, step, call and the clean activation [batch, ...]."""
    for site in sites:
        for step in steps:
            if site in whole.states:
                yield site, step, 0, whole[site][step]
                continue
            for call in range(whole.calls[site].shape[1]):
                if bool(whole.calls[site][step, call]):
                    yield site, step, call, whole[site][step, call]


def _each(
    loop: Loop,
    start: tuple[int, Any, Any],
    count: int,
    metric: Metric,
    address: tuple[str, int, int],
    value: Tensor,
    axis: int,
) -> list[Tensor]:
    """The metric with every position patched by itself, a list of [batch]."""
    (site, step, call), n_rows, n_pos = address, len(value), value.shape[axis]
    at = torch.arange(n_pos)
    if not has(loop, "take"):
        only = [at == position for position in range(n_pos)]
        edits = [StepEdit(site, step, _to(value, mask, axis), call) for mask in only]
        return [patched_score(loop, start, count, metric, edit) for edit in edits]
    rows = torch.arange(n_rows).repeat(n_pos)
    _, state, context = start
    state = with_parts(state, {name: part[rows] for name, part in parts_of(state).items()})
    mask = at == at.repeat_interleave(n_rows)[:, None]  # [position and row, position]
    edit = StepEdit(site, step, _to(value[rows], mask, axis), call)
    taken: Any = loop
    scores = patched_score(loop, (step, state, taken.take(context, rows)), count, metric, edit)
    return list(scores.reshape(n_pos, n_rows))


def _to(value: Tensor, mask: Tensor | None = None, axis: int = 1) -> Callable[[Tensor], Tensor]:
    """An edit to ``value``; where ``mask``, bool [pos] or [batch, pos], is given, at its positions alone."""
    if mask is None:
        return lambda _: value
    shape = [1] * value.ndim
    shape[axis] = mask.shape[-1]
    if mask.ndim > 1:
        shape[0] = len(mask)
    return lambda found: torch.where(mask.reshape(shape), value.to(found), found)


def patched_score(
    loop: Loop, start: tuple[int, Any, Any], count: int, metric: Metric, edit: StepEdit
) -> Tensor:
    run = run_loop(loop, None, count, start=start, edits=[edit], read=False)
    _, state, context = run.at(count)
    return metric(loop.read(state, context))


def _last(run: LoopRun) -> dict[str, Tensor]:
    return {factor: logits[-1] for factor, logits in run.logits.items()}
