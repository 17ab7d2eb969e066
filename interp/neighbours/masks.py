"""Masks over heads and neurons of one step, found by continuous sparsification.

Savarese et al. (2020, arXiv 1912.04427), as *Bigram Subnetworks* (Chang and Bergen 2025, arXiv 2504.15471) uses it:
a unit's output is multiplied by sigmoid(heat x score); scores are trained on the step's loss and a pressure, an L1 cost
of the masks, while the heat rises until masks are 0 or 1. Weights stay as they are. Here a unit is a head or a neuron,
or a whole MLP, not a weight, and a unit that is off gives zeros.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.neighbours.step_set import StepSet
from interp.progress import followed
from models.recurrent import RecurrentTransformer

Units = dict[str, NDArray[np.bool_]]
"""Hook of step 0 (`blocks.0.attn.hook_z`) -> bool [unit], which are on."""
HEADS: Final = "attn.hook_z"
NEURONS: Final = "mlp.hook_post"
MLPS: Final = "hook_mlp_out"
_HOTTEST: Final = 200.0
_OPEN: Final = 3.0
"""Scores at the start: masks of 0.95."""
_RATE: Final = 0.1


def all_units(model: RecurrentTransformer, whole_mlps: bool = False) -> Units:
    """All heads, and all neurons or, if `whole_mlps`, MLPs, on."""
    cfg = model.cfg
    found: Units = {}
    for layer in range(cfg.n_layers):
        found[f"blocks.{layer}.{HEADS}"] = np.ones(cfg.n_heads, bool)
        name, size = (MLPS, 1) if whole_mlps else (NEURONS, model.layers[layer].mlp.b_in.numel())
        found[f"blocks.{layer}.{name}"] = np.ones(size, bool)
    return found


@contextmanager
def only(model: RecurrentTransformer, units: Mapping[str, Tensor | NDArray[np.bool_]]) -> Generator[None]:
    """Multiply units of step 0 by what is given, float or bool [unit]."""

    def multiply(activation: Tensor, hook: Any) -> Tensor:
        gate = units[hook.name.split(".", 2)[2]]
        gate = torch.as_tensor(gate, dtype=activation.dtype, device=activation.device)
        return activation * (gate[:, None] if hook.name.endswith(HEADS) else gate)

    with model.hooks(fwd_hooks=[(f"steps.0.{name}", multiply) for name in units]):
        yield


def sparsify(
    model: RecurrentTransformer,
    steps: StepSet,
    pressure: float,
    rounds: int,
    whole_mlps: bool = False,
    seed: int = 0,
) -> Units:
    """The units that are left after so many updates of scores, each on one batch of the steps.

    pressure: nats that all heads cost, and that all neurons (or MLPs) cost.

    Raises:
        ValueError: no pressure or rounds.
    """
    if not pressure > 0 or rounds < 1:
        raise ValueError(
            f"pressure={pressure}, rounds={rounds}; allowed: a pressure above 0, 1 round or more"
        )
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: len(units) for name, units in all_units(model, whole_mlps).items()}
    scores = {
        name: (_OPEN + 0.1 * torch.randn(size, generator=generator)).requires_grad_(True)
        for name, size in sizes.items()
    }
    kinds = {
        kind: sum(n for name, n in sizes.items() if name.endswith(kind)) for kind in (HEADS, NEURONS, MLPS)
    }
    cost = {name: pressure / next(n for kind, n in kinds.items() if name.endswith(kind)) for name in sizes}
    optimizer: Any = torch.optim.Adam(scores.values(), lr=_RATE)
    losses = steps.losses(model)
    heat = 1.0
    for number in followed(range(rounds)):
        heat = _HOTTEST ** (number / max(rounds - 1, 1))
        gates = {name: torch.sigmoid(heat * score) for name, score in scores.items()}
        loss = torch.stack([cost[name] * gate.sum() for name, gate in gates.items()]).sum()
        batch = int(torch.randint(len(losses), (1,), generator=generator))
        with only(model, gates):
            loss = loss + losses[batch]()
        gradients = torch.autograd.grad(loss, list(scores.values()))
        for score, gradient in zip(scores.values(), gradients, strict=True):
            score.grad = gradient
        optimizer.step()
    return {name: (score > 0).numpy() for name, score in scores.items()}
