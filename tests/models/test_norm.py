"""LayerNorm with a watched scale: the same numbers, a scale that can be replaced, gradients through it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components.normalization import NormalizationBridge

from models.hook_tree import HookTree
from models.hooks import StepHookPoint
from models.norm import LayerNorm


@pytest.fixture
def norm() -> LayerNorm:
    norm = LayerNorm(6, eps=1e-5)
    torch.manual_seed(0)
    with torch.no_grad():
        norm.w.copy_(torch.randn(6))
        norm.b.copy_(torch.randn(6))
    return norm


def norm_hooks() -> HookTree:
    return HookTree(["hook_scale", "hook_normalized"], StepHookPoint)


def by_hand(x: Tensor, norm: LayerNorm, scale: Tensor | None = None) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = ((centred**2).mean(-1, keepdim=True) + norm.eps).sqrt() if scale is None else scale
    return centred / scale * norm.w + norm.b


@pytest.mark.parametrize("gradients", [True, False])
def test_watching_the_scale_changes_nothing(norm: LayerNorm, gradients: bool) -> None:
    x = 3 * torch.randn(2, 5, 6)
    hooks, seen = norm_hooks(), []
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
    hooks = norm_hooks()
    hooks.hook_scale.add_hook(lambda scale, hook: 2 * scale)
    with torch.set_grad_enabled(gradients):
        out = norm(x, hooks)
    doubled = 2 * (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    assert torch.allclose(out, by_hand(x, norm, doubled), atol=1e-6)


def test_the_gradient_passes_through_the_scale(norm: LayerNorm) -> None:
    x = torch.randn(4, 6, requires_grad=True)
    hooks, gradients = norm_hooks(), []
    hooks.hook_scale.add_hook(lambda gradient, hook: gradients.append(gradient), dir="bwd")
    norm(x, hooks).pow(2).sum().backward()
    watched, x.grad = x.grad, None
    norm(x).pow(2).sum().backward()
    assert torch.allclose(watched, x.grad, atol=1e-5)
    assert gradients[0].abs().max() > 0


def theirs(norm: LayerNorm) -> NormalizationBridge:
    """TransformerLens's own LayerNorm with the same weights."""
    original = nn.LayerNorm(norm.d_model, norm.eps)
    original.load_state_dict({"weight": norm.w, "bias": norm.b})
    bridge = NormalizationBridge("ln", SimpleNamespace(eps=norm.eps))
    bridge.set_original_component(original)
    return bridge


EDITS: list[Callable[[Tensor], Tensor | None]] = [
    lambda x: None,
    lambda x: x + 1,
    lambda x: x.detach().clone().mul_(2),
]


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("point", ["hook_scale", "hook_normalized"])
@pytest.mark.parametrize("edit", range(len(EDITS)))
def test_the_points_see_and_change_what_those_of_transformer_lens_do(
    norm: LayerNorm, gradients: bool, point: str, edit: int
) -> None:
    x = 3 * torch.randn(2, 5, 6)
    hooks, bridge = norm_hooks(), theirs(norm)
    seen: dict[str, Tensor] = {}

    def keep(whose: str) -> Callable[..., Any]:
        return lambda value, hook: (seen.__setitem__(whose, value.detach().clone()), EDITS[edit](value))[1]

    getattr(hooks, point).add_hook(keep("ours"))
    getattr(bridge, point).add_hook(keep("theirs"))
    with torch.set_grad_enabled(gradients):
        ours, expected = norm(x, hooks), bridge(x)
    assert torch.allclose(seen["ours"], seen["theirs"], atol=1e-6)
    assert torch.allclose(ours, expected, atol=1e-6)
    assert torch.allclose(ours, norm(x), atol=1e-6) == (edit == 0), "an edit acts, a look does not"


@pytest.mark.parametrize("point", ["hook_scale", "hook_normalized"])
@pytest.mark.parametrize("inference", [True, False])
def test_a_change_in_place_acts_as_one_that_is_returned(norm: LayerNorm, point: str, inference: bool) -> None:
    x = torch.randn(2, 5, 6)
    answers: list[Tensor] = []
    for edit in (lambda value, hook: value.mul_(2), lambda value, hook: 2 * value, lambda value, hook: None):
        hooks = norm_hooks()
        getattr(hooks, point).add_hook(edit)
        with torch.inference_mode(inference), torch.no_grad():
            answers.append(norm(x, hooks))
    assert torch.allclose(answers[0], answers[1], atol=1e-6)
    assert not torch.allclose(answers[0], answers[2], atol=1e-2)


def test_a_look_changes_no_digit(norm: LayerNorm) -> None:
    x = torch.randn(2, 5, 6)
    hooks = norm_hooks()
    for point in (hooks.hook_scale, hooks.hook_normalized):
        point.add_hook(lambda value, hook: value)
    with torch.no_grad():
        assert torch.equal(norm(x, hooks), norm(x))
