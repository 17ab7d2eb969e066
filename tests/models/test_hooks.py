"""A hook belongs to one step: names, growth, forward and backward, exceptions, caches."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_lens import ActivationCache

from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, load
from models.recurrent import HookNameError
from models.step_tree import UnreachedHookWarning

GRAPH = ComputationGraph.sample(6, n_leaves=3, seed=2)


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return RecurrentTransformer(
        RecurrentConfig(n_layers=2, d_model=24, n_heads=3, d_head=8, d_mlp=32, seed=1)
    ).eval()


def attached(model: RecurrentTransformer) -> dict[str, Any]:
    return model.list_hooks()


def test_names_carry_their_step_and_weights_do_not(model: RecurrentTransformer) -> None:
    before = list(model.state_dict())
    model.grow_steps(5)
    assert list(model.state_dict()) == before
    assert not any(name.startswith("steps.") for name in before)
    assert "steps.4.blocks.1.attn.hook_z" in model.hook_dict
    assert all(name.startswith("steps.") for name in model.hook_dict)
    point = model.hook_dict["steps.4.blocks.1.attn.hook_z"]
    assert (point.step, point.plain_name, point.layer()) == (4, "blocks.1.attn.hook_z", 1)


def test_a_patch_hits_one_step_only(model: RecurrentTransformer) -> None:
    """Zeroing z at step 1 leaves step 0 as it was and changes step 1."""
    with torch.no_grad():
        plain = model(GRAPH, n_steps=3)
        patched = model.run_with_hooks(
            GRAPH,
            n_steps=3,
            fwd_hooks=[("steps.1.blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))],
        )
    assert torch.equal(plain[0], patched[0])
    assert (plain[1] - patched[1]).abs().max() > 1e-3


def test_every_hook_point_of_a_step_can_change_the_output(model: RecurrentTransformer) -> None:
    """Guard: a point that is not on the computation path would be a decoration."""
    optional = {"hook_q_input", "hook_k_input", "hook_v_input", "hook_attn_in", "hook_mlp_in", "hook_result"}
    absent = {"hook_pos_embed", "hook_rot_q", "hook_rot_k"}
    tokens = model.to_tokens(GRAPH)
    with torch.no_grad():
        plain = model.at_step(1)(tokens)
    for name in model.plain_hook_names():
        short = name.rpartition(".")[2]
        if short in optional | absent:
            continue
        if short == "hook_state":
            change = lambda x, hook: x.roll(1, dims=1)  # noqa: E731
        else:
            change = lambda x, hook: x + 0.5 * torch.ones_like(x).cumsum(-1)  # noqa: E731
        with torch.no_grad():
            changed = model.at_step(1).run_with_hooks(tokens, fwd_hooks=[(name, change)])
        assert not torch.equal(plain, changed), name


def test_optional_points_fire_with_their_flag_and_change_nothing_by_themselves(
    model: RecurrentTransformer,
) -> None:
    tokens = model.to_tokens(GRAPH)
    with torch.no_grad():
        plain = model.at_step(0)(tokens)
    for flag, names in (
        ("use_attn_result", ["attn.hook_result"]),
        ("use_split_qkv_input", ["attn.hook_q_input", "attn.hook_k_input", "attn.hook_v_input"]),
        ("use_attn_in", ["hook_attn_in"]),
        ("use_hook_mlp_in", ["hook_mlp_in"]),
    ):
        switch = getattr(model, f"set_{flag}")
        switch(True)
        try:
            with torch.no_grad():
                out, cache = model.at_step(0).run_with_cache(tokens)
        finally:
            switch(False)
        assert torch.allclose(out, plain, atol=1e-5)
        for name in names:
            assert cache[f"blocks.1.{name}"].shape[-1] == model.cfg.d_model
    model.set_use_attn_in(True)
    try:
        with pytest.raises(ValueError, match="exclude each other"):
            model.set_use_split_qkv_input(True)
    finally:
        model.set_use_attn_in(False)


def test_hooks_are_gone_after_an_exception(model: RecurrentTransformer) -> None:
    def fail(activation: Tensor, hook: Any) -> None:
        raise RuntimeError("inside a hook")

    for run in (
        lambda: model.run_with_hooks(GRAPH, n_steps=2, fwd_hooks=[("steps.1.blocks.0.hook_resid_pre", fail)]),
        lambda: model.run_with_hooks(GRAPH, n_steps=2, fwd_hooks=[(lambda name: "hook_z" in name, fail)]),
        lambda: model.at_step(1).run_with_hooks(model.to_tokens(GRAPH), fwd_hooks=[("hook_embed", fail)]),
        lambda: model.unrolled(2).run_with_hooks(
            model.to_tokens(GRAPH), fwd_hooks=[("blocks.3.hook_mlp_out", fail)]
        ),
    ):
        with pytest.raises(RuntimeError, match="inside a hook"):
            run()
        assert not attached(model)
        assert not model.is_watched()
        assert model.context_level == 0
    with pytest.raises(HookNameError):
        model.run_with_hooks(GRAPH, fwd_hooks=[("steps.0.hook_embed", fail), ("steps.0.no_such_point", fail)])
    assert not attached(model)


def test_contexts_nest_between_model_and_view(model: RecurrentTransformer) -> None:
    calls: list[str] = []
    outer = ("steps.0.hook_embed", lambda x, hook: calls.append("outer " + hook.name))
    inner = ("hook_embed", lambda x, hook: calls.append("inner " + hook.name))
    view = model.at_step(0)
    with model.hooks(fwd_hooks=[outer]):
        with view.hooks(fwd_hooks=[inner]):
            view(model.to_tokens(GRAPH))
        assert calls == ["outer steps.0.hook_embed", "inner hook_embed"]
        view(model.to_tokens(GRAPH))
    assert calls[2:] == ["outer steps.0.hook_embed"]
    assert not attached(model)


Z = "steps.5.blocks.0.attn.hook_z"


def test_a_hook_on_a_step_that_is_not_run_says_so(model: RecurrentTransformer) -> None:
    hook = (Z, lambda z, hook: 0 * z)
    with torch.no_grad():
        with pytest.warns(UnreachedHookWarning, match=f"at {Z} did nothing: only steps 0 to 2 ran") as caught:
            model.run_with_hooks(GRAPH, n_steps=3, fwd_hooks=[hook])
        with pytest.warns(UnreachedHookWarning, match="only step 1 ran"), model.hooks(fwd_hooks=[hook]):
            model.at_step(1)(model.to_tokens(GRAPH))
        with pytest.warns(UnreachedHookWarning, match="at steps.3.hook_embed and 1 more did nothing"):
            model.run_with_hooks(GRAPH, n_steps=1, fwd_hooks=[("steps.3.hook_embed", hook[1]), hook])
        with pytest.warns(UnreachedHookWarning) as inside, model.hooks(bwd_hooks=[hook]):
            model.run(GRAPH, n_steps=5)
    assert len(caught) == 1 and inside[0].filename == __file__
    assert not attached(model)


def test_a_hook_that_was_added_for_good_is_asked_about_at_every_run(model: RecurrentTransformer) -> None:
    model.add_hook(Z, lambda z, hook: None)
    try:
        with pytest.warns(UnreachedHookWarning, match="only steps 0 to 1 ran") as caught:
            model.run(GRAPH, n_steps=2)
        with pytest.warns(UnreachedHookWarning, match="only steps 0 to 3 ran"), torch.no_grad():
            model(GRAPH, n_steps=4)
    finally:
        model.reset_hooks()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.run(GRAPH, n_steps=2)


def test_a_hook_that_is_reached_or_never_asked_says_nothing(model: RecurrentTransformer) -> None:
    hook = (Z, lambda z, hook: None)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        model.run_with_hooks(GRAPH, n_steps=6, fwd_hooks=[hook])
        model.unrolled(2).run_with_hooks(
            model.to_tokens(GRAPH), fwd_hooks=[("blocks.3.hook_mlp_out", hook[1])]
        )
        model.run_with_hooks(GRAPH, n_steps=2, fwd_hooks=[(lambda name: name == Z, hook[1])])
        model.run_with_cache(GRAPH, n_steps=2, names="all")
        with model.hooks(fwd_hooks=[hook]):
            pass  # nothing was run
        with model.hooks(fwd_hooks=[hook]):
            with model.hooks(fwd_hooks=[("steps.1.hook_embed", hook[1])]):
                model.at_step(1)(model.to_tokens(GRAPH))  # counts for the outer context too
            model.at_step(5)(model.to_tokens(GRAPH))


def test_a_hook_behind_the_step_at_which_a_run_settles_says_so() -> None:
    model, graph = load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c")
    with pytest.warns(
        UnreachedHookWarning, match="A run ends where the state stops changing, unless n_steps says"
    ):
        model.run_with_hooks(graph, fwd_hooks=[(Z, lambda z, hook: 0 * z)])


def test_a_predicate_reaches_steps_the_tree_did_not_have_yet() -> None:
    model = RecurrentTransformer(RecurrentConfig(n_layers=1, d_model=8, n_heads=1, d_head=4, d_mlp=8)).eval()
    assert len(model.steps) == 1
    seen: list[int] = []
    hook = (lambda name: name.endswith("blocks.0.hook_resid_post"), lambda x, hook: seen.append(hook.step))
    model.run_with_hooks(GRAPH, n_steps=4, fwd_hooks=[hook])
    assert seen == [0, 1, 2, 3]
    assert not attached(model)


def test_plain_names_are_refused_on_the_model(model: RecurrentTransformer) -> None:
    with pytest.raises(HookNameError, match="exists at every step; say which"):
        model.run_with_hooks(GRAPH, fwd_hooks=[("blocks.0.attn.hook_z", lambda x, hook: None)])
    with pytest.raises(HookNameError, match="at_step"):
        model.add_hook("hook_embed", lambda x, hook: None)
    with pytest.raises(HookNameError, match="names no recurrence step"):
        model.run_with_hooks(GRAPH, fwd_hooks=[("blocks.7.attn.hook_z", lambda x, hook: None)])
    with pytest.raises(KeyError, match="has no hook point"):
        model.at_step(0).run_with_hooks(
            model.to_tokens(GRAPH), fwd_hooks=[("blocks.7.hook_z", lambda x, hook: None)]
        )


def test_backward_hooks_know_their_step() -> None:
    """Through the straight-through estimator a loss at step 2 reaches steps 0 and 1; each step sees its own
    gradient.
    """
    model = RecurrentTransformer(
        RecurrentConfig(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, seed=2)
    )
    gradients: dict[int, Tensor] = {}
    values: dict[int, Tensor] = {}
    name = lambda n: n.endswith("blocks.0.hook_mlp_out")  # noqa: E731
    with model.hooks(
        fwd_hooks=[(name, lambda x, hook: values.__setitem__(hook.step, x))],
        bwd_hooks=[(name, lambda g, hook: gradients.__setitem__(hook.step, g.clone()))],
    ):
        model(GRAPH, n_steps=3, estimator="straight_through")[-1].logsumexp(-1).sum().backward()
    assert sorted(gradients) == sorted(values) == [0, 1, 2]
    assert all(gradients[step].abs().max() > 0 for step in range(3))
    assert not torch.allclose(gradients[0], gradients[2])
    gradients.clear()
    with model.hooks(bwd_hooks=[(name, lambda g, hook: gradients.__setitem__(hook.step, g.clone()))]):
        model(GRAPH, n_steps=3)[-1].logsumexp(-1).sum().backward()
    assert gradients[2].abs().max() > 0
    assert not gradients[0].any() and not gradients[1].any(), (
        "without an estimator the bottleneck stops the gradient"
    )


def test_gumbel_estimator_samples_states_and_passes_gradients() -> None:
    cfg = RecurrentConfig(
        n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16, estimator="gumbel", temperature=3.0
    )
    model = RecurrentTransformer(cfg)
    torch.manual_seed(0)
    first = model(GRAPH, n_steps=2, return_type="states")
    second = model(GRAPH, n_steps=2, return_type="states")
    assert not torch.equal(first[1:], second[1:])
    model(GRAPH, n_steps=2)[-1].sum().backward()
    assert model.W_E.grad is not None and model.W_E.grad.abs().sum() > 0


def test_cache_has_a_step_axis_and_filters(model: RecurrentTransformer) -> None:
    graphs = [GRAPH, ComputationGraph.sample(4, n_leaves=3, seed=9)]
    encoded = model.to_encoded(graphs)
    with torch.no_grad():
        logits, cache = model.run_with_cache(
            graphs, steps=[2, 0], names=["hook_z", "blocks.1.hook_resid_post"], n_steps=4
        )
        everything = model(graphs, n_steps=4)
    assert cache.steps == (0, 2)
    assert list(cache) == ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.1.hook_resid_post"]
    assert cache["blocks.1.attn.hook_z"].shape == (2, 2, encoded.factors.shape[1], 3, 8)
    assert torch.equal(logits, everything[[0, 2]])
    step2 = cache.at_step(2)
    assert isinstance(step2, ActivationCache)
    assert torch.equal(step2["z", 1], cache["blocks.1.attn.hook_z"][1])
    with pytest.raises(KeyError, match="step 1 was not kept"):
        cache.at_step(1)
    with pytest.raises(KeyError, match="was not kept; the cache holds"):
        cache["hook_embed"]
    with torch.no_grad():
        _, at_rhs = model.run_with_cache(
            graphs,
            names=["hook_z", "hook_pattern", "blocks.1.hook_resid_post"],
            positions="rhs",
            steps=[0, 2],
            n_steps=4,
        )
    rows = torch.arange(2)[:, None]
    whole, picked = cache["blocks.1.hook_resid_post"], at_rhs["blocks.1.hook_resid_post"]
    assert torch.allclose(picked, whole[:, rows, encoded.rhs.clamp_min(0)], atol=1e-5)
    assert at_rhs["blocks.0.attn.hook_pattern"].shape == (
        2,
        2,
        3,
        encoded.rhs.shape[1],
        encoded.factors.shape[1],
    )
    for positions in ([1, 3], torch.tensor([1, 3]), slice(1, 4, 2)):
        _, part = model.run_with_cache(
            graphs, names="blocks.1.hook_resid_post", positions=positions, steps=[0, 2]
        )
        assert torch.allclose(part["blocks.1.hook_resid_post"], whole[:, :, [1, 3]], atol=1e-5)


def test_cache_does_not_alias_live_state(model: RecurrentTransformer) -> None:
    """Changing what was cached changes nothing, and a later patch does not reach an earlier cache."""
    with torch.no_grad():
        logits, cache = model.run_with_cache(GRAPH, n_steps=2, names="all")
        kept = {name: tensor.clone() for name, tensor in cache.items()}
        model.run_with_hooks(GRAPH, n_steps=2, fwd_hooks=[(lambda n: True, lambda x, hook: x.mul_(1))])
        for tensor in cache.values():
            tensor.zero_()
        again, _ = model.run_with_cache(GRAPH, n_steps=2, names="all")
    assert torch.equal(logits, again)
    assert kept["hook_embed"].abs().max() > 0


def test_a_cache_keeps_no_gradients_unless_something_asks(model: RecurrentTransformer) -> None:
    """For a backward pass torch saves activations; the caches are the same with and without."""
    saved: list[torch.Size] = []

    def save(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        logits, cache = model.run_with_cache(GRAPH, n_steps=2, names="all")
        assert saved == [] and not logits.requires_grad and torch.is_grad_enabled()
        differentiable, same = model.run_with_cache(GRAPH, n_steps=2, names="all", gradients=True)
    assert saved and differentiable.requires_grad and torch.allclose(differentiable, logits, atol=1e-5)
    for name in cache:
        assert torch.allclose(cache[name], same[name], atol=1e-5) and not same[name].requires_grad, name

    seen: list[str] = []
    for name in ("steps.1.blocks.1.hook_resid_post", lambda name: name == "steps.4.blocks.1.hook_resid_post"):
        note = [(name, lambda gradient, hook: seen.append(hook.name))]
        with copy.deepcopy(model).hooks(bwd_hooks=note) as watched:
            watched.run_with_cache(GRAPH, n_steps=6)[0].sum().backward()
    assert seen == ["steps.1.blocks.1.hook_resid_post", "steps.4.blocks.1.hook_resid_post"]
    with torch.no_grad():
        assert not model.run_with_cache(GRAPH, gradients=True)[0].requires_grad


def test_cache_errors(model: RecurrentTransformer) -> None:
    with pytest.raises(KeyError, match="no step has a hook point 'hook_zz'; there are"):
        model.run_with_cache(GRAPH, names=["hook_zz"])
    with pytest.raises(ValueError, match="beyond the run, which has steps 0..1"):
        model.run_with_cache(GRAPH, steps=[2], n_steps=2)
    with pytest.raises(ValueError, match="non-negative"):
        model.run_with_cache(GRAPH, steps=[-1])
    with pytest.raises(ValueError, match="needs graphs"):
        model.run_with_cache(model.to_tokens(GRAPH), positions="rhs")
    with pytest.raises(ValueError, match="'lhs' is not known"):
        model.run_with_cache(GRAPH, positions="lhs")  # type: ignore[arg-type]


def test_a_copy_has_hooks_of_its_own(model: RecurrentTransformer) -> None:
    clone = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(clone(GRAPH, n_steps=2), model(GRAPH, n_steps=2))
    with clone.hooks(fwd_hooks=[("steps.0.hook_embed", lambda x, hook: x * 0)]):
        assert clone.is_watched() and not model.is_watched()
    untrained = model.untrained(seed=5)
    assert untrained.cfg.d_model == model.cfg.d_model
    assert not torch.equal(untrained.W_E, model.W_E)


def test_unrolled_names_every_block_of_the_run(model: RecurrentTransformer) -> None:
    tokens = model.to_tokens(GRAPH)
    view = model.unrolled(3)
    with torch.no_grad():
        logits, cache = view.run_with_cache(tokens)
        everything, by_step = model.run_with_cache(GRAPH, n_steps=3, names="all")
    assert view.cfg.n_layers == len(view.blocks) == 6 and model.cfg.n_layers == 2
    assert torch.equal(logits, everything[-1])
    for step in range(3):
        for layer in range(2):
            mine = cache[f"blocks.{2 * step + layer}.attn.hook_pattern"]
            assert torch.equal(mine, by_step[f"blocks.{layer}.attn.hook_pattern"][step])
    assert torch.equal(cache["hook_embed"], by_step["hook_embed"][0])
    assert torch.equal(cache["ln_final.hook_normalized"], by_step["ln_final.hook_normalized"][2])
    assert torch.equal(cache["steps.1.hook_embed"], by_step["hook_embed"][1])
    with pytest.raises(ValueError, match="1 or more"):
        model.unrolled(0)
    with pytest.raises(ValueError, match="0 or more"):
        model.at_step(-1)
