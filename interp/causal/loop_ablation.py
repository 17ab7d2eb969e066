"""Ablation on any loop: an activation set to its mean, to zero, or to another input's, in one step or in all of them.

An ablation by name is made in every step; only the step axis tells what a loop needs all the time from what it can do
without once. The mean is over rows, positions, steps and calls of the run that is ablated. Resampled
is, in the same step and call, what stands in the next row (the last row: in the first) at positions drawn at random.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal, get_args

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.causal.loop_metrics import Metric, metric_of_run, task_accuracy, unchanged
from interp.engine.loop_edits import run_edits
from interp.loop.edits import Fill, Put, StepEdit
from interp.loop.places import position_axis
from interp.loop.protocol import Loop, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from interp.loop.task import Task
from models.one_line import one_line

Value = Literal["mean", "zero", "resample"]
EVERY_STEP: Final = -1


@one_line
@dataclass(frozen=True, eq=False)
class LoopAblation:
    """Metrics of ablated runs.

    Attributes:
        cells: one an ablation: site and step, :data:`EVERY_STEP` for all together.
        ablated: float [cell, batch]. plain: float [batch], of the run as it is.
    """

    cells: tuple[tuple[str, int], ...]
    ablated: Tensor
    plain: Tensor

    def to_frame(self) -> pd.DataFrame:
        """A line an ablation, means over the batch: ``site``, ``step`` (or ``"all"``), ``ablated``, ``change``."""
        frame: Any = pd.DataFrame(self.cells, columns=["site", "step"])
        frame["step"] = ["all" if step == EVERY_STEP else step for _, step in self.cells]
        change = (self.ablated - self.plain).mean(1).numpy()
        return frame.assign(ablated=self.ablated.mean(1).numpy(), change=change)


@torch.no_grad()
def loop_ablate(
    loop: Loop,
    inputs: Any,
    sites: Collection[str],
    metric: Metric | str | None = None,
    n_steps: int | None = None,
    value: Value = "mean",
    task: Task | None = None,
    seed: int = 0,
) -> LoopAblation:
    """Ablate every site in every step that calls it, and in all of them together.

    Args:
        metric: default: with a task the share of its labels that are shown (:func:`interp.task_accuracy`), without one
            the share of symbols that stay as they are without ablation. A name: see
            :func:`interp.causal.loop_metrics.metric_of_run`.
        seed: of the positions that are drawn, once for a site.

    Raises:
        LoopedError: as :func:`interp.run_loop`; no number of steps. ValueError: an unknown ``value``.

    Examples:
        >>> from interp import logit_difference, loop_ablate
        >>> from models import as_loop, load
        >>> metric = logit_difference("value", pos=12, clean=22, corrupt=2)
        >>> text = "20 = a; 2 = b; a + b = c"
        >>> found = loop_ablate(as_loop(load("compiled")), text, ["2.z"], metric, n_steps=3, value="zero")
        >>> found.to_frame()[["step", "change"]].round().values.tolist()  # the last step writes it again
        [[0, 0.0], [1, 0.0], [2, -30.0], ['all', -30.0]]
    """
    if value not in get_args(Value):
        raise ValueError(f"value is {value!r}; allowed are {', '.join(get_args(Value))}")
    count = steps_of(loop, inputs, n_steps, "ablation")
    run = run_loop(loop, inputs, count, record=list(sites), keep_logits=True)
    shown = run.last_read
    if metric is None:
        metric = unchanged(shown) if task is None else task_accuracy(task, inputs)
    measure = metric_of_run(metric, shown)
    cells: list[tuple[str, int]] = []
    edits: list[list[StepEdit]] = []
    for site in sites:
        by_step = _by_step(run, site, value, seed)
        cells += [(site, step) for step in [*by_step, EVERY_STEP]]
        edits += [*by_step.values(), list(chain(*by_step.values()))]
    ablated = [measure(run.read) for run in run_edits(loop, run, edits)]
    return LoopAblation(tuple(cells), torch.stack(ablated), measure(shown))


def _by_step(run: LoopRun, site: str, value: Value, seed: int) -> dict[int, list[StepEdit]]:
    """The edits of every step that calls the site."""
    places = run.places(site)
    if value != "resample":
        mean = run[site][run.calls[site]].flatten(0, -2).float().mean(0)
        off = torch.zeros_like if value == "zero" else Fill(mean)
        return {step: [StepEdit(site, step, off)] for step, _ in places}
    axis = position_axis(site)
    n_pos = run[site].shape[2 + axis]
    drawn = torch.randint(n_pos, (n_pos,), generator=torch.Generator().manual_seed(seed))
    found: dict[int, list[StepEdit]] = {}
    for step, call in places:
        taken = run.of(site, step, call).roll(-1, 0)
        put = Put(taken.index_select(axis, drawn.to(taken.device)))
        found.setdefault(step, []).append(StepEdit(site, step, put, call))
    return found
