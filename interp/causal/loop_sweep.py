"""Patch sweeps on any loop: an activation of a clean run put into a corrupt one, at every step, call and position.

    effect = (patched - corrupt) / (clean - corrupt)

with the metric of the last state: 0 where the patch does nothing, 1 where it restores the clean run (denoising). Runs
share what they can (:func:`interp.run_edits`): one that is patched at step t begins there, and ends where it comes
into a state that is known. An activation that carries the whole answer restores it trivially: compare
sites of one step, and hold a whole state patched (effect 1 by construction) as no evidence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.causal.loop_metrics import Metric, metric_between
from interp.causal.normalising import Direction, base_and_source, normalised_rows
from interp.engine.loop_edits import run_edits
from interp.loop.edits import Put, StepEdit
from interp.loop.places import position_axis
from interp.loop.protocol import STATE, Loop, LoopedError, steps_of
from interp.loop.running import run_loop
from models.one_line import one_line


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
        """Float [cell, batch]: see the module; nan where clean and corrupt are equal."""
        return normalised_rows(self.patched, self.clean, self.corrupt)

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
    metric: Metric | str,
    n_steps: int | None = None,
    steps: Collection[int] | None = None,
    pos: Literal["all", "each"] = "all",
    direction: Direction = "denoise",
) -> LoopSweep:
    """Put what the clean run has at each site, step and call into the corrupt run, or the reverse (``"noise"``).

    Args:
        clean, corrupt: inputs of one shape.
        sites: sites, addresses or states (``"state"``, ``"state.H"``).
        metric: of what ``read`` gives of the last state, or a name (:data:`interp.causal.loop_metrics.LOOP_METRICS`).
        steps: default: all.
        pos: ``"each"``: every position by itself.

    Raises:
        LoopedError: as :func:`interp.run_loop`; inputs whose activations differ in shape.
        ValueError: an unknown direction.

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
    given, taken = base_and_source(clean, corrupt, direction)
    source = run_loop(loop, taken, count, record=modules, keep_logits=True)
    base = run_loop(loop, given, count, keep_logits=True)
    chosen = range(count) if steps is None else steps
    beyond = [step for step in chosen if not 0 <= step < count]
    if beyond:
        raise LoopedError(f"steps have {beyond[0]}; allowed are 0..{count - 1}")
    cells: list[tuple[str, int, int, int]] = []
    edits: list[StepEdit] = []
    for site in sites:
        axis = position_axis(site)
        for step, call in _wanted(source.places(site), chosen):
            value = source.of(site, step, call)
            for at in [None] if pos == "all" else range(value.shape[axis]):
                cells.append((site, step, call, -1 if at is None else at))
                edits.append(StepEdit(site, step, Put(value, at, axis), call))
    measure = metric_between(metric, *base_and_source(source.last_read, base.last_read, direction)[::-1])
    patched = [measure(run.read) for run in run_edits(loop, base, edits)]
    ends = base_and_source(measure(source.last_read), measure(base.last_read), direction)[::-1]
    return LoopSweep(tuple(cells), torch.stack(patched), *ends)


def _wanted(places: Collection[tuple[int, int]], steps: Collection[int]) -> list[tuple[int, int]]:
    """The places of these steps, in their order."""
    return [place for step in steps for place in places if place[0] == step]
