"""An edge's score by gradients: EAP and EAP-IG over all steps, in one backward pass or a few.

    EAP      ``sum over positions of (clean write - what stands on a cut edge) . d m / d input``, the gradient at the
             clean run (Syed et al. 2023)
    EAP-IG   the mean of the gradients at ``instead + k / n (clean - instead)``, k = 1..n, of the embedding that enters
             a step (Hanna et al. 2024, section 3), here in every step

Both estimate m with the edge minus m without it. Inside a step the gradient is the true one; from step to step it
crosses the discrete state by the straight-through estimator, which is an assumption: compare with the exact score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.within_step import edge_hooks
from interp.circuits.cut_runs import CutRuns
from interp.circuits.pair_runs import PairRuns
from models.hooks import StepHookPoint

N_POINTS = 5
"""Points between the two ends, as in the paper."""


def eap_scores(runs: PairRuns, tied: bool) -> NDArray[np.float64]:
    """Float [step, edge], m being read as for :func:`interp.circuits.exact_scores.exact_scores`; with ``tied`` the sum
    over steps, in every step.
    """
    return _scores(runs, tied, 1)


def eap_ig_scores(runs: PairRuns, tied: bool) -> NDArray[np.float64]:
    """As :func:`eap_scores`, with :data:`N_POINTS` gradients."""
    return _scores(runs, tied, N_POINTS)


def _scores(runs: PairRuns, tied: bool, points: int) -> NDArray[np.float64]:
    scores = np.mean([_of_pair(pair, points, not tied) for pair in runs.pairs], axis=0)
    return np.tile(scores.sum(0), (len(scores), 1)) if tied else scores


def _of_pair(pair: CutRuns, points: int, every: bool) -> NDArray[np.float64]:
    gaps = pair.clean_writes - pair.instead
    total: dict[tuple[str, int], Tensor] = {}
    for point in range(1, points + 1):
        entering = pair.instead[:, 0] + point / points * gaps[:, 0]
        for key, gradient in _gradients(pair, entering, every).items():
            total[key] = total.get(key, torch.zeros(())) + gradient / points
    graph = pair.graph
    scores = np.zeros((pair.n_steps, len(graph.edges)))
    for (kind, layer, head), span in graph.spans.items():
        name = f"blocks.{graph.n_layers - 1}.hook_resid_post"
        if layer is not None:
            name = f"blocks.{layer}." + ("hook_mlp_in" if kind == "mlp" else f"attn.hook_{kind}_input")
        for step in range(pair.n_steps):
            gradient = total[name, step] if head is None else total[name, step][:, head]
            before = gaps[step, : span.stop - span.start]
            scores[step, span] = torch.einsum("wpd,pd->w", before, gradient).double().numpy(force=True)
    return scores


def _gradients(pair: CutRuns, entering: Tensor, every: bool) -> dict[tuple[str, int], Tensor]:
    """Gradient of the metric at every reader's input, [pos, d_model] or [pos, head, d_model], with ``entering`` float
    [step, pos, d_model] as what enters the steps; ``every``: of the sum of the metrics of all steps.
    """
    model, live = pair.model, dict[tuple[str, int], Tensor]()

    def enter(embed: Tensor, hook: StepHookPoint) -> Tensor:
        point = entering[hook.step, None]
        return point.detach().requires_grad_() if hook.step == 0 else point + embed - embed.detach()

    def keep(read: Tensor, hook: StepHookPoint) -> Tensor:
        # q, k and v are read from one tensor; a gradient of each needs one of its own.
        own = live[hook.plain_name, hook.step] = read.clone()
        return own

    layers = range(model.cfg.n_layers)
    inputs = ("attn.hook_q_input", "attn.hook_k_input", "attn.hook_v_input", "hook_mlp_in")
    names = [f"blocks.{layer}.{name}" for layer in layers for name in inputs]
    names.append(f"blocks.{model.cfg.n_layers - 1}.hook_resid_post")
    hooks: list[tuple[str, Callable[..., Any]]] = []
    model.grow_steps(pair.n_steps)
    for step in range(pair.n_steps):
        hooks.append((f"steps.{step}.hook_embed", enter))
        hooks += [(f"steps.{step}.{name}", keep) for name in names]
    with torch.enable_grad(), edge_hooks(model.at_step(0)), model.hooks(fwd_hooks=hooks):
        logits = model.forward(pair.clean.encoded, n_steps=pair.n_steps, estimator="straight_through")
        read = pair.metrics if every else (*[None] * (pair.n_steps - 1), pair.metric)
        measured = torch.stack([own(at)[0] for own, at in zip(read, logits, strict=True) if own]).sum()
        found = torch.autograd.grad(measured, list(live.values()), allow_unused=True, materialize_grads=True)
    return {key: gradient[0] for key, gradient in zip(live, found, strict=True)}
