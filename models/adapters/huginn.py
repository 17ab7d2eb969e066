"""Huginn (Geiping et al. 2025, arXiv 2502.05171): prelude, a core that is applied again and again, coda.

Its code comes with its checkpoint, so that nothing is imported here: the model is asked for the methods that
``RavenForCausalLM`` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.adapters.layer_sites import layer_sites


class HuginnLoop:
    """A step is one application of the core; the state is the latent state [batch, pos, d], before ``ln_f``.

    It begins at random, as the model's own does: seed it, or start a run from a state of one's own. Sites, by layer
    of the core: ``0.resid_pre``, ``0.attn_out``, ``0.mlp_out``, ``0.resid_post``.

    Args:
        model: has ``embed_inputs``, ``initialize_state``, ``core_block_forward``, ``predict_from_latents`` and
            ``freqs_cis``.
    """

    def __init__(self, model: Any) -> None:
        self.module: nn.Module = model
        self.model = model
        self.n_steps: int = model.config.mean_recurrence
        self.n_heads: int = model.config.num_attention_heads
        self.sites: dict[str, str] = {}
        for layer in range(len(model.transformer.core_block)):
            name = f"transformer.core_block.{layer}"
            self.sites |= layer_sites(f"{layer}.", name, "attn", "mlp", pattern=False)

    def begin(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``inputs``: ids [batch, pos]; the context is what the prelude gives, and how many layers it had."""
        embedded, layers = self.model.embed_inputs(inputs)
        return self.model.initialize_state(embedded), (embedded, layers)

    def step(self, state: Tensor, step: int, context: tuple[Tensor, Tensor]) -> Tensor:
        embedded, layers = context
        rotary = self.model.freqs_cis[:, : embedded.shape[1]]
        return self.model.core_block_forward(state, embedded, rotary, None, None, layers.clone(), step)[0]

    def read(self, state: Tensor, context: Any) -> Mapping[str, Tensor]:
        """The next token, through the coda."""
        return {"token": self.model.predict_from_latents(state).logits}
