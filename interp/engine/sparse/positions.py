"""The parts of a block at gathered positions: one row for each, whatever run and place it comes from."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.engine.sparse.writes import Write
from models.components import Attention, Block
from models.embedding import FactoredUnembed


def projected(attn: Attention, normalised: Tensor, which: str) -> Tensor:
    """Queries, keys or values [row, head, d_head] of normalised rows [row, d_model]."""
    weight, bias = getattr(attn, f"W_{which}"), getattr(attn, f"b_{which}")
    flat = torch.addmm(bias.flatten(), normalised, weight.transpose(0, 1).flatten(1))
    return flat.view(len(normalised), *bias.shape)


def with_attention(block: Block, resid: Tensor, z: Tensor, writes: Write) -> Tensor:
    """What enters a block's MLP [row, d_model], from what entered the block and z [row, head, d_head]."""
    attn = block.attn
    out = writes("attn_out", torch.addmm(attn.b_O, z.flatten(1), attn.W_O.flatten(0, 1)))
    return writes("resid_mid", resid + out)


def behind_mlp(block: Block, resid: Tensor, writes: Write) -> Tensor:
    """What leaves a block [row, d_model], from what enters its MLP."""
    mlp = block.mlp
    pre = writes("mlp_pre", torch.addmm(mlp.b_in, block.ln2(resid), mlp.W_in))
    post = writes("mlp_post", F.relu(pre))
    return writes("resid_post", resid + writes("mlp_out", torch.addmm(mlp.b_out, post, mlp.W_out)))


def behind_attention(block: Block, resid: Tensor, z: Tensor, writes: Write) -> Tensor:
    """What leaves a block [row, d_model], from what entered it and z [row, head, d_head]."""
    return behind_mlp(block, with_attention(block, resid, z, writes), writes)


class Readout(Protocol):
    """What a model has behind its last block."""

    @property
    def ln_final(self) -> nn.Module:
        """The final norm."""
        ...

    @property
    def unembed(self) -> FactoredUnembed:
        """What reads the symbols."""
        ...


def read_out(model: Readout, resid: Tensor) -> Tensor:
    """Logits [row, d_vocab] of what leaves the last block."""
    return torch.addmm(model.unembed.b_U, model.ln_final(resid), model.unembed.W_U)
