"""Layers with tied weights, as the PyPI package `x-transformers` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.adapters.x_transformers import embedded, sites_of_layers


class TiedLayersLoop:
    """``attn_layers`` with ``weight_tie_layers=True``: all layers once are a step; the last norm belongs to ``read``.

    Raises:
        ValueError: layers that hand more than a residual stream from one to the next.
    """

    def __init__(self, model: Any) -> None:
        self.module: nn.Module = model
        self.model, self.layers = model, model.attn_layers
        self.n_steps: int = len(self.layers.layers_execute_order) // len(self.layers.layers)
        self.sites = sites_of_layers(self.layers)
        more = ("add_value_residual", "residual_attn", "cross_attend", "reinject_input", "need_condition")
        found = [name for name in more if getattr(self.layers, name, False)]
        if found or self.layers.num_residual_streams > 1:
            raise ValueError(
                f"the layers have {', '.join(found) or 'several streams'}; allowed are plain layers"
            )

    def begin(self, inputs: Tensor) -> tuple[Tensor, Any]:
        """``inputs``: ids [batch, pos]; the context is the rotary table, None without one."""
        rotary = self.layers.rotary_pos_emb
        table = None if rotary is None else rotary(torch.arange(inputs.shape[1], device=inputs.device))
        return embedded(self.model, inputs), table

    def step(self, state: Tensor, step: int, context: Any) -> Tensor:
        for kind, (norms, block, residual) in zip(self.layers.layer_types, self.layers.layers, strict=True):
            before, inner, options = residual.prepare(state)
            pre, post_branch, post = norms
            given = before if pre is None else pre(before)
            named = {"rel_pos": self.layers.rel_pos, "rotary_pos_emb": context} if kind == "a" else {}
            out = block(given, **named)
            out = out if post_branch is None else post_branch(out)
            state = residual(out, inner, **options)
            state = state if post is None else post(state)
        return state

    def read(self, state: Tensor, context: Any) -> Mapping[str, Tensor]:
        return {"token": self.model.to_logits(self.layers.final_norm(state))}
