"""The parts of one block, weights in TransformerLens shapes, called with the hook tree of a step.

    W_Q, W_K, W_V [head, d_model, d_head]   W_O [head, d_head, d_model]
    W_in [d_model, d_mlp]                   W_out [d_mlp, d_model]

Attention takes PyTorch's fused kernel unless somebody watches the scores or the pattern, or a gradient has to
reach the position scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.config import RecurrentConfig
from models.hook_tree import HookTree, is_watched
from models.norm import make_norm
from models.position_encodings import POSITIONS
from models.positions import Scores, rotate, uniform_fan_in

if TYPE_CHECKING:
    from transformer_lens.FactoredMatrix import FactoredMatrix

KeysAndValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, [batch, pos, head, d_head] each."""


@dataclass(frozen=True)
class AttentionContext:
    """What all layers of one step share.

    ``mask``: what is added to the scores to forbid a pair (0 or -inf), [1 or batch, 1, query, key]; None
    where nothing is forbidden. ``query_scale``: factor on the scores of a query, [query, 1] or, where rows
    differ in what may be looked at, [batch, 1, 1, 1]; None for 1.
    ``relative``: embeddings of the distances, [distance, d_model], for ``deberta`` only. ``plain_causal``:
    the mask is causality and nothing else. ``past``: keys and values of the positions before the queries'
    first, [1 or batch, past, head, d_head] each, where only the last positions of a step are computed.
    """

    mask: Float[Tensor, "one_or_batch 1 query key"] | None
    query_scale: Float[Tensor, "*row query 1"] | None
    relative: Float[Tensor, "distance d_model"] | None
    plain_causal: bool
    past: KeysAndValues | None = None


def attention_context(
    cfg: RecurrentConfig,
    resid: Float[Tensor, "batch pos d_model"],
    relative: Float[Tensor, "distance d_model"] | None,
    key_mask: Bool[Tensor, "batch pos"] | None,
    n_past: int = 0,
) -> AttentionContext:
    """Masks and scales for ``resid``; ``key_mask`` is True at positions that may be attended to
    (None: all). With ``n_past``, ``resid`` holds the positions from ``n_past`` on.
    """
    n = n_past + resid.shape[1]
    mask = None
    if cfg.attention_dir == "causal":
        mask = torch.full((n - n_past, n), -math.inf, device=resid.device, dtype=resid.dtype)
        mask = mask.triu_(n_past + 1)[None, None]
    plain = mask is not None and key_mask is None and n_past == 0
    if key_mask is not None:
        blocked = torch.zeros(key_mask.shape, device=resid.device, dtype=resid.dtype)
        blocked = blocked.masked_fill(~key_mask, -math.inf)[:, None, None]
        mask = blocked if mask is None else mask + blocked
    query_scale = None
    if cfg.attention_scale == "log":
        if cfg.attention_dir == "causal":
            n_keys = torch.arange(n_past + 1, n + 1, device=resid.device, dtype=resid.dtype)
        elif key_mask is not None:
            n_keys = key_mask.sum(-1, dtype=resid.dtype)[:, None, None]
        else:
            n_keys = torch.full((n,), n, device=resid.device, dtype=resid.dtype)
        query_scale = (n_keys.log() / math.log(cfg.attention_scale_reference)).clamp_min(1.0)[..., None]
    return AttentionContext(mask, query_scale, relative, plain)


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.cfg = cfg
        heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.W_K = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.W_V = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.W_O = nn.Parameter(torch.empty(heads, d_head, d_model))
        self.b_Q = nn.Parameter(torch.empty(heads, d_head))
        self.b_K = nn.Parameter(torch.empty(heads, d_head))
        self.b_V = nn.Parameter(torch.empty(heads, d_head))
        self.b_O = nn.Parameter(torch.empty(d_model))
        self.encoding = POSITIONS[cfg.positions]
        self.pos: Scores | None = self.encoding.module("scores", cfg)
        self.attn_scale = math.sqrt(d_head * self.encoding.terms)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(fan_in), biases zero."""
        for weight in (self.W_Q, self.W_K, self.W_V):
            uniform_fan_in(weight, fan_in=self.cfg.d_model)
        uniform_fan_in(self.W_O, fan_in=self.cfg.n_heads * self.cfg.d_head)
        for bias in (self.b_Q, self.b_K, self.b_V, self.b_O):
            nn.init.zeros_(bias)

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O per head, a FactoredMatrix [head, d_model, d_model]."""
        from transformer_lens.FactoredMatrix import FactoredMatrix

        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T per head, a FactoredMatrix [head, d_model, d_model] (content part, before scaling)."""
        from transformer_lens.FactoredMatrix import FactoredMatrix

        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    def forward(
        self,
        query_input: Float[Tensor, "batch pos *head d_model"],
        key_input: Float[Tensor, "batch pos *head d_model"],
        value_input: Float[Tensor, "batch pos *head d_model"],
        hooks: HookTree,
        context: AttentionContext,
    ) -> Float[Tensor, "batch pos d_model"]:
        """What the heads add to the residual stream; inputs are normalised, per head with
        ``use_split_qkv_input``.
        """
        q = hooks.hook_q(_per_head(query_input, self.W_Q, self.b_Q))
        k = hooks.hook_k(_per_head(key_input, self.W_K, self.b_K))
        v = hooks.hook_v(_per_head(value_input, self.W_V, self.b_V))
        if context.past is not None:
            k, v = (
                torch.cat([past.expand(len(now), -1, -1, -1), now], dim=1)
                for past, now in zip(context.past, (k, v), strict=True)
            )
        if self.encoding.rotates:
            q = hooks.hook_rot_q(rotate(q, self.cfg.rotary_base))
            k = hooks.hook_rot_k(rotate(k, self.cfg.rotary_base))
        z = hooks.hook_z(
            self._attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), hooks, context)
        )
        if self.cfg.use_attn_result:
            return hooks.hook_result(torch.einsum("bphd,hdm->bphm", z, self.W_O)).sum(2) + self.b_O
        return torch.addmm(
            self.b_O, z.reshape(-1, self.W_O.shape[0] * self.W_O.shape[1]), self.W_O.flatten(0, 1)
        ).view(*z.shape[:2], -1)

    def _attend(
        self,
        q: Float[Tensor, "batch head pos d_head"],
        k: Float[Tensor, "batch head key d_head"],
        v: Float[Tensor, "batch head key d_head"],
        hooks: HookTree,
        context: AttentionContext,
    ) -> Float[Tensor, "batch pos head d_head"]:
        bias = None if self.pos is None else self.pos.of_pairs(q, k, self.attn_scale, context.relative)
        noisy = self.training and self.cfg.attention_noise > 0
        watched = is_watched(hooks.hook_attn_scores) or is_watched(hooks.hook_pattern)
        needs_scores = watched or noisy or (bias is not None and bias.requires_grad)
        if not needs_scores and bias is None and context.query_scale is None and context.plain_causal:
            return F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=1 / self.attn_scale
            ).transpose(1, 2)
        if context.query_scale is not None:
            q = q * context.query_scale
            bias = None if bias is None else bias * context.query_scale
        if noisy:
            noise = torch.randn(1, *q.shape[1:3], k.shape[2], device=q.device, dtype=q.dtype)
            noise *= self.cfg.attention_noise
            bias = noise if bias is None else bias + noise
        if context.mask is not None:
            bias = context.mask if bias is None else bias + context.mask
        if not needs_scores:
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=bias, scale=1 / self.attn_scale
            ).transpose(1, 2)
        scores = (q / self.attn_scale) @ k.transpose(-1, -2)
        if bias is not None:
            scores += bias
        pattern = hooks.hook_pattern(hooks.hook_attn_scores(scores).softmax(-1))
        return (pattern @ v).transpose(1, 2)


def _per_head(
    x: Float[Tensor, "batch pos *head d_model"],
    weight: Float[Tensor, "head d_model d_head"],
    bias: Float[Tensor, "head d_head"],
) -> Float[Tensor, "batch pos head d_head"]:
    """Project to every head; an input with a head axis of its own goes to its head only."""
    if x.ndim == 4:
        return torch.einsum("bphm,hmd->bphd", x, weight) + bias
    flat = torch.addmm(bias.flatten(), x.flatten(0, 1), weight.transpose(0, 1).flatten(1))
    return flat.view(*x.shape[:2], *bias.shape)


class MLP(nn.Module):
    """``act(x W_in + b_in) W_out + b_out``."""

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        d_mlp = cfg.d_mlp if cfg.d_mlp is not None else 4 * cfg.d_model
        self.gelu = cfg.act_fn == "gelu"
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, d_mlp))
        self.b_in = nn.Parameter(torch.empty(d_mlp))
        self.W_out = nn.Parameter(torch.empty(d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.empty(cfg.d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(fan_in), biases zero."""
        for weight, bias in ((self.W_in, self.b_in), (self.W_out, self.b_out)):
            uniform_fan_in(weight, fan_in=weight.shape[0])
            nn.init.zeros_(bias)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], hooks: HookTree
    ) -> Float[Tensor, "batch pos d_model"]:
        """What the MLP adds to the residual stream."""
        pre = hooks.hook_pre(torch.addmm(self.b_in, x.flatten(0, 1), self.W_in).view(*x.shape[:2], -1))
        post = hooks.hook_post(F.gelu(pre) if self.gelu else F.relu(pre))
        return torch.addmm(self.b_out, post.flatten(0, 1), self.W_out).view(x.shape)


class Block(nn.Module):
    """Pre-norm Transformer block: ``x + attn(ln1(x))``, then ``x + mlp(ln2(x))``."""

    hook_out_is_single_residual_stream = True

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.ln1 = make_norm(cfg.normalization_type, cfg.d_model, cfg.eps)
        self.attn = Attention(cfg)
        self.ln2 = make_norm(cfg.normalization_type, cfg.d_model, cfg.eps)
        self.mlp = MLP(cfg)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(
        self, resid: Float[Tensor, "batch pos d_model"], hooks: HookTree, context: AttentionContext
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after the block."""
        resid = hooks.hook_resid_pre(resid)
        resid = hooks.hook_resid_mid(resid + hooks.hook_attn_out(self._attention(resid, hooks, context)))
        mlp_in = hooks.hook_mlp_in(resid) if self.cfg.use_hook_mlp_in else resid
        mlp_out = self.dropout(self.mlp(self.ln2(mlp_in, hooks.ln2), hooks.mlp))
        return hooks.hook_resid_post(resid + hooks.hook_mlp_out(mlp_out))

    def _attention(self, resid: Tensor, hooks: HookTree, context: AttentionContext) -> Tensor:
        if self.cfg.use_split_qkv_input or self.cfg.use_attn_in:
            copies = resid.unsqueeze(2).expand(-1, -1, self.cfg.n_heads, -1)
            if self.cfg.use_attn_in:
                q_in = k_in = v_in = self.ln1(hooks.hook_attn_in(copies), hooks.ln1)
            else:
                q_in = self.ln1(hooks.attn.hook_q_input(copies), hooks.ln1)
                k_in = self.ln1(hooks.attn.hook_k_input(copies))
                v_in = self.ln1(hooks.attn.hook_v_input(copies))
        else:
            q_in = k_in = v_in = self.ln1(resid, hooks.ln1)
        return self.dropout(self.attn(q_in, k_in, v_in, hooks.attn, context))
