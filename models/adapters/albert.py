"""ALBERT (Lan et al. 2020, arXiv 1909.11942), as `transformers` has it: a group of layers, applied again and again."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from models.adapters.layer_sites import layer_sites


class AlbertLoop:
    """A step is one application of the group whose turn it is; the state is the hidden state [batch, pos, d].

    Sites, by layer of a group: ``0.resid_pre``, ``0.attn_out`` (with residual and LN, as ALBERT's attention gives it),
    ``0.pattern`` (of a model that was loaded with ``attn_implementation="eager"``), ``0.mlp_out`` and ``0.resid_post``.

    Args:
        model: an ``AlbertModel``, or one with a head for masked tokens (``AlbertForMaskedLM``), which is then read.
    """

    def __init__(self, model: Any) -> None:
        self.module: nn.Module = model
        self.albert = getattr(model, "albert", model)
        self.config = self.albert.config
        self.n_steps: int = self.config.num_hidden_layers
        self.n_heads: int = self.config.num_attention_heads
        path = (
            "encoder.albert_layer_groups." if self.albert is model else "albert.encoder.albert_layer_groups."
        )
        inner: int = self.config.inner_group_num
        self.sites: dict[str, str] = {}
        for layer in range(self.config.num_hidden_groups * inner):
            name = f"{path}{layer // inner}.albert_layers.{layer % inner}"
            self.sites |= layer_sites(f"{layer}.", name, "attention", "ffn_output")

    def begin(self, inputs: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """``inputs``: ids [batch, pos], or what a tokenizer gives; the context is the attention mask."""
        masks: Any = import_module("transformers.masking_utils")

        given = {"input_ids": inputs} if isinstance(inputs, Tensor) else inputs
        embedded = self.albert.embeddings(given["input_ids"], token_type_ids=given.get("token_type_ids"))
        mask = masks.create_bidirectional_mask(
            self.config, embedded, attention_mask=given.get("attention_mask")
        )
        return self.albert.encoder.embedding_hidden_mapping_in(embedded), mask

    def step(self, state: Tensor, step: int, context: Any) -> Tensor:
        """Beyond the steps that the model was made for, the last group goes on."""
        encoder, groups = self.albert.encoder, self.config.num_hidden_groups
        return encoder.albert_layer_groups[min(step * groups // self.n_steps, groups - 1)](state, context)

    def read(self, state: Tensor, context: Any) -> Mapping[str, Tensor]:
        """The head's logits by token; nothing of a model without a head."""
        head = getattr(self.module, "predictions", None)
        return {} if head is None else {"token": head(state)}
