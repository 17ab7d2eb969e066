"""The looped decoder of the PyPI package `x-transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from models.adapters.x_transformers import embedded, sites_of_layers


class LoopedDecoderLoop:
    """``TransformerWrapper(looped=True)``, the recipe of Ouro (arXiv 2510.25741): a whole decoder a step.

    The state has ``hidden`` [batch, pos, d], and [batch, pos, 1]: ``exit``, the probability of having left by now, and
    ``stay``, the logarithm of that of not having. A position has halted when ``exit`` is ``threshold`` or more.
    """

    def __init__(self, model: Any, threshold: float = 0.9) -> None:
        self.module: nn.Module = model
        self.model, self.threshold = model, threshold
        self.n_steps: int = model.train_max_looped_steps
        self.sites = sites_of_layers(model.attn_layers)

    def begin(self, inputs: Tensor) -> tuple[dict[str, Tensor], None]:
        """``inputs``: ids [batch, pos]."""
        hidden = embedded(self.model, inputs)
        none = torch.zeros_like(hidden[..., :1])
        return {"hidden": hidden, "exit": none, "stay": none}, None

    def step(self, state: Mapping[str, Tensor], step: int, context: None) -> dict[str, Tensor]:
        hidden = self.model.attn_layers(state["hidden"])
        gate = self.model.exit_gate(hidden)
        left = state["exit"] + (state["stay"] + logsigmoid(gate)).exp()
        return {"hidden": hidden, "exit": left, "stay": state["stay"] + logsigmoid(-gate)}

    def read(self, state: Mapping[str, Tensor], context: None) -> Mapping[str, Tensor]:
        return {"token": self.model.to_logits(state["hidden"])}

    def halted(self, state: Mapping[str, Tensor], context: None) -> Tensor:
        """Bool [batch, pos]."""
        return state["exit"][..., 0] >= self.threshold
