"""OV and QK circuits of all heads as pairs of factors, with or without the LayerNorm before them.

Row vectors, as in TransformerLens: a head moves x to ``x W_V W_O`` and scores a query x against a key y by
``x W_Q W_K^T y^T``. A pre-norm block reads ``(x - mean x) / scale * w + b`` and not x. Centring and w are linear, the
same at every position, so they are folded into W_Q, W_K and W_V (``fold_norm``); what is left out is the scale, one
positive number at a position that shrinks all of x alike, and b and the biases, which do not depend on x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.norm import folded
from models.one_line import one_line
from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True, eq=False)
class HeadCircuits:
    """Float64; ``W_Q, W_K, W_V`` [layer, head, d_model, d_head], ``W_O`` [layer, head, d_head, d_model], and the
    readouts ``W_U`` [d_model, d_vocab].
    """

    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    W_O: Tensor
    W_U: Tensor


@torch.no_grad()
def head_circuits(model: RecurrentTransformer, fold_norm: bool = True) -> HeadCircuits:
    """Copies of the weights.

    fold_norm: what a LayerNorm does to every x alike is part of the weights that read it; W_U has the final one's.
    """

    def reading(weights: Tensor) -> Tensor:
        weights = weights.double().cpu()
        if not fold_norm:
            return weights
        return torch.stack(
            [folded(block.ln1, weight) for block, weight in zip(model.layers, weights, strict=True)]
        )

    W_U = model.W_U.double().cpu()
    return HeadCircuits(
        W_Q=reading(model.W_Q),
        W_K=reading(model.W_K),
        W_V=reading(model.W_V),
        W_O=model.W_O.double().cpu(),
        W_U=folded(model.ln_final, W_U) if fold_norm else W_U,
    )
