"""Ouro (Zhu et al. 2025, arXiv 2510.25741): a decoder that is applied again and again, with a gate at which to leave.

Its code comes with its checkpoint: the model is asked for the members that ``OuroForCausalLM`` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from models.adapters.layer_sites import layer_sites


class OuroLoop:
    """A step is the whole stack and its norm. The state has ``hidden`` [batch, pos, d], and [batch, pos]: ``exit``, the
    probability of having left by now, and ``stay``, that of not having.

    A position has halted when ``exit`` is ``threshold`` (default: the model's own, else 1) or more.
    """

    def __init__(self, model: Any, threshold: float | None = None) -> None:
        self.module = model
        self.ouro, self.config = model.model, model.config
        self.threshold: float = threshold or getattr(model, "early_exit_threshold", None) or 1.0
        self.n_steps: int = self.ouro.total_ut_steps
        self.n_heads: int = self.config.num_attention_heads
        self.sites: dict[str, str] = {}
        for layer in range(self.config.num_hidden_layers):
            self.sites |= layer_sites(f"{layer}.", f"model.layers.{layer}", "self_attn", "mlp")

    def begin(self, inputs: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """``inputs``: ids [batch, pos]; the context is what every layer is called with."""
        masks: Any = import_module("transformers.masking_utils")

        hidden = self.ouro.embed_tokens(inputs)
        positions = torch.arange(inputs.shape[1], device=inputs.device)[None]
        mask = masks.create_causal_mask(self.config, hidden, None, None, position_ids=positions)
        none = torch.zeros_like(hidden[..., 0])
        rotary = self.ouro.rotary_emb(hidden, positions)
        context = {"attention_mask": mask, "position_ids": positions, "position_embeddings": rotary}
        return {"hidden": hidden, "exit": none, "stay": none + 1}, context

    def step(self, state: Mapping[str, Tensor], step: int, context: dict[str, Any]) -> dict[str, Tensor]:
        hidden = state["hidden"]
        for layer in self.ouro.layers[: self.config.num_hidden_layers]:
            hidden = layer(hidden, current_ut=step, **context)
        hidden = self.ouro.norm(hidden)
        leaves = self.ouro.early_exit_gate(hidden)[..., 0].sigmoid()
        left = state["exit"] + state["stay"] * leaves
        return {"hidden": hidden, "exit": left, "stay": state["stay"] * (1 - leaves)}

    def lens(self, hidden: Tensor, context: dict[str, Any]) -> Mapping[str, Tensor]:
        return {"token": self.module.lm_head(self.ouro.norm(hidden))}

    def read(self, state: Mapping[str, Tensor], context: dict[str, Any]) -> Mapping[str, Tensor]:
        return {"token": self.module.lm_head(state["hidden"])}

    def halted(self, state: Mapping[str, Tensor], context: dict[str, Any]) -> Tensor:
        """Bool [batch, pos]."""
        return state["exit"] >= self.threshold
