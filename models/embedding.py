"""Into and out of the residual stream: the factored embedding and the four readouts."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.config import RecurrentConfig
from models.positions import uniform_fan_in
from models.vocabulary import FACTORS


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
        self.slices = [cfg.vocabulary.slice(factor) for factor in FACTORS]
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

    def rewrite(
        self,
        hidden: Float[Tensor, "batch pos d_model"],
        shown: Int[Tensor, "batch pos factor"],
        wanted: Int[Tensor, "batch pos factor"],
    ) -> Float[Tensor, "batch pos d_model"]:
        """A hidden state that shows ``wanted`` where it showed ``shown``, moved as little as that needs.

        Of every factor in which the two differ, the logits of the two symbols are exchanged and those of the factor's
        other symbols stay. The move is the shortest that does this for all these factors at once, pinv(W^T) r, with W
        their columns of ``W_U`` and r the wanted change of their logits (where W has more columns than rows, the
        shortest of least squared error). Factors that do not differ are not held fast. A position at which no
        factor differs keeps its hidden state bit for bit.
        """
        moved = hidden.clone()
        sets = ((shown != wanted).long() << torch.arange(len(FACTORS), device=shown.device)).sum(-1)
        for number in range(1, 1 << len(FACTORS)):
            at = sets == number
            if not bool(at.any()):
                continue
            columns: list[Tensor] = []
            change: list[Tensor] = []
            for factor, part in enumerate(self.slices):
                if number >> factor & 1:
                    logits = hidden[at] @ self.W_U[:, part] + self.b_U[part]
                    pair = torch.stack([shown[at][:, factor], wanted[at][:, factor]], dim=-1)
                    before = logits.gather(-1, pair)
                    change.append(torch.zeros_like(logits).scatter(-1, pair, before.flip(-1) - before))
                    columns.append(self.W_U[:, part])
            shortest = cast(Tensor, cast(Any, torch.linalg).pinv(torch.cat(columns, dim=-1)))
            moved[at] = hidden[at] + torch.cat(change, dim=-1) @ shortest
        return moved
