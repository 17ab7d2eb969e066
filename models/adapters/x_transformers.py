"""What the two looped models of the PyPI package `x-transformers` share.

Both are a ``TransformerWrapper`` without memories, prepended embeddings or caches.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def embedded(model: Any, ids: Tensor) -> Tensor:
    """What enters the layers, [batch, pos, d]."""
    x = model.post_emb_norm(model.token_emb(ids) + model.pos_emb(ids))
    return model.project_emb(model.emb_dropout(x))


def sites_of_layers(layers: Any) -> dict[str, str]:
    """``0.attn_out``, ``1.mlp_out``: by layer, attention and feed-forward counted together."""
    names = {"a": "attn_out", "f": "mlp_out", "c": "cross_out"}
    return {f"{i}.{names[kind]}": f"attn_layers.layers.{i}.1" for i, kind in enumerate(layers.layer_types)}


def loop_of_wrapper(model: Any) -> Any:
    """The adapter of a ``TransformerWrapper``: looped, or with tied layers."""
    if model.looped:
        from models.adapters.x_transformers_looped import LoopedDecoderLoop

        return LoopedDecoderLoop(model)
    from models.adapters.x_transformers_tied import TiedLayersLoop

    return TiedLayersLoop(model)
