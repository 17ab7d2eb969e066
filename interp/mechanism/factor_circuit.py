"""One head between two factors: what its OV circuit makes of symbols, and which symbols its QK circuit matches.

Row vectors, as in TransformerLens: with E_f the embeddings of factor f and R_g the readout of factor g,

    OV   E_f W_V W_O R_g        [symbol of f, symbol of g]: logits that a symbol adds where the head attends to it
    QK   E_f W_Q W_K^T E_g^T    [symbol of f, symbol of g]: score of a query symbol against a key symbol, before scaling

(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", the full circuits). A head of a later layer
mostly reads what an earlier one has moved, so either side may go through other heads' OV circuits: a virtual head.
Weights alone: MLPs, biases and positions are left out, and of a LayerNorm the scale
(:mod:`interp.mechanism.head_circuits`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast, get_args

import torch
from torch import Tensor
from transformer_lens.FactoredMatrix import FactoredMatrix

from interp.mechanism.head_circuits import HeadCircuits, head_circuits
from interp.mechanism.subspaces import EVERYTHING, Circuit
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

_Heads = Sequence[tuple[int, int]]
CIRCUITS: Final = cast("tuple[str, ...]", get_args(Circuit))


@torch.no_grad()
def factor_circuit(
    model: RecurrentTransformer,
    layer: int,
    head: int,
    circuit: Circuit,
    source: str,
    target: str,
    source_through: _Heads = (),
    target_through: _Heads = (),
    fold_norm: bool = True,
) -> FactoredMatrix:
    """The OV or QK circuit of one head, from the symbols of one factor to those of another.

    Args:
        source: factor of the embeddings that the OV circuit moves, or of the query.
        target: factor whose readout is written to, or of the key; or "everything": the residual stream itself.
        source_through: (layer, head) of earlier heads, in order, whose OV circuits the source passes first.
        target_through: of OV later heads that the output passes, of QK earlier ones that the key passes; in order.
        fold_norm: see :mod:`interp.mechanism.head_circuits`.

    Returns:
        A FactoredMatrix of float64, [symbol of source, symbol of target or d_model]; symbols in the order of
        ``model.vocabulary.symbols(factor)``, which names them.

    Raises:
        ValueError: a circuit, factor, layer or head that there is not; heads that are not in the order of layers.

    Examples:
        >>> from interp import factor_circuit
        >>> from models import load
        >>> model = load("compiled")
        >>> moved_name = [(0, 1)]  # the head that copies the last operand's name to where its value is due
        >>> match = factor_circuit(model, 2, 0, "QK", "variable", "variable", source_through=moved_name)
        >>> match.shape  # 128 names and N/A
        torch.Size([129, 129])
        >>> match.AB[:128].argmax(-1).tolist() == list(range(128))  # every name asks for itself
        True
    """
    if circuit not in CIRCUITS:
        raise ValueError(f"circuit is {circuit!r}; allowed are {', '.join(CIRCUITS)}")
    weights = head_circuits(model, fold_norm)
    chains = {"source_through": [*source_through, (layer, head)]}
    if circuit == "OV":
        chains["target_through"] = [(layer, head), *target_through]
    else:
        chains["target_through"] = [*target_through, (layer, head)]
    for name, chain in chains.items():
        _check_heads(chain, weights, name)
    left = _moved(_embeddings(model, source, "source"), source_through, weights)
    if circuit == "QK":
        right = _moved(_embeddings(model, target, "target"), target_through, weights)
        return FactoredMatrix(left @ weights.W_Q[layer, head], (right @ weights.W_K[layer, head]).mT)
    right = _moved(weights.W_O[layer, head], target_through, weights)
    if target != EVERYTHING:
        _check_factor(target, "target")
        right = right @ weights.W_U[:, model.vocabulary.slice(target)]
    return FactoredMatrix(left @ weights.W_V[layer, head], right)


def _moved(rows: Tensor, through: _Heads, weights: HeadCircuits) -> Tensor:
    """Row vectors [..., d_model] after the OV circuits of heads."""
    for layer, head in through:
        rows = rows @ weights.W_V[layer, head] @ weights.W_O[layer, head]
    return rows


def _embeddings(model: RecurrentTransformer, factor: str, which: str) -> Tensor:
    """[symbol, d_model], or the identity for the residual stream itself."""
    W_E = model.W_E.detach().double().cpu()
    if factor == EVERYTHING and which == "target":
        return torch.eye(W_E.shape[1], dtype=W_E.dtype)
    _check_factor(factor, which)
    return W_E[model.vocabulary.slice(factor)]


def _check_factor(factor: str, which: str) -> None:
    allowed = FACTORS if which == "source" else (*FACTORS, EVERYTHING)
    if factor not in allowed:
        raise ValueError(f"{which} is {factor!r}; allowed are {', '.join(allowed)}")


def _check_heads(chain: _Heads, weights: HeadCircuits, name: str) -> None:
    n_layers, n_heads = weights.W_V.shape[:2]
    for layer, head in chain:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"there is no head {head} in layer {layer}; layers are 0 to {n_layers - 1}, heads 0 to {n_heads - 1}"
            )
    layers = [layer for layer, _ in chain]
    if any(after <= before for before, after in pairwise(layers)):
        raise ValueError(
            f"{name}: layers {layers} are passed in this order; each must be later than the one before"
        )
