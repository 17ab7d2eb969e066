"""Small looped models of other packages, with random weights: what analyses of any loop are measured on.

The classes are the packages' own. Weights are drawn wider than at the beginning of a training, so that every step does
something.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

VOCABULARY = 11


def albert(groups: int = 1, inner: int = 1, seed: int = 0, **options: Any) -> Any:
    """``AlbertForMaskedLM`` (`transformers`), 6 steps, 4 heads, d_model 16."""
    from transformers import AlbertConfig, AlbertForMaskedLM

    torch.manual_seed(seed)
    config = AlbertConfig(
        vocab_size=VOCABULARY,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=6,
        num_hidden_groups=groups,
        inner_group_num=inner,
        num_attention_heads=4,
        intermediate_size=32,
        initializer_range=0.5,
        **options,
    )
    config._attn_implementation = "eager"  # pyright: ignore[reportPrivateUsage]
    return AlbertForMaskedLM(config).eval()


def hrm_text(seed: int = 0) -> Any:
    """``HrmTextForCausalLM`` (`transformers`), 2 cycles of 3 calls of the fast level, 2 layers a level, d_model 16."""
    from transformers import HrmTextConfig, HrmTextForCausalLM

    torch.manual_seed(seed)
    config = HrmTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=8,
        initializer_range=0.3,
    )
    config._attn_implementation = "eager"  # pyright: ignore[reportPrivateUsage]
    return HrmTextForCausalLM(config).eval()


def x_transformer(looped: bool = False, seed: int = 0, **layers: Any) -> Any:
    """``TransformerWrapper`` (`x-transformers`) around a decoder of d_model 16; ``layers``: the decoder's options."""
    package = import_module("x_transformers")
    torch.manual_seed(seed)
    decoder = package.Decoder(dim=16, heads=2, attn_dim_head=8, rotary_pos_emb=True, **layers)
    wrapper = {"looped": True, "max_looped_steps": 4} if looped else {}
    return package.TransformerWrapper(
        num_tokens=VOCABULARY, max_seq_len=32, attn_layers=decoder, **wrapper
    ).eval()
