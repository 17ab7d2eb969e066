"""LayerNorm with a watched scale: the same numbers, a scale that can be replaced, gradients through it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.hooks import NormHooks
from models.norm import LayerNorm


@pytest.fixture
def norm() -> LayerNorm:
    norm = LayerNorm(6, eps=1e-5)
    torch.manual_seed(0)
    with torch.no_grad():
        norm.w.copy_(torch.randn(6))
        norm.b.copy_(torch.randn(6))
    return norm


def by_hand(x: Tensor, norm: LayerNorm, scale: Tensor | None = None) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = ((centred**2).mean(-1, keepdim=True) + norm.eps).sqrt() if scale is None else scale
    return centred / scale * norm.w + norm.b


@pytest.mark.parametrize("gradients", [True, False])
def test_watching_the_scale_changes_nothing(norm: LayerNorm, gradients: bool) -> None:
    x = 3 * torch.randn(2, 5, 6)
    hooks, seen = NormHooks(), []
    with torch.set_grad_enabled(gradients):
        plain = norm(x)
        hooks.hook_scale.add_hook(lambda scale, hook: seen.append(scale))
        watched = norm(x, hooks)
    assert torch.allclose(plain, watched, atol=1e-6)
    assert torch.allclose(plain, by_hand(x, norm), atol=1e-6)
    expected = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    assert torch.allclose(seen[0], expected, atol=1e-6)


@pytest.mark.parametrize("gradients", [True, False])
def test_a_replaced_scale_is_used(norm: LayerNorm, gradients: bool) -> None:
    x = torch.randn(2, 5, 6)
    hooks = NormHooks()
    hooks.hook_scale.add_hook(lambda scale, hook: 2 * scale)
    with torch.set_grad_enabled(gradients):
        out = norm(x, hooks)
    doubled = 2 * (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    assert torch.allclose(out, by_hand(x, norm, doubled), atol=1e-6)


def test_the_gradient_passes_through_the_scale(norm: LayerNorm) -> None:
    x = torch.randn(4, 6, requires_grad=True)
    hooks, gradients = NormHooks(), []
    hooks.hook_scale.add_hook(lambda gradient, hook: gradients.append(gradient), dir="bwd")
    norm(x, hooks).pow(2).sum().backward()
    watched, x.grad = x.grad, None
    norm(x).pow(2).sum().backward()
    assert torch.allclose(watched, x.grad, atol=1e-5)
    assert gradients[0].abs().max() > 0
