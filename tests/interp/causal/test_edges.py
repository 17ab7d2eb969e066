"""Edge attribution: exact on a linear model, complete along the way, and TransformerLens's own where that exists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.tools.analysis import attribution_patch

from interp.causal.edges import Edge, EdgeScores, edge_attribution, edges_of, exact_edges
from interp.causal.within_step import StepPair, step_pair
from models import ComputationGraph
from models.compiled import compile_model
from tests.small_models import untrained

CLEAN = ComputationGraph.parse("3 = a; 9 = b; a + b = c; c = d")
CORRUPT = ComputationGraph.parse("3 = a; 17 = b; a + b = c; c = d")


@pytest.fixture(scope="module")
def pair() -> StepPair:
    """In double precision, so that small effects are told from rounding."""
    found = step_pair(untrained(), CLEAN, CORRUPT, 1)
    assert found.metric.nodes == (1, 3)
    found.view.original_model.double()
    with torch.no_grad():
        clean, corrupt = (float(found.scalar(found.view(tokens))) for tokens in (found.clean, found.corrupt))
    return replace(found, clean_metric=clean, corrupt_metric=corrupt)


@pytest.fixture(scope="module")
def linear() -> StepPair:
    """No norm, attention that does not depend on its input, MLPs whose neurons are all on: a linear step."""
    model = untrained(normalization_type=None)
    with torch.no_grad():
        for block in model.layers:
            block.attn.W_Q.zero_()
            block.attn.W_K.zero_()
            block.mlp.b_in.fill_(1000.0)
            block.mlp.W_out.mul_(0.1)
    found = step_pair(model, CLEAN, CORRUPT, 0, metric="prob", nodes=[2, 3])
    return replace(found, metric=replace(found.metric, name="logit_diff", right=(3, 4), wrong=(5, 6)))


def test_everything_agrees_on_a_linear_step(linear: StepPair) -> None:
    eap, integrated = edge_attribution(linear), edge_attribution(linear, 3)
    for scores in (eap, integrated, eap.together(), integrated.together()):
        agreement = scores.compare(400)
        scale = np.abs(agreement.exact).max()
        assert scale > 1e-2
        assert np.allclose(agreement.estimate, agreement.exact, atol=2e-3 * scale)
    into_queries = [abs(s) for e, s in zip(eap.edges, eap.scores, strict=True) if e.reader in ("q", "k")]
    assert max(into_queries) == 0.0


@pytest.mark.parametrize(
    "edge",
    [
        Edge("embed", None, None, "v", 0, 1, 4),
        Edge("embed", None, None, "mlp", 0, None, 4),
        Edge("head", 0, 1, "q", 1, 0, 16),
        Edge("head", 0, 1, "k", 1, 1, None),
        Edge("mlp", 0, None, "logits", None, None, 16),
        Edge("head", 1, 0, "mlp", 1, None, 16),
        Edge("head", 1, 0, "logits", None, None, None),
    ],
    ids=str,
)
def test_exact_edge_by_hand(pair: StepPair, edge: Edge) -> None:
    """One plain PyTorch hook on the reader's input, against the batched function."""
    view, model = pair.view, pair.view.original_model
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    try:
        with torch.no_grad():
            clean, corrupt = (view.run_with_cache(tokens)[1] for tokens in (pair.clean, pair.corrupt))
            name = {"embed": "hook_embed", "mlp": f"blocks.{edge.writer_layer}.hook_mlp_out"}.get(
                edge.writer, f"blocks.{edge.writer_layer}.attn.hook_result"
            )
            delta = clean[name] - corrupt[name]
            delta = delta if edge.writer_head is None else delta[:, :, edge.writer_head]
            if edge.pos is not None:
                delta = delta * (torch.arange(delta.shape[1]) == edge.pos)[None, :, None]
            reader = {
                "mlp": f"blocks.{edge.reader_layer}.hook_mlp_in",
                "logits": "blocks.1.hook_resid_post",
            }.get(edge.reader, f"blocks.{edge.reader_layer}.attn.hook_{edge.reader}_input")

            def add(module: Any, inputs: Any, output: Tensor) -> Tensor:
                output = output.clone()
                target = output if edge.reader_head is None else output[:, :, edge.reader_head]
                target += delta
                return output

            handle = model.hook_dict[f"steps.1.{reader}"].register_forward_hook(add)
            try:
                by_hand = float(pair.scalar(model.transition(model.vocabulary.unpack(pair.corrupt), 1)))
            finally:
                handle.remove()
    finally:
        model.set_use_attn_result(False)
        model.set_use_split_qkv_input(False)
        model.set_use_hook_mlp_in(False)
    assert abs(by_hand - pair.corrupt_metric) > 1e-6
    assert exact_edges(pair, [edge])[0] == pytest.approx(by_hand - pair.corrupt_metric, abs=1e-12)


def test_integrated_gradients_are_complete(pair: StepPair) -> None:
    """All that differs comes in through the embedding, so its edges add up to the whole gap."""
    gap = pair.clean_metric - pair.corrupt_metric

    def from_embedding(scores: EdgeScores) -> float:
        return sum(s for e, s in zip(scores.edges, scores.scores, strict=True) if e.writer == "embed")

    assert from_embedding(edge_attribution(pair, 100)) == pytest.approx(gap, rel=0.02)
    assert from_embedding(edge_attribution(pair)) != pytest.approx(gap, rel=0.02)


def test_edges_of_a_writer_add_up_to_its_node_score(pair: StepPair) -> None:
    scores = edge_attribution(pair)
    nodes = attribution_patch(pair.view, pair.clean, pair.corrupt, pair.scalar).node_scores
    kinds = {"embed": "embed", "attn_head_out": "head", "mlp_out": "mlp"}
    for node, expected in nodes.items():
        writer = (kinds[node.kind], node.layer, node.head, node.position)
        found = sum(
            s
            for e, s in zip(scores.edges, scores.scores, strict=True)
            if (e.writer, e.writer_layer, e.writer_head, e.pos) == writer
        )
        assert found == pytest.approx(expected, abs=1e-10)


def test_positions_together(pair: StepPair) -> None:
    scores = edge_attribution(pair, 2)
    together = scores.together()
    n_pos = pair.clean.shape[1]
    assert len(together.edges) * n_pos == len(scores.edges) == len(edges_of(pair))
    assert together.scores.sum() == pytest.approx(scores.scores.sum(), abs=1e-10)
    (edge, score), *rest = together.strongest(5)
    assert abs(score) == np.abs(together.scores).max() >= abs(rest[0][1])
    assert edge.pos is None and edge in together.edges
    frame = scores.to_frame()
    assert list(frame.columns) == ["step", "writer", "reader", "pos", "score"]
    assert str(Edge("head", 0, 3, "mlp", 1, None, 12)) == "head 0.3 -> mlp 1 · pos 12"


def test_compare_leaves_out_what_cannot_matter(pair: StepPair) -> None:
    """Edges are left out where nothing that differs is written, and their exact effect is 0."""
    scores = edge_attribution(pair)
    compared = scores.compare(None, rows=200)
    left_out = sorted(set(scores.edges) - set(compared.cells), key=str)
    assert left_out and np.abs(exact_edges(pair, left_out, rows=200)).max() < 1e-12
    assert min(edge.pos for edge in compared.cells) == 4, "before the leaf that differs nothing does"
    fewer = scores.compare(30, seed=1)
    assert len(fewer.cells) == 30 and set(fewer.cells) < set(compared.cells)
    assert fewer.method == "EAP" and edge_attribution(pair, 2).method == "EAP-IG (2)"


def test_compiled_edges_are_the_planted_ones() -> None:
    sizes = {"modulus": 5, "n_variables": 16}
    graphs = [ComputationGraph.parse(f"{value} = x_0; 2 = x_1; x_0 + x_1 = x_2", **sizes) for value in (1, 3)]
    model = compile_model(("ADD",), **sizes)
    pair = step_pair(model, *graphs, step=1, nodes=[2])
    together = edge_attribution(pair).together()
    agreement = together.compare(None, rows=100)
    strong = {
        edge.names for edge, effect in zip(agreement.cells, agreement.exact, strict=True) if abs(effect) > 1
    }
    lookup = model.circuit.with_role("value:middle")
    head = f"head {lookup.layer}.{lookup.head}"
    assert strong == {
        ("embed", f"v {lookup.layer}.{lookup.head}"),
        (head, "mlp 1"),
        ("mlp 1", "mlp 2"),
        ("mlp 2", "logits"),
    }
    weak = [
        effect
        for edge, effect in zip(agreement.cells, agreement.exact, strict=True)
        if edge.names not in strong
    ]
    assert np.abs(weak).max() < 1e-4


@pytest.fixture
def flags() -> StepPair:
    model = untrained()
    model.set_use_attn_in(True)
    return step_pair(model, CLEAN, CORRUPT, 1, metric="prob", nodes=[2])


def test_the_model_is_as_it_was(flags: StepPair) -> None:
    model = flags.view.original_model
    edge_attribution(flags, 2).compare(3)
    edge_attribution(flags)
    assert model.cfg.use_attn_in and not model.cfg.use_split_qkv_input
    assert not (model.cfg.use_attn_result or model.cfg.use_hook_mlp_in or model.is_watched())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pairs_read_what_the_step_writes() -> None:
    model = compile_model(("ADD",))
    pair = step_pair(model, CLEAN, CORRUPT, 1)
    assert pair.metric.nodes == (1, 2), "the leaf and its sum; the copy is not computed yet"
    assert pair.clean_metric > 0 > pair.corrupt_metric
    assert step_pair(model, CLEAN, CORRUPT, 2).metric.nodes == (1, 2, 3)
    continuous = step_pair(untrained(bottleneck="continuous"), CLEAN, CORRUPT, 2, metric="prob", nodes=[2])
    assert np.abs(edge_attribution(continuous, 2).scores).max() > 0


def test_what_cannot_be_done(pair: StepPair) -> None:
    model = untrained()
    with pytest.raises(ValueError, match="1 \\(EAP\\)"):
        edge_attribution(pair, 0)
    with pytest.raises(ValueError, match="17 tokens and the corrupt one 21"):
        step_pair(model, CLEAN, ComputationGraph.parse("3 = a; 17 = b; a + b = c; a + b + c = d"), 0)
    with pytest.raises(ValueError, match="same value at every node"):
        step_pair(model, CLEAN, CLEAN, 0)
    with pytest.raises(ValueError, match="logit_diff is 0 whatever happens"):
        step_pair(model, CLEAN, CORRUPT, 0, nodes=[0])
    with pytest.raises(ValueError, match="0 or more"):
        step_pair(model, CLEAN, CORRUPT, -1)
    model.train()
    try:
        with pytest.raises(ValueError, match="model.eval"):
            step_pair(model, CLEAN, CORRUPT, 0)
    finally:
        model.eval()
