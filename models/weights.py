"""Weights and flags under TransformerLens's names, for the model and for its views.

A class that mixes this in has ``cfg``, ``embed``, ``blocks``, ``ln_final`` and ``unembed``; a *layer* is a
block of that object: a model has ``cfg.n_layers`` of them, its unrolled view ``n_steps * cfg.n_layers``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.components import Block
from models.config import RecurrentConfig
from models.embedding import FactoredEmbed, FactoredUnembed
from models.norm import LayerNorm, NoNorm

if TYPE_CHECKING:
    from transformer_lens.FactoredMatrix import FactoredMatrix
    from transformer_lens.model_bridge.composition_scores import CompositionScores


class WeightAccess:
    """Stacked weights, biases, OV and QK circuits, and the switches for optional hook points."""

    cfg: RecurrentConfig
    embed: FactoredEmbed
    blocks: nn.ModuleList
    ln_final: LayerNorm | NoNorm
    unembed: FactoredUnembed

    if TYPE_CHECKING:

        def named_parameters(
            self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
        ) -> Iterator[tuple[str, nn.Parameter]]: ...

    @property
    def config(self) -> RecurrentConfig:
        """``cfg`` under the name that pyvene and transformers use; it has ``to_dict``."""
        return self.cfg

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.W_E.device

    @property
    def layers(self) -> list[Block]:
        """The blocks, typed."""
        return [cast(Block, block) for block in self.blocks]

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        """Embeddings of all symbols; factor f owns the rows ``vocabulary.slice(f)``."""
        return self.embed.W_E

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """The four readouts side by side; factor f owns the columns ``vocabulary.slice(f)``."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, "d_vocab"]:
        """Biases of the readouts."""
        return self.unembed.b_U

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Query weights of all layers."""
        return torch.stack([block.attn.W_Q for block in self.layers])

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Key weights of all layers."""
        return torch.stack([block.attn.W_K for block in self.layers])

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Value weights of all layers."""
        return torch.stack([block.attn.W_V for block in self.layers])

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        """Output weights of all layers."""
        return torch.stack([block.attn.W_O for block in self.layers])

    @property
    def b_Q(self) -> Float[Tensor, "layer head d_head"]:
        """Query biases of all layers."""
        return torch.stack([block.attn.b_Q for block in self.layers])

    @property
    def b_K(self) -> Float[Tensor, "layer head d_head"]:
        """Key biases of all layers."""
        return torch.stack([block.attn.b_K for block in self.layers])

    @property
    def b_V(self) -> Float[Tensor, "layer head d_head"]:
        """Value biases of all layers."""
        return torch.stack([block.attn.b_V for block in self.layers])

    @property
    def b_O(self) -> Float[Tensor, "layer d_model"]:
        """Attention output biases of all layers."""
        return torch.stack([block.attn.b_O for block in self.layers])

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        """MLP input weights of all layers."""
        return torch.stack([block.mlp.W_in for block in self.layers])

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        """MLP output weights of all layers."""
        return torch.stack([block.mlp.W_out for block in self.layers])

    @property
    def b_in(self) -> Float[Tensor, "layer d_mlp"]:
        """MLP input biases of all layers."""
        return torch.stack([block.mlp.b_in for block in self.layers])

    @property
    def b_out(self) -> Float[Tensor, "layer d_model"]:
        """MLP output biases of all layers."""
        return torch.stack([block.mlp.b_out for block in self.layers])

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O, a FactoredMatrix [layer, head, d_model, d_model]."""
        from transformer_lens.FactoredMatrix import FactoredMatrix

        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T, a FactoredMatrix [layer, head, d_model, d_model] (content part, before scaling)."""
        from transformer_lens.FactoredMatrix import FactoredMatrix

        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    def blocks_with(self, submodule: str) -> list[tuple[int, Block]]:
        """``(layer, block)`` for every block that has ``submodule`` (``"attn"``, ``"mlp"`` ...)."""
        return [(layer, block) for layer, block in enumerate(self.layers) if hasattr(block, submodule)]

    @property
    def all_head_labels(self) -> list[str]:
        """``["L0H0", "L0H1", ...]``: all heads of all layers, as TransformerLens's bridge names them."""
        return [f"L{layer}H{head}" for layer in range(len(self.blocks)) for head in range(self.cfg.n_heads)]

    def all_composition_scores(self, mode: str) -> CompositionScores:
        """How much of what a head writes a later head reads, [layer, head, later layer, later head].

        ``||left right||_F / (||left||_F ||right||_F)``, left the writer's ``W_V W_O``, right the reader's
        ``W_Q W_K^T`` (mode ``"Q"``), its transpose (``"K"``) or its ``W_V W_O`` (``"V"``); 0 where the reader is
        in no later layer (Elhage et al. 2021; TransformerLens's ``all_composition_scores``). LayerNorms between
        the two are left out unless they are folded (:meth:`models.RecurrentTransformer.process_weights`). In the
        unrolled view of a discrete model only pairs within a step share a residual stream.

        Raises:
            ValueError: another mode.
        """
        from transformer_lens.model_bridge.composition_scores import CompositionScores  # seldom needed
        from transformer_lens.utilities.matrix import composition_scores

        if mode not in ("Q", "K", "V"):
            raise ValueError(f"mode must be 'Q', 'K' or 'V', got {mode!r}")
        reads = {"Q": self.QK, "K": self.QK.T, "V": self.OV}[mode]
        scores = composition_scores(self.OV, reads)
        layers = torch.arange(len(self.blocks), device=scores.device)
        later = layers[:, None, None, None] < layers[None, None, :, None]
        return CompositionScores(scores.where(later, 0), list(range(len(self.blocks))), self.all_head_labels)

    def tl_parameters(self) -> dict[str, Tensor]:
        """Parameters by TransformerLens name (``blocks.0.attn.W_Q``, ``unembed.W_U``)."""
        return dict(self.named_parameters())

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, "d_model"]:
        """Sum of all biases written to the residual stream before ``layer`` (with ``mlp_input``: its
        attention's too).
        """
        if not 0 <= layer <= len(self.blocks):
            raise ValueError(f"layer must lie in 0..{len(self.blocks)}, got {layer}")
        total = torch.zeros_like(self.layers[0].attn.b_O)
        for block in self.layers[:layer]:
            total = total + block.attn.b_O
            if include_mlp_biases:
                total = total + block.mlp.b_out
        if mlp_input:
            if layer == len(self.blocks):
                raise ValueError(f"layer {layer} is after the last block, so it has no MLP input")
            total = total + self.layers[layer].attn.b_O
        return total

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Whether ``attn.hook_result`` (every head's own output, [batch, pos, head, d_model]) fires."""
        self._set_flag(use_attn_result=use_attn_result)

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Whether ``hook_mlp_in`` fires."""
        self._set_flag(use_hook_mlp_in=use_hook_mlp_in)

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Whether ``attn.hook_q_input``, ``hook_k_input`` and ``hook_v_input`` fire, one residual copy per
        head.
        """
        if use_split_qkv_input and self.cfg.use_attn_in:
            raise ValueError(
                "use_split_qkv_input and use_attn_in exclude each other; switch use_attn_in off first"
            )
        self._set_flag(use_split_qkv_input=use_split_qkv_input)

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Whether ``hook_attn_in`` fires, one residual copy per head shared by q, k and v."""
        if use_attn_in and self.cfg.use_split_qkv_input:
            raise ValueError(
                "use_attn_in and use_split_qkv_input exclude each other; switch use_split_qkv_input off first"
            )
        self._set_flag(use_attn_in=use_attn_in)

    def _set_flag(self, **flag: bool) -> None:
        for name, value in flag.items():
            setattr(self.cfg, name, value)
