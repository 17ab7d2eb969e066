"""The modules by which a model knows where a token stands; which encoding has which says
:mod:`models.position_encodings`.

Relative distances are ``key - query``. ``causal`` models know the ``window`` distances ``-(window-1) .. 0``;
``bidirectional`` ones the ``2 window - 1`` distances ``-(window-1) .. window-1``; anything farther counts as
the farthest. Where a table has one row per distance (``deberta``), row r stands for distance
``r - (window - 1)``; ``relative_bias`` stores entry j for distance ``query - key = j`` (negative distances,
if any, follow after the window).

Scores are built without a gather over the full [query, key] matrix: a table expanded to all ``2 n - 1``
distances is read as a Toeplitz matrix by :func:`toeplitz`, which is a view.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.config import RecurrentConfig
from models.norm import LayerNorm


def n_distances(cfg: RecurrentConfig) -> int:
    """How many relative distances the model tells apart."""
    return cfg.position_window if cfg.attention_dir == "causal" else 2 * cfg.position_window - 1


def toeplitz(by_distance: Float[Tensor, "*lead n distance"]) -> Float[Tensor, "*lead n n"]:
    """``out[i, j] = by_distance[i, j - i + n - 1]`` for ``distance = 2 n - 1``, without a gather."""
    n = by_distance.shape[-2]
    if n == 1:
        return by_distance
    flat = by_distance.flatten(-2)
    return torch.unflatten(flat[..., n - 1 : n - 1 + n * (2 * n - 2)], -1, (n, 2 * n - 2))[..., :n]


def _spread(table: Float[Tensor, "*lead rows"], n: int, window: int) -> Float[Tensor, "*lead distance"]:
    """A table over clipped distances (row 0 the most negative) as one over all ``-(n-1) .. n-1``, edges
    repeated.
    """
    below = n - window
    above = n + window - 1 - table.shape[-1]
    parts = [table[..., max(-below, 0) : table.shape[-1] - max(-above, 0)]]
    if below > 0:
        parts.insert(0, table[..., :1].expand(*table.shape[:-1], below))
    if above > 0:
        parts.append(table[..., -1:].expand(*table.shape[:-1], above))
    return torch.cat(parts, dim=-1)


class Scores(nn.Module):
    """What the positions of one layer add to its scaled scores."""

    def of_pairs(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head key d_head"],
        scale: float,
        relative: Float[Tensor, "distance d_model"] | None,
    ) -> Float[Tensor, "one_or_batch head query key"]:
        """Of the last ``query`` positions with all; ``scale`` divides products of queries and keys, ``relative`` is
        what the layers share.
        """
        raise NotImplementedError


class RelativeBias(Scores):
    """One learned number per head and distance, added to the scores.

    ``bias`` is [head, n_distances]; entry j < window is for ``query - key = j``, the last of the window for
    everything farther; in bidirectional models entries from ``window`` on are for
    ``key - query = 1, 2, ...``.
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.window = cfg.position_window
        self.bias = nn.Parameter(torch.empty(cfg.n_heads, n_distances(cfg)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All distances alike: zero."""
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def plant(self, strength: float) -> None:
        """Head j starts with ``strength`` at distance j, as far as the window reaches."""
        self.bias[:, : self.window].fill_diagonal_(strength)

    def of_pairs(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head key d_head"],
        scale: float,
        relative: Float[Tensor, "distance d_model"] | None,
    ) -> Float[Tensor, "one_or_batch head query key"]:
        """The bias of every pair, whatever the queries and keys are."""
        return self.scores(k.shape[-2])[..., k.shape[-2] - q.shape[-2] :, :]

    def scores(self, n: int) -> Float[Tensor, "1 head query key"]:
        """The bias for every pair among n positions, to be added to the scaled scores."""
        ordered = torch.cat([self.bias[:, : self.window].flip(-1), self.bias[:, self.window :]], dim=-1)
        return _spread(ordered, n, self.window).unfold(-1, n, 1).flip(-2).unsqueeze(0)


class RelativeEmbedding(nn.Module):
    """The embeddings of relative distances that all ``deberta`` layers share, [n_distances, d_model]."""

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.std = cfg.embed_std
        self.W_rel = nn.Parameter(torch.empty(n_distances(cfg), cfg.d_model))
        self.ln = LayerNorm(cfg.d_model, cfg.eps) if cfg.position_norm else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian, standard deviation ``cfg.embed_std``."""
        nn.init.normal_(self.W_rel, std=self.std)

    def forward(self) -> Float[Tensor, "distance d_model"]:
        """The (normalised) embedding of every distance."""
        return self.W_rel if self.ln is None else self.ln(self.W_rel)


class Disentangled(Scores):
    """DeBERTa's content-to-position and position-to-content scores (He et al. 2021, eq. 4).

    ``W_K_pos`` projects the relative embeddings to the keys that content queries meet, ``W_Q_pos`` to the
    queries that content keys meet; both [head, d_model, d_head], with biases [head, d_head].
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.window = cfg.position_window
        shape = (cfg.n_heads, cfg.d_model, cfg.d_head)
        self.W_Q_pos = nn.Parameter(torch.empty(shape))
        self.W_K_pos = nn.Parameter(torch.empty(shape))
        self.b_Q_pos = nn.Parameter(torch.empty(cfg.n_heads, cfg.d_head))
        self.b_K_pos = nn.Parameter(torch.empty(cfg.n_heads, cfg.d_head))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(d_model), biases zero."""
        for weight in (self.W_Q_pos, self.W_K_pos):
            uniform_fan_in(weight, fan_in=weight.shape[1])
        nn.init.zeros_(self.b_Q_pos)
        nn.init.zeros_(self.b_K_pos)

    def of_pairs(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head key d_head"],
        scale: float,
        relative: Float[Tensor, "distance d_model"] | None,
    ) -> Float[Tensor, "one_or_batch head query key"]:
        """Both position terms.

        Raises:
            ValueError: no relative embeddings.
        """
        if relative is None:
            raise ValueError("deberta positions need the relative embeddings in the attention context")
        return self.scores(q / scale, k / scale, relative)

    def scores(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head key d_head"],
        relative: Float[Tensor, "distance d_model"],
    ) -> Float[Tensor, "batch head query key"]:
        """Both position terms, unscaled: q_i . K_pos[d(i, j)] + k_j . Q_pos[d(i, j)]."""
        n = q.shape[-2]
        keys = relative @ self.W_K_pos + self.b_K_pos[:, None]
        queries = relative @ self.W_Q_pos + self.b_Q_pos[:, None]
        content_position = _spread(q @ keys.transpose(-1, -2), n, self.window)
        position_content = _spread(k @ queries.transpose(-1, -2), n, self.window)
        return toeplitz(content_position) + toeplitz(position_content.flip(-1)).transpose(-1, -2)


class AbsoluteEmbedding(nn.Module):
    """A learned vector per position, added to what enters a step; ``W_pos`` is [n_ctx, d_model]."""

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.std = cfg.embed_std
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))
        self.ln = LayerNorm(cfg.d_model, cfg.eps) if cfg.position_norm else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian, standard deviation ``cfg.embed_std``."""
        nn.init.normal_(self.W_pos, std=self.std)

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What has to be ADDED to ``resid``; with ``position_norm`` the sum is LayerNorm(resid + W_pos).

        Raises:
            ValueError: more positions than ``cfg.n_ctx``.
        """
        n = resid.shape[1]
        if n > self.W_pos.shape[0]:
            raise ValueError(
                f"input has {n} positions, but absolute positions are learned up to n_ctx={len(self.W_pos)}"
            )
        position = self.W_pos[:n].expand_as(resid)
        return position if self.ln is None else self.ln(resid + position) - resid


def rotate(x: Float[Tensor, "batch pos head d_head"], base: int) -> Float[Tensor, "batch pos head d_head"]:
    """Rotary embedding on adjacent pairs (Su et al. 2021): pair i turns by ``pos * base^(-2 i / d_head)``.

    Angles are computed in the precision of ``x``, but at least in single: half precision has no room for positions.
    """
    n, d_head = x.shape[1], x.shape[3]
    dtype = torch.promote_types(x.dtype, torch.float32)
    rate = base ** (-torch.arange(0, d_head, 2, dtype=dtype, device=x.device) / d_head)
    angle = torch.arange(n, dtype=dtype, device=x.device)[:, None] * rate
    cos, sin = angle.cos()[:, None].to(x.dtype), angle.sin()[:, None].to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)


def uniform_fan_in(weight: Tensor, fan_in: int) -> None:
    """Fill in place, uniform in ``+- 1 / sqrt(fan_in)``: how PyTorch starts its linear layers."""
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(weight, -bound, bound)
