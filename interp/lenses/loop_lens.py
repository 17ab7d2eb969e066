"""What every layer of every step already shows, on any loop: its residual stream, read as the loop reads its last.

The loop's ``lens`` reads a residual stream (final norm, coda, head). Where it has none and its state is one tensor,
``read`` is used, with the residual stream in place of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.lenses.readout import readings
from interp.loop.protocol import STATE, Loop, LoopedError, has, need, sites_of, steps_of
from interp.loop.running import run_loop
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopLens:
    """What residual streams say about one factor.

    Attributes:
        points: site and call of every point, in the order of the cycle.
        target: int [batch, pos], the symbol that is asked about.
        rank: float [step, point, batch, pos], of the target, 1 for the largest logit; nan where there was no call.
        log_prob: the same, natural logarithm of its probability.
        kl: the same, nats: KL(what the step's state shows at its end || what is read here).
    """

    factor: str
    points: tuple[tuple[str, int], ...]
    target: Tensor
    rank: Tensor
    log_prob: Tensor
    kl: Tensor

    def to_frame(self) -> pd.DataFrame:
        """Line per step, point, row and position: ``step``, ``site``, ``call``, ``row``, ``pos``, and what is read."""
        axes = torch.meshgrid(*map(torch.arange, self.rank.shape), indexing="ij")
        step, point, row, pos = (axis.flatten().numpy() for axis in axes)
        columns: dict[str, Any] = {"step": step, "site": [self.points[index][0] for index in point]}
        columns |= {"call": [self.points[index][1] for index in point], "row": row, "pos": pos}
        columns |= {name: getattr(self, name).flatten().numpy() for name in ("rank", "log_prob", "kl")}
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """A line per step and point, over positions: where the target is ``best``, mean ``log_prob`` and ``kl``."""
        frame: Any = self.to_frame()
        frame["best"] = frame["rank"] == 1
        return (
            frame.groupby(["step", "site", "call"], sort=False)[["best", "log_prob", "kl"]]
            .mean()
            .reset_index()
        )


@torch.no_grad()
def loop_lens(
    loop: Loop,
    inputs: Any,
    n_steps: int | None = None,
    factor: str | None = None,
    kind: str = "resid_post",
    target: Tensor | None = None,
) -> LoopLens:
    """Run a loop and read every site of a kind, in every step and call.

    Args:
        factor: default: the only one that the loop reads.
        target: int [batch, pos]; default: what the last state shows.

    Raises:
        LoopedError: a loop without such sites, or without ``lens`` where its state is more than one tensor; an unknown
            factor, or none where there are several.

    Examples:
        >>> from interp import loop_lens
        >>> from models import as_loop, load
        >>> lens = loop_lens(as_loop(load("compiled")), "20 = a; 2 = b; a + b = c", 2, factor="value")
        >>> lens.rank[1, :, 0, 12].tolist()  # c's value comes in step 1, with the last layer
        [13.5, 13.5, 1.0]
    """
    count = steps_of(loop, inputs, n_steps, "a lens")
    sites = sites_of(loop, kind, "a lens")
    run = run_loop(loop, inputs, count, record=sites, keep_logits=True)
    name = factor_of(run.logits, factor)
    read = reader_of(loop, STATE in run.states)
    goal = run.codes[name][-1] if target is None else target
    points = [(site, call) for site in sites for call in range(run.calls[site].shape[1])]
    shape = count, len(points), *goal.shape
    found = {key: torch.full(shape, torch.nan) for key in ("rank", "log_prob", "kl")}
    for step in range(count):
        written = run.logits[name][step + 1].float().flatten(0, 1)
        for index, (site, call) in enumerate(points):
            if bool(run.calls[site][step, call]):
                logits = read(run[site][step, call], run.context)[name].float()
                for measure, values in readings(logits.flatten(0, 1), goal.flatten(), written).items():
                    found[measure][step, index] = values.reshape(goal.shape)
    return LoopLens(name, tuple(points), goal, **found)


def factor_of(logits: Mapping[str, Tensor], factor: str | None) -> str:
    """The factor that is meant: the one that was asked for, else the only one there is; raises LoopedError."""
    if factor in logits or (factor is None and len(logits) == 1):
        return factor or next(iter(logits))
    raise LoopedError(
        f"factor is {factor!r}; allowed are {', '.join(logits) or 'none: the loop reads nothing'}"
    )


def reader_of(loop: Loop, one_state: bool) -> Callable[[Tensor, Any], Mapping[str, Tensor]]:
    """What reads a residual stream: the loop's ``lens``, or its ``read`` where its state is one tensor."""
    return need(loop, "lens", "a lens") if has(loop, "lens") or not one_state else loop.read
