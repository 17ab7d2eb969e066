"""What stands on an edge that is cut: the writer's output in another run, or a mean over runs.

    corrupt     what the writer wrote in the pair's corrupt run, at the same step and position
    mean        the mean of what it wrote over all positions of all clean runs, at the same step
    resample    what it wrote at positions drawn at random in the next pair's clean run (the same one, if there is but
                one), at the same step; one draw of positions for all writers and steps

With ``corrupt`` an edge matters if it carries what the pair differs in; with the other two, if it carries anything that
the answer depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from interp.causal.within_step import edge_hooks
from interp.engine.interventions import Recording
from models.recurrent import RecurrentTransformer

ABLATIONS: Final = ("corrupt", "mean", "resample")

Writes = Float[Tensor, "step writer pos d_model"]


@torch.no_grad()
def writes_of(model: RecurrentTransformer, run: Recording) -> Writes:
    """What every writer of :class:`interp.circuits.step_graph.StepGraph` added to the stream in a run."""
    layers = range(model.cfg.n_layers)
    names = ["hook_embed"]
    names += [f"blocks.{layer}.{name}" for layer in layers for name in ("attn.hook_result", "hook_mlp_out")]
    with edge_hooks(model.at_step(0)):
        _, cache = model.run_with_cache(run.encoded, names=names, n_steps=run.n_steps)
    parts = [cache["hook_embed"][:, 0, :, None]]
    for layer in layers:
        parts.append(cache[f"blocks.{layer}.attn.hook_result"][:, 0])
        parts.append(cache[f"blocks.{layer}.hook_mlp_out"][:, 0, :, None])
    return torch.cat(parts, dim=2).permute(0, 2, 1, 3).contiguous()


def replaced_writes(
    ablation: str, clean: Sequence[Writes], corrupt: Sequence[Writes], seed: int = 0
) -> list[Writes]:
    """What stands on the cut edges of every pair, given what was written in its two runs.

    Raises:
        ValueError: an ablation that is none of :data:`ABLATIONS`.
    """
    if ablation == "corrupt":
        return list(corrupt)
    if ablation == "mean":
        total = torch.stack([writes.sum(2) for writes in clean]).sum(0)
        mean = total / sum(writes.shape[2] for writes in clean)
        return [mean[:, :, None].expand_as(writes) for writes in clean]
    if ablation == "resample":
        generator = torch.Generator().manual_seed(seed)
        others = [*clean[1:], clean[0]]
        return [
            other[:, :, torch.randint(other.shape[2], (own.shape[2],), generator=generator)]
            for own, other in zip(clean, others, strict=True)
        ]
    raise ValueError(f"ablation is {ablation!r}; allowed are {', '.join(ABLATIONS)}")
