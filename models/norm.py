"""LayerNorm with TransformerLens's names and hook points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.hooks import NormHooks, is_watched


class LayerNorm(nn.Module):
    """``(x - mean) / sqrt(var + eps) * w + b`` over the last axis; ``affine=False`` (``LNPre``) leaves out w
    and b.

    The fused kernel runs unless a hook replaces ``hook_scale`` or a gradient has to pass through it; a hook
    that only looks (a cache) is given the scale the kernel found. ``hook_normalized`` is the output.
    """

    def __init__(self, d_model: int, eps: float, affine: bool = True) -> None:
        super().__init__()
        self.d_model = d_model
        self.eps = eps
        self.affine = affine
        if affine:
            self.w = nn.Parameter(torch.ones(d_model))
            self.b = nn.Parameter(torch.zeros(d_model))

    def reset_parameters(self) -> None:
        """w = 1, b = 0."""
        if self.affine:
            nn.init.ones_(self.w)
            nn.init.zeros_(self.b)

    def forward(
        self, x: Float[Tensor, "*lead d_model"], hooks: NormHooks | None = None
    ) -> Float[Tensor, "*lead d_model"]:
        """The normalised input, same shape."""
        w, b = (self.w, self.b) if self.affine else (None, None)
        if hooks is None or not is_watched(hooks.hook_scale):
            out = F.layer_norm(x, (self.d_model,), w, b, self.eps)
            return out if hooks is None else hooks.hook_normalized(out)
        if torch.is_grad_enabled():
            centred = x - x.mean(-1, keepdim=True)
            scale = hooks.hook_scale((centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        else:
            fused, mean, inverse = torch.native_layer_norm(x, (self.d_model,), w, b, self.eps)
            own = inverse.reciprocal()
            scale = hooks.hook_scale(own)
            if scale is own:
                return hooks.hook_normalized(fused)
            centred = x - mean
        out = centred / scale
        return hooks.hook_normalized(torch.addcmul(self.b, out, self.w) if self.affine else out)


class NoNorm(nn.Module):
    """The identity, where ``normalization_type`` is None; its hook points never fire, as in
    TransformerLens.
    """

    def forward(
        self, x: Float[Tensor, "*lead d_model"], hooks: NormHooks | None = None
    ) -> Float[Tensor, "*lead d_model"]:
        """``x`` itself."""
        return x


def make_norm(normalization_type: str | None, d_model: int, eps: float) -> LayerNorm | NoNorm:
    """The norm that ``cfg.normalization_type`` names: ``LN``, ``LNPre`` (w and b folded away) or None."""
    if normalization_type is None:
        return NoNorm()
    return LayerNorm(d_model, eps, affine=normalization_type == "LN")
