"""The discrete bottleneck: logits of four factors -> one symbol per factor, and its relaxations for training.

Sign and direction: larger logits win; ties go to the smallest symbol (argmax).
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.vocabulary import FactoredVocabulary


class StoppedGradientWarning(UserWarning):
    """A gradient has come to a discrete bottleneck that it does not cross, and nobody chose that."""


def tell_where_gradients_stop(entering: Tensor, step: int) -> None:
    """Warn when a backward pass brings a gradient to what enters ``step`` of a discrete run, where it stops.

    Symbols are constant almost everywhere, so that no earlier step has a share in the gradient, whatever it did.
    """

    def stop(gradient: Tensor) -> None:
        if bool(gradient.any()):
            warnings.warn(
                f"the gradient ends at the symbols that enter step {step}: every earlier step gets 0, or none. To "
                "cross the bottleneck choose estimator='straight_through' or 'gumbel' (an argument of the model and "
                "of iterate; model.cfg.estimator for views); estimator='none' says that the end is meant",
                StoppedGradientWarning,
                stacklevel=2,
            )

    if entering.requires_grad:
        entering.register_hook(stop)  # pyright: ignore[reportUnknownMemberType]


def _by_factor(vocabulary: FactoredVocabulary, logits: Float[Tensor, "*lead d_vocab"]) -> tuple[Tensor, ...]:
    """The logits of each factor, [*lead, size of the factor]."""
    return torch.split(logits, list(vocabulary.sizes), dim=-1)


def snap(
    vocabulary: FactoredVocabulary, logits: Float[Tensor, "*lead d_vocab"]
) -> Int[Tensor, "*lead factor"]:
    """The most likely symbol of every factor."""
    return torch.stack([part.argmax(-1) for part in _by_factor(vocabulary, logits)], dim=-1)


def symbol_probabilities(
    vocabulary: FactoredVocabulary, logits: Float[Tensor, "*lead d_vocab"], state: Int[Tensor, "*lead factor"]
) -> Float[Tensor, "*lead factor"]:
    """Probability that each factor's readout gives to the symbol in ``state``."""
    chosen: list[Tensor] = []
    for index, part in enumerate(_by_factor(vocabulary, logits)):
        picked = part.gather(-1, state[..., index : index + 1]).squeeze(-1)
        chosen.append((picked - part.logsumexp(-1)).exp())
    return torch.stack(chosen, dim=-1)


def straight_through(
    vocabulary: FactoredVocabulary, logits: Float[Tensor, "*lead d_vocab"], temperature: float
) -> Float[Tensor, "*lead d_vocab"]:
    """One-hot symbols forward, the gradient of ``softmax(logits / temperature)`` backward (Bengio et al.
    2013).
    """
    parts: list[Tensor] = []
    for part in _by_factor(vocabulary, logits):
        soft = (part / temperature).softmax(-1)
        hard = F.one_hot(part.argmax(-1), part.shape[-1]).to(part.dtype)
        parts.append(hard + soft - soft.detach())
    return torch.cat(parts, dim=-1)


def gumbel(
    vocabulary: FactoredVocabulary, logits: Float[Tensor, "*lead d_vocab"], temperature: float
) -> Float[Tensor, "*lead d_vocab"]:
    """A sampled one-hot symbol per factor with the Gumbel-softmax gradient (Jang et al. 2017)."""
    return torch.cat(
        [
            F.gumbel_softmax(part, tau=temperature, hard=True, dim=-1)
            for part in _by_factor(vocabulary, logits)
        ],
        dim=-1,
    )
