"""Ablation on any loop: an activation set to its mean or to zero, in one step or, tied, in all of them.

An ablation by name is made in every step; only the step axis tells what a loop needs all the time from what it can do
without once. The mean is over rows, positions, steps and calls of the run that is ablated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.causal.loop_metrics import task_accuracy, unchanged
from interp.causal.loop_sweep import Metric
from interp.engine.loop_edits import run_edits
from interp.loop.edits import Fill, StepEdit
from interp.loop.protocol import Loop, steps_of
from interp.loop.running import run_loop
from interp.loop.task import Task
from models.one_line import one_line

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
    metric: Metric | None = None,
    n_steps: int | None = None,
    value: Literal["mean", "zero"] = "mean",
    task: Task | None = None,
) -> LoopAblation:
    """Ablate every site in every step that calls it, and in all of them together.

    Args:
        metric: default: with a task the share of its labels that are shown (:func:`interp.task_accuracy`), without one
            the share of symbols that stay as they are without ablation.

    Raises:
        LoopedError: as :func:`interp.run_loop`; no number of steps.

    Examples:
        >>> from interp import logit_difference, loop_ablate
        >>> from models import as_loop, load
        >>> metric = logit_difference("value", pos=12, clean=22, corrupt=2)
        >>> text = "20 = a; 2 = b; a + b = c"
        >>> found = loop_ablate(as_loop(load("compiled")), text, ["2.z"], metric, n_steps=3, value="zero")
        >>> found.to_frame()[["step", "change"]].round().values.tolist()  # the last step writes it again
        [[0, 0.0], [1, 0.0], [2, -30.0], ['all', -30.0]]
    """
    count = steps_of(loop, inputs, n_steps, "ablation")
    run = run_loop(loop, inputs, count, record=list(sites), keep_logits=True)
    shown = {factor: logits[-1] for factor, logits in run.logits.items()}
    if metric is None:
        metric = unchanged(shown) if task is None else task_accuracy(task, inputs)
    cells: list[tuple[str, int]] = []
    edits: list[StepEdit] = []
    for site in sites:
        called = run.calls[site]
        mean = run[site][called].flatten(0, -2).float().mean(0)
        off = torch.zeros_like if value == "zero" else Fill(mean)
        steps = [step for step in range(count) if bool(called[step].any())]
        cells += [(site, step) for step in [*steps, EVERY_STEP]]
        edits += [*(StepEdit(site, step, off) for step in steps), StepEdit(site, "all", off)]
    ablated = [metric(run.read) for run in run_edits(loop, run, edits)]
    return LoopAblation(tuple(cells), torch.stack(ablated), metric(shown))
