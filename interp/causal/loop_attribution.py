"""Attribution patching on any loop: all patches of a sweep at once, to first order, with the loop's true gradients.

    estimate = corrupt metric + (clean activation - corrupt activation) . d metric / d activation, at the corrupt run

One forward and one backward pass in place of a run for each patch. Exact where what follows is linear; where it is not,
compare with :func:`interp.loop_patch_sweep`. Gradients are those of the loop as it is written: through rounding or
snapping there are none, so of a discrete model only the last step has estimates other than 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal, cast

import torch
from torch import Tensor

from interp.causal.loop_metrics import Metric, metric_between, need_gradient
from interp.causal.loop_sweep import LoopSweep
from interp.loop.edits import StepEdit
from interp.loop.places import position_axis
from interp.loop.protocol import STATE, Loop, LoopedError, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop


def loop_attribution(
    loop: Loop,
    clean: Any,
    corrupt: Any,
    sites: Collection[str],
    metric: Metric | str,
    n_steps: int | None = None,
    pos: Literal["all", "each"] = "all",
) -> LoopSweep:
    """What :func:`interp.loop_patch_sweep` would give, estimated; the arguments are the same.

    Raises:
        LoopedError: as there; a site that holds integers.

    Examples:
        >>> from interp import logit_difference, loop_attribution
        >>> from models import as_loop, load
        >>> loop = as_loop(load("compiled"))
        >>> texts = "20 = a; 2 = b; a + b = c", "20 = a; 5 = b; a + b = c"
        >>> metric = logit_difference("value", pos=12, clean=22, corrupt=2)
        >>> loop_attribution(loop, *texts, ["1.mlp_out"], metric, n_steps=2).effect[0].tolist()  # before the snap
        [0.0]
    """
    count = steps_of(loop, clean, n_steps, "attribution")
    modules = [site for site in sites if site.partition(".")[0] != STATE]
    need_gradient(metric)
    whole = run_loop(loop, clean, count, record=modules, read=False)
    plain = run_loop(loop, corrupt, count, record=modules, keep_logits=True)
    leaves: dict[str, list[Tensor]] = {site: [] for site in sites}
    edits = [StepEdit(site, "all", _marking(site, leaves[site])) for site in sites]
    run = run_loop(loop, corrupt, count, edits=edits, keep_logits=True, grad=True)
    clean_read = _read_last(loop, whole, count)
    measure = metric_between(metric, clean_read, plain.last_read)
    scores = measure(run.last_read)
    cast(Any, scores.sum()).backward()
    cells: list[tuple[str, int, int, int]] = []
    estimates: list[Tensor] = []
    base = measure(plain.last_read)
    for site in sites:
        axis = position_axis(site)
        for (step, call), leaf in zip(run.places(site), leaves[site], strict=True):
            change = whole.of(site, step, call) - plain.of(site, step, call)
            gradient = torch.zeros_like(change) if leaf.grad is None else leaf.grad
            by_pos = (change * gradient).movedim(axis, 0).flatten(2).sum(-1)  # [pos, batch]
            found = list(by_pos) if pos == "each" else [by_pos.sum(0)]
            cells += [(site, step, call, at if pos == "each" else -1) for at in range(len(found))]
            estimates += [base + estimate.detach() for estimate in found]
    return LoopSweep(tuple(cells), torch.stack(estimates), measure(clean_read), base)


def _marking(site: str, leaves: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """An edit that adds nothing, and keeps what it adds: its gradient is the activation's."""

    def marked(activation: Tensor) -> Tensor:
        if not activation.is_floating_point():
            raise LoopedError(f"{site!r} holds {activation.dtype}, which has no gradient; allowed are floats")
        leaves.append(torch.zeros_like(activation).requires_grad_())
        return activation + leaves[-1]

    return marked


@torch.no_grad()
def _read_last(loop: Loop, run: LoopRun, count: int) -> Any:
    _, state, context = run.at(count)
    return loop.read(state, context)
