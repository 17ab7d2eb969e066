"""HRM-Text, as `transformers` has it: a fast level L that is applied several times for every time of a slow level H."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from models.adapters.layer_sites import layer_sites


class HrmTextLoop:
    """A step is one cycle of the slow level: ``L_cycles`` calls of L, then one of H; the state is ``{"H", "L"}``.

    Sites, by level and layer: ``L.0.resid_pre``, ``L.0.attn_out``, ``L.0.pattern`` (loaded with
    ``attn_implementation="eager"``), ``L.0.mlp_out``, ``L.0.resid_post``. Those of L have ``L_cycles`` calls a step.

    Args:
        model: an ``HrmTextForCausalLM``.
    """

    def __init__(self, model: Any) -> None:
        self.module = model
        self.hrm, self.config = model.model, model.config
        self.n_steps: int = self.config.H_cycles
        self.n_heads: int = self.config.num_attention_heads
        self.sites: dict[str, str] = {}
        for level in ("L", "H"):
            for layer in range(self.config.num_layers_per_stack):
                name = f"model.{level}_module.layers.{layer}"
                self.sites |= layer_sites(f"{level}.{layer}.", name, "self_attn", "mlp")

    def begin(self, inputs: Tensor | Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """``inputs``: ids [batch, pos], or what a tokenizer gives; the context is what both levels are called with."""
        masks: Any = import_module("transformers.masking_utils")

        given = {"input_ids": inputs} if isinstance(inputs, Tensor) else inputs
        high = self.hrm.embed_tokens(given["input_ids"]) * self.hrm.embedding_scale
        positions = torch.arange(high.shape[1], device=high.device)[None]
        prefix: dict[str, Any] = {}
        if self.config.prefix_lm and "token_type_ids" in given:
            prefix["block_sequence_ids"] = torch.where(given["token_type_ids"] == 1, 0, -1)
        mask = masks.create_causal_mask(
            self.config, high, given.get("attention_mask"), None, position_ids=positions, **prefix
        )
        low = self.hrm.z_L_init.to(high).expand_as(high).contiguous()
        rotary = self.hrm.rotary_emb(high, positions)
        return {"H": high, "L": low}, {"attention_mask": mask, "position_embeddings": rotary}

    def step(self, state: Mapping[str, Tensor], step: int, context: dict[str, Any]) -> dict[str, Tensor]:
        high, low = state["H"], state["L"]
        for _ in range(self.config.L_cycles):
            low = self.hrm.L_module(low + high, **context)
        return {"H": self.hrm.H_module(high + low, **context), "L": low}

    def lens(self, hidden: Tensor, context: dict[str, Any]) -> Mapping[str, Tensor]:
        return {"token": self.module.lm_head(self.hrm.H_module.final_norm(hidden))}

    def read(self, state: Mapping[str, Tensor], context: dict[str, Any]) -> Mapping[str, Tensor]:
        """The next token, from the slow level."""
        return {"token": self.module.lm_head(state["H"])}
