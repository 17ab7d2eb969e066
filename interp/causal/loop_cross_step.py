"""Cross-step patching on any loop: what an activation of one step does in another.

Entry [i, j] is the metric of the corrupt run with the clean run's activation of step i in place of its own at step j:
whether a step reads what another would, or whether the loop has moved on. Its diagonal is that of the patch sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.causal.loop_metrics import Metric, metric_between
from interp.causal.normalising import normalised_rows
from interp.engine.loop_edits import run_edits
from interp.loop.edits import Put, StepEdit
from interp.loop.protocol import STATE, Loop, LoopedError, steps_of
from interp.loop.running import run_loop
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopCrossStep:
    """Metrics: ``patched`` float [source step, target step, batch], nan where the module was not called; ``clean`` and
    ``corrupt`` float [batch].
    """

    site: str
    call: int
    patched: Tensor
    clean: Tensor
    corrupt: Tensor

    @property
    def effect(self) -> Tensor:
        """Float [source, target, batch]: as of a patch sweep."""
        return normalised_rows(self.patched, self.clean, self.corrupt)

    def to_frame(self) -> pd.DataFrame:
        """A line per pair of steps, means over the batch: ``source``, ``target``, ``patched``, ``effect``."""
        source, target = (axis.ravel() for axis in np.indices(self.patched.shape[:2]))
        means = {"patched": self.patched.mean(-1), "effect": self.effect.mean(-1)}
        columns = {name: values.flatten().numpy() for name, values in means.items()}
        return pd.DataFrame({"source": source, "target": target, **columns})


@torch.no_grad()
def loop_cross_step(
    loop: Loop,
    clean: Any,
    corrupt: Any,
    site: str,
    metric: Metric | str,
    n_steps: int | None = None,
    call: int = 0,
) -> LoopCrossStep:
    """Put the clean run's activation of every step into the corrupt run at every step.

    Args:
        site: a site, an address, or a state; ``call``: which call within the steps.

    Raises:
        LoopedError: as :func:`interp.run_loop`; a call that no step has.

    Examples:
        >>> from interp import logit_difference, loop_cross_step
        >>> from models import as_loop, load
        >>> texts = "20 = a; 2 = b; a + b = c", "20 = a; 5 = b; a + b = c"
        >>> metric = logit_difference("value", pos=12, clean=22, corrupt=2)
        >>> found = loop_cross_step(as_loop(load("compiled")), *texts, "2.z", metric, n_steps=2)
        >>> found.effect[:, :, 0].round().tolist()  # only step 1 has it, and only step 1 shows it
        [[0.0, 0.0], [0.0, 1.0]]
    """
    count = steps_of(loop, clean, n_steps, "cross-step patching")
    is_state = site.partition(".")[0] == STATE
    whole = run_loop(loop, clean, count, record=[] if is_state else [site], keep_logits=True)
    base = run_loop(loop, corrupt, count, keep_logits=True)
    called = torch.ones(count, 1, dtype=torch.bool) if is_state else whole.calls[site]
    if not 0 <= call < called.shape[1]:
        raise LoopedError(f"call is {call}; allowed are 0..{called.shape[1] - 1}")
    measure = metric_between(metric, whole.last_read, base.last_read)
    ends = [measure(run.last_read) for run in (whole, base)]
    patched = torch.full((count, count, len(ends[0])), torch.nan)
    cells = [
        (source, target)
        for source, target in np.ndindex(count, count)
        if bool(called[source, call] and called[target, call])
    ]
    values = whole[site] if is_state else whole[site][:, call]
    edits = [StepEdit(site, target, Put(values[source]), call) for source, target in cells]
    for cell, run in zip(cells, run_edits(loop, base, edits), strict=True):
        patched[cell] = measure(run.read)
    return LoopCrossStep(site, call, patched, *ends)
