"""Ablation of attention heads on any loop: each by itself, and two together, which tells what is redundant.

A head that another one can stand in for loses nothing when it is ablated alone. What two together lose beyond the sum
of what each loses shows it:

    redundancy(a, b) = effect(a and b) - effect(a) - effect(b),    effect = metric(ablated) - metric(plain)

An ablated head gives ``z`` = 0, or its mean over rows, positions, steps and calls, in every step of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor, nn

from interp.causal.loop_metrics import Metric, metric_of_run
from interp.loop.edits import StepEdit
from interp.loop.protocol import Loop, sites_of, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from models import as_loop
from models.one_line import one_line

Head = tuple[str, int]
"""A ``z`` site and the index of a head."""


@one_line
@dataclass(frozen=True, eq=False)
class LoopHeadAblation:
    """Metrics without heads.

    Attributes:
        sets: which heads were ablated together.
        ablated: float [set, batch]. plain: float [batch], of the run as it is.
    """

    sets: tuple[tuple[Head, ...], ...]
    ablated: Tensor
    plain: Tensor

    @property
    def effect(self) -> Tensor:
        """Float [set]: the change of the metric, a mean over the batch."""
        return (self.ablated - self.plain).mean(1)

    def to_frame(self) -> pd.DataFrame:
        """A line a set: ``heads`` as ``"0.z 1, 0.z 2"``, ``n``, ``effect``, ``redundancy`` (nan unless it is two)."""
        effects = dict(zip(self.sets, map(float, self.effect), strict=True))
        lines: list[dict[str, Any]] = []
        for heads, effect in effects.items():
            alone = [effects.get((head,), float("nan")) for head in heads]
            beyond = effect - sum(alone) if len(heads) == 2 else float("nan")
            names = ", ".join(f"{site} {head}" for site, head in heads)
            lines.append({"heads": names, "n": len(heads), "effect": effect, "redundancy": beyond})
        return pd.DataFrame(lines)


@torch.no_grad()
def ablate_heads(
    model: Loop | nn.Module,
    inputs: Any,
    metric: Metric | str,
    n_steps: int | None = None,
    pairs: bool | Collection[tuple[Head, ...]] = True,
    value: Literal["mean", "zero"] = "mean",
) -> LoopHeadAblation:
    """Ablate every head of a looped model, and every two of one site.

    Args:
        model: a loop, or a model that :func:`models.as_loop` knows, those of this repository among them.
        pairs: False: each by itself alone; or the pairs that are wanted.

    Raises:
        LoopedError: a loop without ``sites['z']``; as :func:`interp.run_loop`. TypeError: a model that is neither.

    Examples:
        >>> from interp import ablate_heads, logit_difference
        >>> from models.compiled import make
        >>> metric = logit_difference("parity", pos=4, clean=0, corrupt=1)
        >>> frame = ablate_heads(make("parity"), ["11"], metric, value="zero").to_frame()
        >>> frame[frame.effect != 0].values.tolist()[:2]  # the bit is needed; of the parity before there are two
        [['0.z 0', 1, -30.0, nan], ['0.z 0, 0.z 1', 2, -30.0, 0.0]]
        >>> frame[frame.redundancy < 0].heads.tolist()
        ['0.z 1, 0.z 2']
    """
    loop: Loop = as_loop(model)
    count = steps_of(loop, inputs, n_steps, "ablation of heads")
    sites = sites_of(loop, "z", "ablation of heads")
    run = run_loop(loop, inputs, count, record=sites, keep_logits=isinstance(metric, str))
    measure = metric_of_run(metric, run.last_read if isinstance(metric, str) else {})
    heads = {site: [(site, head) for head in range(run[site].shape[4])] for site in sites}
    sets: list[tuple[Head, ...]] = [(head,) for site in sites for head in heads[site]]
    every = [pair for site in sites for pair in combinations(heads[site], 2)]
    sets += (every if pairs else []) if isinstance(pairs, bool) else list(pairs)
    means = {
        site: _mean(run, site) if value == "mean" else torch.zeros_like(_mean(run, site)) for site in sites
    }

    def score(off: tuple[Head, ...]) -> Tensor:
        edits = [StepEdit(site, "all", _without(head, means[site][head])) for site, head in off]
        done = run_loop(loop, None, count, start=run.at(0), edits=edits, read=False)
        _, state, context = done.at(count)
        return measure(loop.read(state, context))

    ablated: Sequence[Tensor] = [score(off) for off in sets]
    return LoopHeadAblation(tuple(sets), torch.stack(list(ablated)), score(()))


loop_ablate_heads = ablate_heads
"""The name that it had for loops alone."""


def _mean(run: LoopRun, site: str) -> Tensor:
    """Float [head, d_head]."""
    return run[site][run.calls[site]].float().flatten(0, 2).mean(0)


def _without(head: int, mean: Tensor) -> Callable[[Tensor], Tensor]:
    def edit(z: Tensor) -> Tensor:
        z[:, :, head] = mean.to(z)
        return z

    return edit
