"""Reading residual states through the model's own final LN and factor readouts, and ranking what is read.

Four factors are four separate softmaxes, so logits, ranks and probabilities stay inside the slice of one factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import EMPTY, FACTORS, N_A, FactoredVocabulary


def check_factor(factor: str) -> None:
    """Raises ValueError for what is no factor."""
    if factor not in FACTORS:
        raise ValueError(f"there is no factor {factor!r}; there are {', '.join(FACTORS)}")


def layer_points(model: RecurrentTransformer) -> dict[str, str]:
    """Layer point -> hook name of the residual state, in the order of computation.

    The points have TransformerLens's names (``ActivationCache.accumulated_resid``): 0_pre, 0_mid, ..., final_post.
    """
    names: dict[str, str] = {}
    for layer in range(model.cfg.n_layers):
        names[f"{layer}_pre"] = f"blocks.{layer}.hook_resid_pre"
        names[f"{layer}_mid"] = f"blocks.{layer}.hook_resid_mid"
    return names | {"final_post": f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"}


def read_factor(model: RecurrentTransformer, hidden: Tensor, factor: str) -> Tensor:
    """Residual states float [row, d_model] -> logits float [row, symbol] of a factor, by the model's own modules."""
    on_device = hidden.to(model.W_U.device, model.W_U.dtype)
    return model.unembed(model.ln_final(on_device)[None])[0, :, model.vocabulary.slice(factor)].cpu()


def rank_of(symbol: Tensor, logits: Tensor) -> Tensor:
    """Mid-ranks float [row] of ``symbol`` (int [row]) in ``logits`` (float [row, symbol]).

    ``1 + #{larger} + #{others that are equal} / 2``: a readout that is the same for all symbols gives the mean rank.
    """
    own = logits.gather(-1, symbol[:, None])
    return 1 + (logits > own).sum(-1) + ((logits == own).sum(-1) - 1) / 2


def best_alone(logits: Tensor) -> Tensor:
    """Int [row]: the symbol with the largest logit, -1 where several share it."""
    largest, symbol = logits.max(-1)
    return symbol.where((logits == largest[:, None]).sum(-1) == 1, -1)


def true_symbols(
    vocabulary: FactoredVocabulary, labels: pd.DataFrame, graphs: Sequence[ComputationGraph], factor: str
) -> NDArray[np.int64]:
    """Int [row]: of the value factor the value of the node that stands at a token, else what the text has there.

    labels: with ``graph``, ``pos`` and ``value`` (-1 where no node stands) of every row.
    """
    frame = cast(Any, labels)
    text = vocabulary.encode(graphs).factors[..., FACTORS.index(factor)].numpy(force=True)
    symbols = text[frame["graph"].to_numpy(), frame["pos"].to_numpy()]
    value = frame["value"].to_numpy()
    return np.where(value >= 0, value, symbols) if factor == "value" else symbols


def content_symbols(vocabulary: FactoredVocabulary, factor: str) -> NDArray[np.bool_]:
    """Bool [symbol]: the symbols of a factor that say something: no N/A and no EMPTY."""
    return np.array([symbol not in (N_A, EMPTY) for symbol in vocabulary.symbols(factor)])


def shuffled_share(read: NDArray[np.int64], true: NDArray[np.int64], n_symbols: int) -> float:
    """The share of pairs of DIFFERENT rows i, j in which ``read[i]`` (-1: nothing) is ``true[j]``; nan for one row.

    What is right by chance if labels are shuffled, as an exact expectation: ``(sum over symbols s of #{i: read = s}
    #{j: true = s}, minus the rows that are right) / (n (n - 1))``.
    """
    n = len(read)
    if n < 2:
        return float("nan")
    counts = [np.bincount(codes[codes >= 0], minlength=n_symbols) for codes in (read, true)]
    return float((counts[0] @ counts[1] - (read == true).sum()) / (n * (n - 1)))


def kl_divergence(final: Tensor, lens: Tensor) -> Tensor:
    """Float [row], nats: KL(softmax(final) || softmax(lens)) of logits float [row, symbol] (Belrose et al. 2023, 3)."""
    log_p, log_q = final.log_softmax(-1), lens.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def readings(logits: Tensor, target: Tensor, written: Tensor) -> dict[str, Tensor]:
    """What a lens says of a symbol in every row, float [row]: its ``rank`` (1 for the largest logit) and ``log_prob``
    (natural logarithm), and ``kl``, :func:`kl_divergence` of ``written`` and what is read here.

    logits, written: float [row, symbol]; target: int [row].
    """
    log_prob = logits.log_softmax(-1).gather(-1, target[:, None])[:, 0]
    return {
        "rank": rank_of(target, logits),
        "log_prob": log_prob,
        "kl": kl_divergence(written, logits),
    }


def to_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of its own from an array, memory-mapped or not."""
    return cast(Any, torch).from_numpy(np.array(array))
