"""Attention of any loop, step by step: where each head looks, and how that changes from one step to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor, nn

from interp.loop.protocol import Loop, sites_of, steps_of
from interp.loop.running import run_loop
from models import as_loop
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopAttention:
    """Attention patterns.

    Attributes:
        patterns: site -> float [step, call, batch, head, destination, source].
        calls: site -> bool [step, call].
        tokens: text at every position, None where the loop has none.
    """

    patterns: Mapping[str, Tensor]
    calls: Mapping[str, Tensor]
    tokens: list[list[str]] | None

    def to_frame(self) -> pd.DataFrame:
        """A line per site, step, call and head, means over rows and destinations.

        ``entropy`` in bits; ``distance``, how many positions back or forth; ``own``, the share of the destination
        itself; ``change``, half the absolute difference from the call before, 0 to 1, nan for the first.
        """
        lines: list[dict[str, Any]] = []
        for site, pattern in self.patterns.items():
            before: Tensor | None = None
            for step, call in (map(int, place) for place in self.calls[site].nonzero()):
                now = pattern[step, call].float()
                for head, measures in enumerate(_measures(now, before)):
                    lines.append({"site": site, "step": step, "call": call, "head": head} | measures)
                before = now
        return pd.DataFrame(lines)


def step_attention(model: Loop | nn.Module, inputs: Any, n_steps: int | None = None) -> LoopAttention:
    """Run a looped model and keep its attention patterns, step by step.

    Args:
        model: a loop, or a model that :func:`models.as_loop` knows, those of this repository among them.

    Raises:
        LoopedError: a loop without ``sites['pattern']``, or whose module gives None there; no number of steps.
        TypeError: a model that is neither.

    Examples:
        >>> from interp import step_attention
        >>> from models import load
        >>> found = step_attention(load("compiled"), "20 = a; 2 = b; a + b = c", n_steps=2)
        >>> found.patterns["1.pattern"].shape, len(found.to_frame())  # 3 layers, 2 steps, 6 heads
        (torch.Size([2, 1, 1, 6, 13, 13]), 36)
    """
    loop = as_loop(model)
    count = steps_of(loop, inputs, n_steps, "attention over steps")
    sites = sites_of(loop, "pattern", "attention over steps")
    run = run_loop(loop, inputs, count, record=sites, read=False)
    return LoopAttention(run.activations, run.calls, run.tokens)


loop_attention = step_attention
"""The name that it had for loops alone."""


def _measures(now: Tensor, before: Tensor | None) -> list[dict[str, float]]:
    """Of every head of a pattern [batch, head, destination, source]."""
    place = torch.arange(now.shape[-1])
    distance = (place[:, None] - place).abs().float() if now.shape[-1] == now.shape[-2] else None
    bits: Tensor = torch.where(now > 0, -now * now.clamp_min(1e-38).log2(), 0)
    found: dict[str, Tensor] = {"entropy": bits.sum(-1)}
    if distance is not None:
        found |= {"distance": (now * distance).sum(-1), "own": now.diagonal(dim1=-2, dim2=-1)}
    found["change"] = (
        torch.full_like(found["entropy"], torch.nan) if before is None else (now - before).abs().sum(-1) / 2
    )
    heads = range(now.shape[1])
    return [{name: float(values[:, head].mean()) for name, values in found.items()} for head in heads]
