"""TransformerLens's own utilities on one step, unmodified, at the first, a middle and the last step.

Each utility's answer is compared with what a hook made by hand gives, so that a utility that silently reads
another step (or nothing) cannot pass.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_lens import ActivationCache, patching
from transformer_lens.head_detector import detect_head
from transformer_lens.SVDInterpreter import SVDInterpreter
from transformer_lens.tools.analysis import (
    EdgeAttributionConfig,
    FaithfulnessConfig,
    attribution_patch,
    direct_logit_attribution,
    faithfulness,
    fit_das,
    fit_sparse_probe,
    logit_lens,
)
from transformer_lens.utilities import get_act_name

from models import ComputationGraph, RecurrentConfig, RecurrentTransformer

CLEAN = ComputationGraph.parse("3 = a; 9 = b; a + b = c; c = d")
CORRUPT = ComputationGraph.parse("3 = a; 17 = b; a + b = c; c = d")
STEPS = (0, 2, 4)
N_STEPS = 5


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    cfg = RecurrentConfig(n_layers=2, d_model=20, n_heads=2, d_head=8, d_mlp=24, seed=4)
    model = RecurrentTransformer(cfg)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval().process_weights(fold_ln=True)


@pytest.fixture(params=STEPS)
def step(request: pytest.FixtureRequest) -> int:
    return request.param


class Pair:
    """States of the clean and the corrupt run entering a step, and what the step makes of them."""

    def __init__(self, model: RecurrentTransformer, step: int) -> None:
        self.view = model.at_step(step)
        self.rhs = int(model.to_encoded(CLEAN).rhs[0, -1])
        self.answer = model.to_single_token("12")
        states = [model.run(graph, n_steps=N_STEPS).states[step] for graph in (CLEAN, CORRUPT)]
        # An untrained model may read nothing of the leaf; the pair always differs in it.
        states = [state.clone() for state in states]
        states[0][0, 4], states[1][0, 4] = (
            model.to_encoded(CLEAN).factors[0, 4],
            model.to_encoded(CORRUPT).factors[0, 4],
        )
        self.clean, self.corrupt = (model.vocabulary.pack(state) for state in states)
        with torch.no_grad():
            self.logits, self.cache = self.view.run_with_cache(self.clean)
            self.corrupt_logits, self.corrupt_cache = self.view.run_with_cache(self.corrupt)

    def metric(self, logits: Tensor) -> Tensor:
        return logits[0, self.rhs, self.answer]

    def by_hand(self, model: RecurrentTransformer, step: int, name: str, index: tuple[Any, ...]) -> Tensor:
        """The metric after setting ``activation[index]`` to its clean value, with a plain PyTorch hook on the
        point.
        """
        clean = self.cache[name]

        def set_value(module: Any, inputs: Any, output: Tensor) -> Tensor:
            output = output.clone()
            output[index] = clean[index]
            return output

        handle = model.hook_dict[f"steps.{step}.{name}"].register_forward_hook(set_value)
        try:
            with torch.no_grad():
                return self.metric(model.transition(model.vocabulary.unpack(self.corrupt), step))
        finally:
            handle.remove()


def indices(n_pos: int, kind: str) -> list[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """(result index, activation index) of every cell of a sweep over 2 layers and 2 heads."""
    every = slice(None)
    layers, heads, positions = range(2), range(2), range(n_pos)
    if kind == "layer_pos":
        return [((l, p), (every, p)) for l in layers for p in positions]
    if kind == "head_vector":
        return [((l, p, h), (every, p, h)) for l in layers for p in positions for h in heads]
    if kind == "head_all_pos":
        return [((l, h), (every, every, h)) for l in layers for h in heads]
    if kind == "pattern_all":
        return [((l, h), (every, h)) for l in layers for h in heads]
    if kind == "pattern_by_dest":
        return [((l, h, p), (every, h, p)) for l in layers for h in heads for p in positions]
    return [
        ((l, h, d, s), (every, h, d, s)) for l in layers for h in heads for d in positions for s in positions
    ]


SWEEPS = {
    "get_act_patch_resid_pre": ("resid_pre", "layer_pos"),
    "get_act_patch_resid_mid": ("resid_mid", "layer_pos"),
    "get_act_patch_attn_out": ("attn_out", "layer_pos"),
    "get_act_patch_mlp_out": ("mlp_out", "layer_pos"),
    "get_act_patch_attn_head_out_by_pos": ("z", "head_vector"),
    "get_act_patch_attn_head_q_by_pos": ("q", "head_vector"),
    "get_act_patch_attn_head_k_by_pos": ("k", "head_vector"),
    "get_act_patch_attn_head_v_by_pos": ("v", "head_vector"),
    "get_act_patch_attn_head_out_all_pos": ("z", "head_all_pos"),
    "get_act_patch_attn_head_q_all_pos": ("q", "head_all_pos"),
    "get_act_patch_attn_head_k_all_pos": ("k", "head_all_pos"),
    "get_act_patch_attn_head_v_all_pos": ("v", "head_all_pos"),
    "get_act_patch_attn_head_pattern_all_pos": ("pattern", "pattern_all"),
    "get_act_patch_attn_head_pattern_by_pos": ("pattern", "pattern_by_dest"),
    "get_act_patch_attn_head_pattern_dest_src_pos": ("pattern", "pattern_cell"),
}


@pytest.mark.parametrize("function", SWEEPS)
def test_patching_sweep(model: RecurrentTransformer, step: int, function: str) -> None:
    pair = Pair(model, step)
    activation, kind = SWEEPS[function]
    with torch.no_grad():
        result = getattr(patching, function)(pair.view, pair.corrupt, pair.cache, pair.metric)
    cells = indices(pair.clean.shape[1], kind)
    if kind == "pattern_cell":
        cells = cells[::37]
    for where, index in cells:
        name = get_act_name(activation, where[0])
        assert result[where] == pytest.approx(float(pair.by_hand(model, step, name, index)), abs=1e-5), where
    spread = result.max() - result.min()
    assert spread > 1e-4, "no cell has an effect, so agreement would show nothing"
    assert not model.is_watched()


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (
            "get_act_patch_attn_head_all_pos_every",
            ["out_all_pos", "q_all_pos", "k_all_pos", "v_all_pos", "pattern_all_pos"],
        ),
        (
            "get_act_patch_attn_head_by_pos_every",
            ["out_by_pos", "q_by_pos", "k_by_pos", "v_by_pos", "pattern_by_pos"],
        ),
        ("get_act_patch_block_every", ["resid_pre", "attn_out", "mlp_out"]),
    ],
)
def test_patching_every(model: RecurrentTransformer, step: int, function: str, parts: list[str]) -> None:
    pair = Pair(model, step)
    with torch.no_grad():
        result = getattr(patching, function)(pair.view, pair.corrupt, pair.cache, pair.metric)
        for row, part in zip(result, parts, strict=True):
            name = f"get_act_patch_{part}" if "block" in function else f"get_act_patch_attn_head_{part}"
            single = getattr(patching, name)(pair.view, pair.corrupt, pair.cache, pair.metric)
            if part == "pattern_by_pos":
                single = single.transpose(1, 2)
            assert torch.allclose(row, single, atol=1e-6)


def test_direct_path_patching(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    with torch.no_grad():
        result = patching.get_act_patch_direct_path(
            pair.view,
            pair.corrupt,
            pair.cache,
            pair.corrupt_cache,
            pair.metric,
            src_layer=0,
            src_head=1,
            component="v",
        )
    delta = (pair.cache["z", 0] - pair.corrupt_cache["z", 0])[:, :, 1] @ model.W_O[0, 1]
    model.set_use_split_qkv_input(True)
    try:
        for head in range(2):

            def add(x: Tensor, hook: Any, head: int = head) -> Tensor:
                x = x.clone()
                x[:, :, head] += delta
                return x

            with torch.no_grad():
                logits = model.at_step(step).run_with_hooks(
                    pair.corrupt, fwd_hooks=[("blocks.1.attn.hook_v_input", add)]
                )
            assert result[1, head] == pytest.approx(float(pair.metric(logits)), abs=1e-5)
    finally:
        model.set_use_split_qkv_input(False)


def test_residual_decompositions_add_up(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    cache = pair.cache
    assert isinstance(cache, ActivationCache)
    final = cache["resid_post", 1]
    bias = model.accumulated_bias(2)
    assert torch.allclose(cache.decompose_resid().sum(0), final, atol=1e-5)
    assert torch.allclose(cache.accumulated_resid()[-1], final, atol=1e-6)
    full, labels = cache.get_full_resid_decomposition(expand_neurons=True, return_labels=True)
    assert len(labels) == 4 + 2 * 24 + 2
    assert torch.allclose(full.sum(0), final, atol=1e-5)
    heads = cache.stack_head_results()
    mlps = cache["mlp_out", 0] + cache["mlp_out", 1]
    attention_bias = bias - model.accumulated_bias(2) + sum(block.attn.b_O for block in model.layers)
    assert torch.allclose(heads.sum(0) + mlps + cache["hook_embed"] + attention_bias, final, atol=1e-5)
    neurons = cache.stack_neuron_results(layer=2)
    assert torch.allclose(
        neurons[: model.cfg.d_mlp].sum(0) + model.layers[0].mlp.b_out, cache["mlp_out", 0], atol=1e-5
    )


def test_logit_attributions_add_up_to_the_logit(model: RecurrentTransformer, step: int) -> None:
    """Folded weights make direct logit attribution exact: components plus bias give the logit itself."""
    pair = Pair(model, step)
    stack = pair.cache.decompose_resid()
    attributions = pair.cache.logit_attrs(stack, tokens=pair.answer, has_batch_dim=True)
    total = attributions[:, 0, pair.rhs].sum() + model.b_U[pair.answer]
    assert float(total) == pytest.approx(float(pair.metric(pair.logits)), abs=1e-4)
    by_name = pair.cache.logit_attrs(stack, tokens="12", incorrect_tokens="3")
    other = pair.cache.logit_attrs(stack, tokens="3")
    assert torch.allclose(by_name, attributions - other, atol=1e-5)
    dla = direct_logit_attribution(
        pair.view, cache=pair.cache, answer_tokens="12", unit="component", pos=pair.rhs
    )
    assert torch.allclose(dla.attribution[:, 0], attributions[:, 0, pair.rhs], atol=1e-5)


def test_logit_lens_ends_in_the_logits(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    lens = logit_lens(pair.view, pair.clean, positions=pair.rhs, incl_mid=True)
    by_hand = model.unembed(model.ln_final(pair.cache["resid_mid", 1]))[0, pair.rhs]
    final, middle = lens.values[-1].flatten(), lens.values[lens.labels.index("1_mid")].flatten()
    assert torch.allclose(final, pair.logits[0, pair.rhs], atol=1e-4)
    assert torch.allclose(middle, by_hand, atol=1e-4)
    assert not torch.allclose(middle, final, atol=1e-2)
    by_name = logit_lens(pair.view, cache=pair.cache, positions=pair.rhs, targets=["12"])
    assert by_name.rank_trajectory("12").shape[0] == len(by_name.labels)


def test_detect_head_and_svd(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    scores = detect_head(pair.view, pair.clean, "previous_token_head")
    pattern = torch.stack([pair.cache["pattern", layer][0] for layer in range(2)])
    by_hand = pattern.diagonal(offset=-1, dim1=-2, dim2=-1).sum(-1) / pattern.sum((-1, -2))
    assert scores.shape == (2, 2)
    assert torch.argsort(scores.flatten()).tolist() == torch.argsort(by_hand.flatten()).tolist()
    vectors = SVDInterpreter(pair.view).get_singular_vectors("OV", layer_index=1, num_vectors=3, head_index=0)
    right = torch.linalg.svd(model.W_V[1, 0] @ model.W_O[1, 0]).Vh[:3]
    assert torch.allclose(vectors[:, 0].abs(), (right @ model.W_U).T.abs(), atol=1e-4)


def test_attribution_patching_and_faithfulness(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    nodes = attribution_patch(pair.view, pair.clean, pair.corrupt, pair.metric)
    edges = attribution_patch(
        pair.view, pair.clean, pair.corrupt, pair.metric, config=EdgeAttributionConfig(granularity="edge")
    )
    assert nodes.node_scores and edges.edge_scores
    name = get_act_name("z", 1)
    gradient: dict[str, Tensor] = {}
    with pair.view.hooks(bwd_hooks=[(name, lambda g, hook: gradient.__setitem__("z", g.clone()))]):
        pair.metric(pair.view(pair.corrupt)).backward()
    by_hand = ((pair.cache[name] - pair.corrupt_cache[name]) * gradient["z"]).sum(-1)[0]
    scored = {
        (n.head, n.position): s
        for n, s in nodes.node_scores.items()
        if n.kind == "attn_head_out" and n.layer == 1
    }
    assert len(scored) == 2 * pair.clean.shape[1]
    for (head, position), score in scored.items():
        assert abs(float(score)) == pytest.approx(abs(float(by_hand[position, head])), abs=1e-4)
    result = faithfulness(
        pair.view,
        pair.clean,
        pair.corrupt,
        pair.metric,
        circuit=list(edges.edge_scores),
        config=FaithfulnessConfig(),
    )
    assert not model.is_watched()
    assert result.recovered == pytest.approx(1.0, abs=1e-3), "keeping every edge recovers the whole gap"
    model.zero_grad()


def test_das_and_sparse_probe(model: RecurrentTransformer, step: int) -> None:
    pair = Pair(model, step)
    names = "blocks.1.hook_resid_pre"
    graphs = [ComputationGraph.sample(6, n_leaves=3, seed=seed) for seed in range(12)]
    states = [model.run(graph, n_steps=N_STEPS).states[step] for graph in graphs]
    n_pos = min(state.shape[1] for state in states)
    tokens = torch.cat([model.vocabulary.pack(state[:, :n_pos]) for state in states])
    view = pair.view

    def task(batch: Tensor) -> Tensor:
        return view(batch)[:, 2, model.vocabulary.slice("value")]

    labels = torch.arange(6) % 2
    positions = torch.full((6,), 2)
    das = fit_das(
        view,
        names,
        tokens[:6],
        tokens[6:],
        labels,
        task,
        rank=1,
        epochs=2,
        base_positions=positions,
        source_positions=positions,
    )
    assert das.hook_name == names and das.basis.shape == (model.cfg.d_model, 1)
    assert float(das.basis.norm()) == pytest.approx(1.0, abs=1e-4)
    _, cache = view.run_with_cache(tokens)
    features = cache[names].detach()[:, :8].flatten(0, 1)
    is_variable = (model.vocabulary.unpack(tokens)[:, :8, 0] == 0).flatten()
    probe = fit_sparse_probe(features, is_variable, k=4, seed=0)
    assert len(probe.selected_features) == 4
    assert not model.is_watched()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_tokens_and_symbols(model: RecurrentTransformer) -> None:
    tokens = model.to_tokens(CLEAN)
    assert tokens.shape == (1, model.to_encoded(CLEAN).factors.shape[1])
    assert torch.equal(model.to_tokens(tokens), tokens)
    assert model.to_str_tokens("3 = x_5; x_5 = x_6") == ["3", "=", "x_5", "[sep]", "x_5", "=", "x_6"]
    assert model.to_string(model.to_tokens("3 = x_5")) == ["3 = x_5"]
    token = model.to_single_token("x_7")
    assert torch.equal(model.tokens_to_residual_directions("x_7"), model.W_U[:, token])
    assert torch.equal(
        model.tokens_to_residual_directions(torch.tensor([[token]])), model.W_U[:, token][None, None]
    )
    assert model.to_string([token, model.to_single_token("value:N/A")]) == "x_7 N/A"
    assert int(tokens.min()) >= model.cfg.d_vocab
    for bad, message in (("N/A", "say which"), ("x_500", "is no symbol"), ("value:x_7", "is no symbol of")):
        with pytest.raises(ValueError, match=message):
            model.to_single_token(bad)
    with pytest.raises(ValueError, match="no direction"):
        model.tokens_to_residual_directions(tokens)
    with pytest.raises(ValueError, match="pack a state"):
        model.to_tokens(model.to_encoded(CLEAN).factors)
    with pytest.raises(ValueError, match="no BOS"):
        model.to_tokens(CLEAN, prepend_bos=True)


def test_blocks_and_circuits(model: RecurrentTransformer) -> None:
    assert torch.allclose(model.OV[1, 0].AB, model.W_V[1, 0] @ model.W_O[1, 0])
    assert torch.allclose(model.QK[0, 1].AB, model.W_Q[0, 1] @ model.W_K[0, 1].T)
    assert [layer for layer, _ in model.blocks_with("attn")] == [0, 1]
    assert set(model.at_step(0).tl_parameters()) == set(model.tl_parameters())
    with pytest.raises(ValueError, match="no MLP input"):
        model.accumulated_bias(2, mlp_input=True)
