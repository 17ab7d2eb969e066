"""The last layer's attention in one step of the base run, laid out for changes of single keys.

With scores ``s_ij`` of query i and key j, ``p_ij`` their softmax and ``z_i = sum_j p_ij v_j``, let key p alone become
``k'`` and ``v'``. With ``e = p_ip`` and ``e' = p_ip exp(s'_ip - s_ip)``, exactly,

    z'_i - z_i = (e' (v' - z_i) - e (v_p - z_i)) / (1 + e' - e)
               = (e' (v' - v_p) + (e' - e) (v_p - z_i)) / (1 + e' - e)

so its norm is at most ``(e' |v' - v_p| + |e' - e| |v_p - z_i|) / (1 + e' - e)``, for which no vector has to be made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.components import Attention
from models.positions import RelativeBias

SMALLEST_REST = 0.1
"""Below this share of the softmax left to the other keys, ``1 + e' - e`` cancels: such a query attends anew."""

AT_ONCE = 2**22
"""Numbers in one [head, query, key] array of queries that attend anew."""

BY_DIFFERENCE = "donot_use_mm_for_euclid_dist"
"""Distances from differences: those from inner products lose half of the digits where a distance is small."""


@dataclass(frozen=True, eq=False)
class BaseAttention:
    """Attention of one layer and step of the base run. All [head, ...].

    q: scaled queries [head, pos, d_head]; k, v, z the same. offset: what is added to a score, minus the query's
    log-sum-exp, [head, key, query], -inf where the key comes after the query. pattern: [head, key, query].
    scale: [pos], what queries have been scaled by.
    """

    q: Float[Tensor, "head pos d_head"]
    k: Float[Tensor, "head pos d_head"]
    v: Float[Tensor, "head pos d_head"]
    z: Float[Tensor, "head pos d_head"]
    offset: Float[Tensor, "head key query"]
    pattern: Float[Tensor, "head key query"]
    scale: Float[Tensor, " pos"]

    @classmethod
    def of(cls, attn: Attention, q: Tensor, k: Tensor, v: Tensor) -> BaseAttention:
        """From queries, keys and values [pos, head, d_head] of a causal layer with biases by distance or none."""
        n = len(q)
        scale = torch.full((n,), 1 / attn.attn_scale, dtype=q.dtype, device=q.device)
        factor = torch.ones_like(scale)
        if attn.cfg.attention_scale == "log":
            count = torch.arange(1, n + 1, dtype=q.dtype, device=q.device)
            factor = (count.log() / math.log(attn.cfg.attention_scale_reference)).clamp_min(1.0)
        q, k, v = (part.transpose(0, 1).contiguous() for part in (q, k, v))
        q = q * (scale * factor)[:, None]
        added = torch.zeros(1, n, n, dtype=q.dtype, device=q.device)
        if attn.pos is not None:
            added = cast(RelativeBias, attn.pos).scores(n)[0].transpose(-1, -2) * factor
        added = added + torch.full((n, n), -math.inf, dtype=q.dtype, device=q.device).tril_(-1)
        scores = k @ q.transpose(-1, -2) + added
        total = scores.logsumexp(1, keepdim=True)
        pattern = (scores - total).exp()
        z = pattern.transpose(-1, -2) @ v
        return cls(q, k, v, z, added - total, pattern, scale * factor)

    @cached_property
    def spread(self) -> Float[Tensor, "head key query"]:
        """``|v_j - z_i|``."""
        return torch.cdist(self.v, self.z, compute_mode=BY_DIFFERENCE)

    def weights(
        self, key: Int[Tensor, " change"], k: Float[Tensor, "change head d_head"], start: int
    ) -> tuple[Tensor, Tensor]:
        """``e`` and ``e'`` of every change for the queries from ``start`` on, [head, change, query] each."""
        before = self.pattern[:, key, start:]
        scores = k.transpose(0, 1) @ self.q[:, start:].transpose(-1, -2)
        # A key that would take everything is not bounded by this, but attended to anew; exp must not overflow.
        return before, (scores + self.offset[:, key, start:]).clamp_max(30).exp()

    def moves(
        self,
        key: Int[Tensor, " change"],
        v: Float[Tensor, "change head d_head"],
        weights: tuple[Tensor, Tensor],
        start: int,
        slack: float,
    ) -> Float[Tensor, "head change query"]:
        """The bound on ``|z'_i - z_i|`` of the module's text; ``slack`` is the relative error of ``e`` and ``e'``."""
        before, after = weights
        apart = length(v.transpose(0, 1) - self.v[:, key])[..., None]
        rest = 1 + after - before
        difference = (after - before).abs_() + slack * (after + before)
        return (difference * self.spread[:, key, start:] + after * apart) / rest.clamp_min(SMALLEST_REST)

    def attend(
        self,
        q: Float[Tensor, "query head d_head"],
        pos: Int[Tensor, " query"],
        key: Int[Tensor, "query key"],
        k: Float[Tensor, "query key head d_head"],
        v: Float[Tensor, "query key head d_head"],
    ) -> Float[Tensor, "query head d_head"]:
        """z of unscaled queries at ``pos``, each with keys of its own at ``key``."""
        return self.attend_scaled(q * self.scale[pos][:, None, None], pos, key, k, v)

    def attend_scaled(
        self, q: Tensor, pos: Tensor, key: Tensor, k: Tensor, v: Tensor
    ) -> Float[Tensor, "query head d_head"]:
        """The same for queries that are scaled already."""
        count = max(1, AT_ONCE // (self.k.shape[0] * self.k.shape[1]))
        parts = zip(*(torch.split(part, count) for part in (q, pos, key, k, v)), strict=True)
        return torch.cat([self._attend(*part) for part in parts])

    def _attend(self, q: Tensor, pos: Tensor, key: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = q.transpose(0, 1), k.permute(2, 0, 1, 3), v.permute(2, 0, 1, 3)
        scores = q @ self.k.transpose(-1, -2)
        rows = torch.arange(len(pos), device=pos.device)[:, None]
        scores[:, rows, key] = (q[:, :, None] * k).sum(-1)
        scores += self.offset[:, :, pos].transpose(-1, -2)
        pattern = scores.softmax(-1)
        added = (pattern[:, rows, key][..., None] * (v - self.v[:, key])).sum(2)
        return (pattern @ self.v + added).transpose(0, 1)

    def updated(
        self, query: Tensor, key: Tensor, v: Tensor, before: Tensor, after: Tensor
    ) -> Float[Tensor, "query head d_head"]:
        """z' of the module's text for unchanged queries; ``before``, ``after`` are e and e', [head, query]."""
        z, old = self.z[:, query], self.v[:, key]
        moved = after[..., None] * (v.transpose(0, 1) - z) - before[..., None] * (old - z)
        return (z + moved / (1 + after - before)[..., None]).transpose(0, 1)


def length(vectors: Float[Tensor, "*lead width"]) -> Float[Tensor, "*lead"]:
    """Euclidean norms."""
    return torch.linalg.vector_norm(vectors, dim=-1)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
