"""Cross-entropy of the four factors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.vocabulary import FACTORS, FactoredVocabulary


def factored_cross_entropy(
    logits: Tensor,
    target: Tensor,
    mask: Tensor,
    vocabulary: FactoredVocabulary,
    value_weight: Tensor | None = None,
) -> Tensor:
    """Mean over masked positions of the four factors' cross-entropies added up, in nats.

    logits [example, pos, d_vocab]; target int64 [example, pos, 4]; mask bool [example, pos]. `value_weight`
    [example, pos] multiplies the value factor's cross-entropy, and the sum is divided by the mean weight so
    that its scale stays that of one cross-entropy.
    """
    chosen, symbols = logits[mask], target[mask]
    total = chosen.new_zeros(())
    weight = None if value_weight is None else value_weight[mask].to(chosen.dtype)
    for index, factor in enumerate(FACTORS):
        losses = cross_entropy(chosen[:, vocabulary.slice(factor)], symbols[:, index], reduction="none")
        weighted = losses if weight is None or factor != "value" else losses * weight
        total = total + weighted.sum()
    return total / (torch.count_nonzero(mask) if weight is None else weight.sum())
