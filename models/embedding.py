"""Into and out of the residual stream: the factored embedding and the four readouts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.config import RecurrentConfig
from models.positions import uniform_fan_in


class FactoredEmbed(nn.Module):
    """The embedding of a position is the sum of its four factors' embeddings (Altabaa et al. 2025).

    ``W_E`` is [d_vocab, d_model]; factor f owns the rows ``vocabulary.slice(f)``.
    """

    offsets: Tensor

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.std = cfg.embed_std
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))
        self.register_buffer("offsets", torch.tensor(cfg.vocabulary.offsets), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian, standard deviation ``cfg.embed_std``."""
        nn.init.normal_(self.W_E, std=self.std)

    def forward(self, state: Int[Tensor, "batch pos factor"]) -> Float[Tensor, "batch pos d_model"]:
        """Sum over the factors of the embedding of each symbol."""
        rows = (state + self.offsets).flatten(0, 1)
        return F.embedding_bag(rows, self.W_E, mode="sum").view(*state.shape[:2], -1)

    def expected(self, one_hot: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, "batch pos d_model"]:
        """The embedding of a (relaxed) one-hot state, through which gradients flow."""
        return one_hot @ self.W_E


class FactoredUnembed(nn.Module):
    """One linear readout per factor, concatenated: ``W_U`` [d_model, d_vocab], ``b_U`` [d_vocab].

    Probabilities and ranks are meaningful inside one factor's slice only.
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab))
        self.b_U = nn.Parameter(torch.empty(cfg.d_vocab))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(d_model), biases zero."""
        uniform_fan_in(self.W_U, fan_in=self.W_U.shape[0])
        nn.init.zeros_(self.b_U)

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_vocab"]:
        """The four factors' logits side by side."""
        return torch.addmm(self.b_U, resid.flatten(0, 1), self.W_U).view(*resid.shape[:2], -1)
