"""OpenMythos (PyPI `open-mythos`): prelude, one block with injected input and adaptive halting, coda.

The package pins an older torch, so nothing is imported here: the model is asked for the members that its class has.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.adapters.layer_sites import layer_sites


class OpenMythosLoop:
    """A step is the recurrent block once, with adaptive computation time (Graves 2016, arXiv 1603.08983).

    The state has ``hidden`` [batch, pos, d], ``shown`` (the sum of hidden states, weighted by when a position halts:
    what the coda reads), and ``left`` [batch, pos], the probability that is used up.
    """

    def __init__(self, model: Any) -> None:
        self.module = self.model = model
        self.block = model.recurrent
        self.n_steps: int = model.cfg.max_loop_iters
        self.n_heads: int = model.cfg.n_heads
        self.sites = layer_sites("", "recurrent.block", "attn", "ffn", pattern=False)

    def begin(self, inputs: Tensor) -> tuple[dict[str, Tensor], tuple[Any, ...]]:
        """``inputs``: ids [batch, pos]; the context is the prelude's output, rotary table and mask."""
        model, n = self.model, inputs.shape[1]
        rotary = (model.freqs_cis_mla if model.cfg.attn_type == "mla" else model.freqs_cis)[:n]
        mask = model._causal_mask(n, inputs.device) if n > 1 else None
        x = model.embed(inputs)
        for layer in model.prelude:
            x = layer(x, rotary, mask)
        none = torch.zeros_like(x)
        return {"hidden": x, "shown": none, "left": none[..., 0]}, (x, rotary, mask)

    def step(self, state: Mapping[str, Tensor], step: int, context: tuple[Any, ...]) -> dict[str, Tensor]:
        given, rotary, mask = context
        block, left, limit = self.block, state["left"], self.block.cfg.act_threshold
        numbered = vars(sys.modules[type(self.model).__module__])["loop_index_embedding"]
        x = block.norm(numbered(state["hidden"], step, block.loop_dim) + given)
        x = block.block(x, rotary, mask)
        hidden = block.injection(state["hidden"], given, x + block.lora(x, step))
        leaves = block.act(hidden) * (left < limit)
        weight = torch.where(left + leaves >= limit, (1 - left).clamp(min=0), leaves) * (left < limit)
        shown = state["shown"] + weight[..., None] * hidden
        return {"hidden": hidden, "shown": shown, "left": left + leaves}

    def read(self, state: Mapping[str, Tensor], context: tuple[Any, ...]) -> Mapping[str, Tensor]:
        x = state["shown"]
        for layer in self.model.coda:
            x = layer(x, *context[1:])
        return {"token": self.model.head(self.model.norm(x))}

    def halted(self, state: Mapping[str, Tensor], context: tuple[Any, ...]) -> Tensor:
        """Bool [batch, pos]."""
        return state["left"] >= self.block.cfg.act_threshold
