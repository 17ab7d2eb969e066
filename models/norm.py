"""LayerNorm with TransformerLens's names and hook points."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.hook_tree import HookTree, is_watched


class LayerNorm(nn.Module):
    """``(x - mean) / sqrt(var + eps) * w + b`` over the last axis; ``affine=False`` (``LNPre``) leaves out w
    and b.

    As in TransformerLens, ``hook_scale`` is ``sqrt(var + eps)`` and ``hook_normalized`` is
    ``(x - mean) / scale``, before w and b; what a hook makes of either goes on. The fused kernel gives the
    output unless a hook changes one of the two or a gradient may have to pass through them: a hook that only
    looks (a cache) changes no digit.
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
        self, x: Float[Tensor, "*lead d_model"], hooks: HookTree | None = None
    ) -> Float[Tensor, "*lead d_model"]:
        """The normalised input, same shape."""
        w, b = (self.w, self.b) if self.affine else (None, None)
        if hooks is None or not (is_watched(hooks.hook_scale) or is_watched(hooks.hook_normalized)):
            return F.layer_norm(x, (self.d_model,), w, b, self.eps)
        if torch.is_grad_enabled():
            centred = x - x.mean(-1, keepdim=True)
            scale = hooks.hook_scale((centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
            return self._affine(hooks.hook_normalized(centred / scale))
        fused, mean, inverse = torch.native_layer_norm(x, (self.d_model,), w, b, self.eps)
        own_scale = inverse.reciprocal()
        unchanged = _Unchanged(own_scale)
        scale = hooks.hook_scale(own_scale)
        only_looked = unchanged.is_still(scale)
        own = ((x - mean) / scale).to(x.dtype)
        unchanged = _Unchanged(own)
        normalized = hooks.hook_normalized(own)
        return fused if only_looked and unchanged.is_still(normalized) else self._affine(normalized)

    def _affine(self, normalized: Float[Tensor, "*lead d_model"]) -> Float[Tensor, "*lead d_model"]:
        return torch.addcmul(self.b, normalized, self.w) if self.affine else normalized


class _Unchanged:
    """Whether what comes out of a hook point is what went in: the same tensor, not written to in place.

    Inference tensors do not count their changes, so these never pass.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._version = _version(tensor)

    def is_still(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` is the one that went in, as it was."""
        return tensor is self._tensor and self._version is not None and _version(tensor) == self._version


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else cast(Any, tensor)._version


class NoNorm(nn.Module):
    """The identity, where ``normalization_type`` is None; its hook points never fire, as in
    TransformerLens.
    """

    def forward(
        self, x: Float[Tensor, "*lead d_model"], hooks: HookTree | None = None
    ) -> Float[Tensor, "*lead d_model"]:
        """``x`` itself."""
        return x


def make_norm(normalization_type: str | None, d_model: int, eps: float) -> LayerNorm | NoNorm:
    """The norm that ``cfg.normalization_type`` names: ``LN``, ``LNPre`` (w and b folded away) or None."""
    if normalization_type is None:
        return NoNorm()
    return LayerNorm(d_model, eps, affine=normalization_type == "LN")


def folded(
    norm: LayerNorm | NoNorm, weight: Float[Tensor, "*lead d_model n"]
) -> Float[Tensor, "*lead d_model n"]:
    """``norm`` without its scale and its b as part of the ``weight`` that reads it, in double precision on the CPU."""
    weight = weight.double().cpu()
    if isinstance(norm, NoNorm):
        return weight
    scaled = norm.w.double().cpu()[:, None] * weight if norm.affine else weight
    return scaled - scaled.mean(-2, keepdim=True)
