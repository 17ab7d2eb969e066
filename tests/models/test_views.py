"""What other tools find on a view: TransformerLens's names, caches and scores, and hook points in the module tree."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.transformer_bridge import TransformerBridge

from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.components import Attention, Block
from models.positions import rotate
from models.views import StepView, UnrolledView

GRAPH = ComputationGraph.parse("3 = a; 9 = b; a + b = c; c = d")
View = StepView | UnrolledView


def untrained(**sizes: Any) -> RecurrentTransformer:
    config: dict[str, Any] = {"n_layers": 2, "d_model": 24, "n_heads": 3, "d_head": 8, "d_mlp": 32, "seed": 1}
    return RecurrentTransformer(RecurrentConfig(**(config | sizes))).eval()


@pytest.fixture
def model() -> RecurrentTransformer:
    return untrained()


def views(model: RecurrentTransformer) -> list[View]:
    return [model.at_step(1), model.unrolled(2)]


# The module tree ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["relative_bias", "deberta", "absolute", "rotary", "none"])
def test_hook_points_are_submodules_under_their_plain_names(positions: str) -> None:
    model = untrained(positions=positions)
    weights = set(dict(model.named_parameters()))
    for view in views(model):
        modules = dict(view.named_modules())
        for plain, full in view._names.items():
            assert modules[plain] is model.hook_dict[full] is view.hook_dict[plain], plain
        assert set(dict(view.named_parameters(remove_duplicate=isinstance(view, StepView)))) >= weights
    assert set(dict(model.at_step(0).named_parameters())) == weights
    assert not any("hook_" in name for name in model.blocks.state_dict())
    assert not any("hook_" in name for name, _ in model.blocks.named_modules()), "the model is as it was"


def test_a_hook_on_a_submodule_acts_at_that_step(model: RecurrentTransformer) -> None:
    tokens = model.to_tokens(GRAPH)
    view = model.at_step(1)
    with torch.no_grad():
        plain = [model.at_step(step)(tokens) for step in range(2)]
        expected = view.run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
        )
        handle = view.blocks[0].attn.hook_z.register_forward_hook(
            lambda module, given, z: torch.zeros_like(z)
        )
        patched = [model.at_step(step)(tokens) for step in range(2)]
        handle.remove()
    assert torch.equal(patched[0], plain[0])
    assert torch.equal(patched[1], expected) and not torch.equal(patched[1], plain[1])


def test_a_shown_module_is_the_models_own(model: RecurrentTransformer) -> None:
    """Its weights, hooks, mode and whatever is set on it."""
    tokens, view = model.to_tokens(GRAPH), model.at_step(1)
    block, attention = view.blocks[0], view.blocks[0].attn
    assert (
        isinstance(block, Block)
        and isinstance(attention, Attention)
        and attention.W_Q is model.layers[0].attn.W_Q
    )
    assert len(view.blocks) == 2 and isinstance(view.blocks, nn.ModuleList)
    seen: list[Tensor] = []
    handle = attention.register_forward_hook(lambda module, given, out: seen.append(out))
    gradients: list[Any] = []
    backward = attention.register_full_backward_hook(lambda module, given, out: gradients.append(out))
    _, cache = view.run_with_cache(tokens)
    view(tokens).sum().backward()
    handle.remove()
    backward.remove()
    assert torch.allclose(seen[0], cache["attn_out", 0], atol=1e-6) and len(gradients) == 1
    attention.forward = lambda *given: torch.zeros_like(seen[0])
    with torch.no_grad():
        replaced = view(tokens)
        del attention.forward
        assert not torch.equal(replaced, view(tokens))
    view.train()
    assert model.training and model.layers[0].attn.training and attention.training
    view.eval()
    assert not (model.training or model.layers[0].attn.training or attention.training)
    with pytest.raises(AttributeError, match="no_such_thing"):
        attention.no_such_thing  # noqa: B018


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))])
def test_a_copied_view_shows_a_copied_model(model: RecurrentTransformer, copied: Any) -> None:
    tokens = model.to_tokens(GRAPH)
    for view in views(model):
        other = copied(view)
        assert type(other) is type(view) and other.original_model is not model
        with torch.no_grad():
            assert torch.equal(other(tokens), view(tokens))
            other.original_model.layers[0].attn.W_V.zero_()
            assert not torch.equal(other(tokens), view(tokens))
        assert dict(other.named_modules())["blocks.0.attn.hook_z"] is other.hook_dict["blocks.0.attn.hook_z"]
    block = copied(model.at_step(0).blocks[0])
    assert type(block) is Block and torch.equal(block.attn.W_Q, model.layers[0].attn.W_Q)
    assert block.attn.W_Q is not model.layers[0].attn.W_Q


# Caches -------------------------------------------------------------------------------------------------------


def test_caching_hooks_keep_plain_names(model: RecurrentTransformer) -> None:
    tokens = model.to_tokens(GRAPH)
    for view in views(model):
        with torch.no_grad():
            _, expected = view.run_with_cache(tokens)
            kept = view.add_caching_hooks()
            some: dict[str, Tensor] = {}
            view.cache_some(some, lambda name: name.endswith("hook_z"))
            named = view.add_caching_hooks(["hook_embed", "blocks.1.hook_mlp_out"])
            view(tokens)
            view.reset_hooks()
        assert not model.is_watched()
        assert set(kept) == set(expected)
        assert all(torch.equal(kept[name], expected[name]) for name in kept)
        assert set(some) == {name for name in expected if name.endswith("hook_z")}
        assert set(named) == {"hook_embed", "blocks.1.hook_mlp_out"}
    view = model.at_step(0)
    kept = view.add_caching_hooks("blocks.0.hook_resid_post", incl_bwd=True)
    view(tokens).sum().backward()
    view.reset_hooks()
    assert set(kept) == {"blocks.0.hook_resid_post", "blocks.0.hook_resid_post_grad"}


ALIASES = [
    ("use_split_qkv_input", "blocks.1.hook_q_input", "blocks.1.attn.hook_q_input"),
    ("use_split_qkv_input", "blocks.1.hook_k_input", "blocks.1.attn.hook_k_input"),
    ("use_split_qkv_input", "blocks.1.hook_v_input", "blocks.1.attn.hook_v_input"),
    ("use_attn_in", "blocks.1.attn.hook_attn_in", "blocks.1.hook_attn_in"),
]


@pytest.mark.parametrize(("flag", "alias", "own"), ALIASES)
def test_both_names_of_transformer_lens_are_one_point(
    model: RecurrentTransformer, flag: str, alias: str, own: str
) -> None:
    tokens, names = model.to_tokens(GRAPH), []

    def double(x: Tensor, hook: Any) -> Tensor:
        names.append(hook.name)
        return 2 * x + torch.arange(x.shape[-1])

    getattr(model, f"set_{flag}")(True)
    for view in views(model):
        assert view.hook_dict[alias] is view.hook_dict[own] is view.mod_dict[alias]
        with torch.no_grad():
            plain, cache = view.run_with_cache(tokens)
            _, filtered = view.run_with_cache(tokens, names_filter=[alias])
            edited = [
                view.run_with_hooks(tokens, fwd_hooks=[(name, double)])
                for name in (own, alias, lambda name: name == alias, lambda name: name in (own, alias))
            ]
        assert torch.equal(cache[alias], cache[own]) and list(filtered) == [alias]
        assert names == [own, alias, alias, own], "a point is hooked once, under the name that is asked for"
        assert all(torch.equal(one, edited[0]) for one in edited) and not torch.equal(edited[0], plain)
        names.clear()
    with torch.no_grad():
        in_run = [
            model.run_with_hooks(GRAPH, n_steps=2, fwd_hooks=[(f"steps.1.{name}", double)])
            for name in (own, alias)
        ]
        _, by_step = model.run_with_cache(GRAPH, n_steps=2, names=[alias])
    assert torch.equal(*in_run) and list(by_step) == [own]
    with pytest.raises(KeyError, match="exists at every step"):
        model.run_with_hooks(GRAPH, fwd_hooks=[(alias, double)])
    with pytest.raises(KeyError, match="has no hook point 'hook_q_input'"):
        model.at_step(0).run_with_hooks(tokens, fwd_hooks=[("hook_q_input", double)])


# Scores and configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_composition_scores_are_those_of_transformer_lens(model: RecurrentTransformer, mode: str) -> None:
    for shown in (model, *views(model)):
        theirs = TransformerBridge.all_composition_scores(
            SimpleNamespace(  # type: ignore[arg-type]
                blocks_with=shown.blocks_with,
                cfg=shown.cfg,
                _reject_encoder_decoder_composition=lambda: None,
                _reshape_qkv=lambda weight: weight,
                _reshape_o=lambda weight: weight,
                _expand_kv_heads=lambda weight: weight,
            ),
            mode,
        )
        ours = shown.all_composition_scores(mode)
        assert torch.allclose(ours.scores, theirs.scores, atol=1e-7)
        assert ours.layer_indices == theirs.layer_indices and ours.head_labels == theirs.head_labels
        assert shown.all_head_labels == theirs.head_labels
    scores = model.all_composition_scores(mode)
    assert scores.shape == (2, 3, 2, 3) and not scores[1].any() and not scores[0, :, 0].any()
    for writer in range(3):
        left = (model.W_V[0, writer] @ model.W_O[0, writer]).detach().numpy()
        for reader in range(3):
            right = model.W_Q[1, reader] @ model.W_K[1, reader].T
            right = {"Q": right, "K": right.T, "V": model.W_V[1, reader] @ model.W_O[1, reader]}[mode]
            right = right.detach().numpy()
            norms = [np.linalg.norm(matrix) for matrix in (left @ right, left, right)]
            assert float(scores[0, writer, 1, reader].detach()) == pytest.approx(
                norms[0] / norms[1] / norms[2], rel=1e-5
            )
    with pytest.raises(ValueError, match="'Q', 'K' or 'V'"):
        model.all_composition_scores("O")


def test_head_labels() -> None:
    model = untrained(n_heads=2)
    assert model.all_head_labels == model.at_step(0).all_head_labels == ["L0H0", "L0H1", "L1H0", "L1H1"]
    assert model.unrolled(2).all_head_labels[-1] == "L3H1"


def test_what_pyvene_asks_for(model: RecurrentTransformer) -> None:
    for shown in (model, *views(model)):
        assert shown.config.to_dict()["d_model"] == 24 and "use_cache" not in shown.config.to_dict()
        assert shown.device == model.W_E.device


# Other libraries ----------------------------------------------------------------------------------------------


def test_nnsight_reads_and_edits_a_step(model: RecurrentTransformer) -> None:
    nnsight = pytest.importorskip("nnsight")
    tokens, view = model.to_tokens(GRAPH), model.at_step(1)
    wrapped = nnsight.NNsight(view)
    with torch.no_grad():
        _, cache = view.run_with_cache(tokens, names_filter=["blocks.0.attn.hook_z"])
        expected = view.run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
        )
        with wrapped.trace(tokens):
            seen = wrapped.blocks[0].attn.hook_z.output.save()
        with wrapped.trace(tokens):
            wrapped.blocks[0].attn.hook_z.output[:] = 0
            edited = wrapped.output.save()
        after = view(tokens)
    assert torch.equal(seen, cache["blocks.0.attn.hook_z"])
    assert torch.equal(edited, expected) and not torch.equal(edited, after)


def test_pyvene_reads_and_edits_a_step(model: RecurrentTransformer) -> None:
    """By the path of the hook point; for ``"layer"`` pyvene needs an entry for the class in a list of its own."""
    pyvene = pytest.importorskip("pyvene")
    tokens, view = model.to_tokens(GRAPH), model.at_step(1)
    path = "blocks[0].attn.hook_z.output"
    zero = pyvene.IntervenableModel(
        {"component": path, "intervention": lambda base, source: 0 * base}, model=view
    )
    collect = pyvene.IntervenableModel(
        {"component": path, "intervention": pyvene.CollectIntervention()}, model=view
    )
    with torch.no_grad():
        _, cache = view.run_with_cache(tokens, names_filter=["blocks.0.attn.hook_z"])
        expected = view.run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
        )
        _, edited = zero(base={"input": tokens})
        (_, (seen,)), _ = collect(base={"input": tokens})
        after = view(tokens)
    assert torch.equal(seen.reshape(-1), cache["blocks.0.attn.hook_z"].reshape(-1))
    assert torch.equal(edited, expected) and not torch.equal(edited, after)
    with pytest.raises(KeyError, match="StepView"):
        pyvene.IntervenableModel({"layer": 0, "component": "block_output"}, model=view)


# Positions ----------------------------------------------------------------------------------------------------


def test_rotary_angles_are_as_precise_as_the_model() -> None:
    x = torch.randn(1, 700, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    angle = np.arange(700)[:, None, None] * 10_000.0 ** (-np.arange(0, 8, 2) / 8)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]).numpy() * np.exp(1j * angle)
    ours = rotate(x, 10_000).numpy()
    assert np.abs(ours[..., 0::2] - turned.real).max() < 1e-12
    assert np.abs(ours[..., 1::2] - turned.imag).max() < 1e-12
    half = rotate(x.to(torch.bfloat16), 10_000)
    assert half.dtype == torch.bfloat16
    assert np.abs(half.double().numpy() - ours).max() < 0.05


@pytest.mark.parametrize("training", [False, True])
def test_a_view_is_in_the_mode_of_its_model_throughout(training: bool) -> None:
    model = untrained().train(training)
    for view in (model.at_step(1), model.unrolled(2)):
        assert {module.training for module in view.modules()} == {training}
    assert {module.training for module in model.modules()} == {training}
