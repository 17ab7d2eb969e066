"""Factor subspaces: planted heads move exactly their factors, random weights none, and plain computations agree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.utilities.matrix import composition_scores

from interp.data.labels import STATUSES
from interp.mechanism.block_change import BlockChange, block_changes
from interp.mechanism.composition import Composition, head_composition
from interp.mechanism.head_circuits import head_circuits
from interp.mechanism.subspaces import EVERYTHING, SOURCES, SPANS, TARGETS, Subspaces, factor_subspaces
from interp.statistics.chance import AgainstChance, random_basis
from models.compiled import CompiledTransformer, compile_model
from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

OPS = ("ADD", "SUB")
FACTOR_OF = {"syntax": "syntax", "name": "variable", "operation": "operation", "value": "value"}
"""Slot of the compiled model -> the factor whose embeddings lie there."""


def graphs_of(n: int = 3) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(10, ops=OPS, n_leaves=4, modulus=5, n_variables=16, seed=seed)
        for seed in range(n)
    ]


def untrained_model(**settings: Any) -> RecurrentTransformer:
    """With LayerNorm weights that are not 1, so that folding them shows."""
    sizes: dict[str, Any] = {"n_heads": 4, "n_layers": 2, "d_model": 48, "d_head": 8} | settings
    model = RecurrentTransformer(RecurrentConfig(modulus=5, n_variables=16, ops=OPS, **sizes)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for norm in (*(cast(Any, block.ln1) for block in model.layers), cast(Any, model.ln_final)):
            norm.w.copy_(torch.rand(norm.w.shape, generator=generator) + 0.5)
    return model


@pytest.fixture(scope="module")
def compiled() -> CompiledTransformer:
    return compile_model(OPS, modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def spans(compiled: CompiledTransformer) -> Subspaces:
    return factor_subspaces(compiled, draws=3, share=1.0)


@pytest.fixture(scope="module")
def composed(compiled: CompiledTransformer) -> Composition:
    return head_composition(compiled, draws=3)


def test_every_planted_head_reads_its_factors_and_no_other(
    compiled: CompiledTransformer, spans: Subspaces
) -> None:
    for planted in compiled.circuit.heads:
        read = {FACTOR_OF[slot] for slot in planted.reads}
        for factor in FACTORS:
            norm = spans.ov.cell(factor, EVERYTHING).value[planted.layer, planted.head]
            assert norm == pytest.approx(1.0 if factor in read else 0.0, abs=1e-12), (planted, factor)
            gain = spans.ov.cell(factor, EVERYTHING, "gain").value[planted.layer, planted.head]
            whole = factor != "syntax"  # of syntax only the '=' is moved
            size = 1.0 if whole else np.sqrt(1 / spans.ranks["syntax"])
            assert gain == pytest.approx(size if factor in read else 0.0, abs=1e-12), (planted, factor)


def test_planted_heads_write_to_slots_which_are_no_factor_and_no_readout(spans: Subspaces) -> None:
    for target in (name for name in TARGETS if name != EVERYTHING):
        assert spans.ov.cell(EVERYTHING, target).value.max() == pytest.approx(0.0, abs=1e-12), target


def test_planted_lookups_look_for_names_and_are_asked_by_slots(
    compiled: CompiledTransformer, spans: Subspaces
) -> None:
    for planted in compiled.circuit.heads:
        at = planted.layer, planted.head
        keys = {factor for factor in FACTORS if spans.qk.cell(EVERYTHING, factor).value[at] > 1e-9}
        assert keys == ({"variable"} if planted.kind == "lookup" else set()), planted
        assert all(spans.qk.cell(factor, EVERYTHING).value[at] < 1e-9 for factor in FACTORS)


def test_equal_directions_are_all_taken(compiled: CompiledTransformer, spans: Subspaces) -> None:
    halves = factor_subspaces(compiled, draws=2, share=0.5)
    assert {name: halves.ranks[name] for name in ("syntax", "variable", "value")} == {
        name: spans.ranks[name] for name in ("syntax", "variable", "value")
    }
    assert (
        spans.ranks["variable"] == compiled.circuit.slots["name"].stop - compiled.circuit.slots["name"].start
    )


def test_composition_recovers_who_asks_whom(compiled: CompiledTransformer, composed: Composition) -> None:
    circuit = compiled.circuit
    idle = {(head.layer, head.head) for head in circuit.heads if head.kind == "idle"}
    writes = {(h.layer, h.head): set(h.writes) for h in circuit.heads}
    for a in (head for head in circuit.heads if head.layer < 2):
        for b in (head for head in circuit.heads if head.layer > a.layer):
            found = [float(composed.between(a.layer, b.layer, mode).value[a.head, b.head]) for mode in "QKV"]
            if {(a.layer, a.head), (b.layer, b.head)} & idle:
                assert np.isnan(found).all()
                continue
            asked = f"name:{b.role.partition(':')[2]}" in writes[a.layer, a.head]
            assert (found[0] > 0.1) == asked and (found[0] == 0) != asked, (a, b)
            # Keys read is_rhs, which head 0.0 writes, but are asked for it by a bias, which is not in W_Q W_K^T.
            assert found[1] == 0
            assert found[2] == 0  # values are read where the embedding put them


def test_random_weights_are_at_chance() -> None:
    model = untrained_model(seed=1)
    found = factor_subspaces(model, draws=40)
    others = ~np.eye(len(SPANS), dtype=bool)
    for measured in (found.ov.norm, found.ov.gain, found.qk.norm, found.qk.gain, found.overlap.at(others)):
        z = measured.z[np.isfinite(measured.z)]
        assert z.size and np.abs(z).max() < 5.5
        assert 0.7 < z.std() < 1.4
    scores = head_composition(model, draws=40).scores
    assert np.nanmax(np.abs(scores.z)) < 5.5
    np.testing.assert_allclose(scores.ratio[~np.isnan(scores.value)], 1.0, atol=0.25)


@pytest.mark.parametrize("fold_norm", [True, False])
def test_amplification_is_the_formula_with_plain_projectors(fold_norm: bool) -> None:
    model = untrained_model()
    found = factor_subspaces(model, draws=2, share=1.0, fold_norm=fold_norm)
    attn, vocabulary = model.layers[1].attn, model.vocabulary
    centre = np.eye(48) - 1 / 48
    norm = np.diag(cast(Any, model.layers[1].ln1).w.detach().double().numpy())
    W_V, W_O, W_Q, W_K = (w[2].detach().double().numpy() for w in (attn.W_V, attn.W_O, attn.W_Q, attn.W_K))
    if fold_norm:
        W_V, W_Q, W_K = (centre @ norm @ w for w in (W_V, W_Q, W_K))
    W_E = model.W_E.detach().double().numpy()
    P = {}
    for factor in FACTORS:
        E = W_E[vocabulary.slice(factor)]
        P[factor] = np.linalg.pinv(E, rcond=1e-6) @ E
    P[EVERYTHING] = np.eye(48)
    for source, target in (("value", "value"), ("syntax", "variable"), ("operation", EVERYTHING)):
        rank, other = round(np.trace(P[source])), round(np.trace(P[target]))
        moved, scored = P[source] @ W_V @ W_O @ P[target], P[source] @ W_Q @ W_K.T @ P[target]
        for part, product, size in ((found.ov, moved, rank), (found.qk, scored, rank * other)):
            assert part.cell(source, target).value[1, 2] == pytest.approx(np.linalg.norm(product, 2))
            gain = np.linalg.norm(product) / np.sqrt(size)
            assert part.cell(source, target, "gain").value[1, 2] == pytest.approx(gain)


def test_gain_is_the_root_mean_square_over_unit_vectors() -> None:
    model = untrained_model()
    found = factor_subspaces(model, draws=2)
    basis, circuits = found.bases["variable"], head_circuits(model)
    units = np.random.default_rng(0).standard_normal((20_000, basis.shape[1]))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    moved = units @ basis.T @ (circuits.W_V[0, 1] @ circuits.W_O[0, 1]).numpy()
    gain = found.ov.cell("variable", EVERYTHING, "gain").value[0, 1]
    assert np.sqrt((moved**2).sum(1).mean()) == pytest.approx(gain, rel=0.02)


def test_the_folded_norm_is_that_of_transformer_lens() -> None:
    model = untrained_model()
    folded, ours = model.process_weights(), head_circuits(model)
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        torch.testing.assert_close(getattr(ours, name).float(), getattr(folded, name), msg=name)
    torch.testing.assert_close(head_circuits(model, fold_norm=False).W_V.float(), model.W_V)


def test_a_subspace_holds_the_share_and_no_more_directions_than_it_needs() -> None:
    model = untrained_model()
    found = factor_subspaces(model, draws=2, share=0.8)
    E = model.W_E.detach().double().numpy()[model.vocabulary.slice("variable")]
    basis = found.bases["variable"]
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    assert ((E @ basis) ** 2).sum() / (E**2).sum() >= 0.8
    assert ((E @ basis[:, :-1]) ** 2).sum() / (E**2).sum() < 0.8
    centred = factor_subspaces(model, draws=2, share=1.0, centred=True)
    assert centred.ranks["variable"] == len(E) - 1
    operations = model.W_E.detach().double().numpy()[model.vocabulary.slice("operation")]
    apart, projector = (
        operations - operations.mean(0),
        centred.bases["operation"] @ centred.bases["operation"].T,
    )
    np.testing.assert_allclose(apart @ projector, apart, atol=1e-9)


def test_angles_and_overlap_agree_with_qr_and_svd() -> None:
    model = untrained_model()
    found = factor_subspaces(model, draws=60, share=1.0)
    E = model.W_E.detach().double().numpy()
    one, other = (E[model.vocabulary.slice(factor)].T for factor in ("syntax", "value"))
    cosines = np.linalg.svd(np.linalg.qr(one)[0].T @ np.linalg.qr(other)[0], compute_uv=False)
    np.testing.assert_allclose(found.angles("syntax", "value"), np.arccos(cosines), atol=1e-9)
    i, j = SPANS.index("syntax"), SPANS.index("value")
    assert found.overlap.value[i, j] == found.overlap.value[j, i] == pytest.approx((cosines**2).mean())
    ranks = found.ranks["syntax"], found.ranks["value"]
    assert found.overlap.mean[i, j] == pytest.approx(max(ranks) / 48, rel=0.1)  # r s / d, over the smaller
    np.testing.assert_allclose(np.diagonal(found.overlap.value), 1.0)


def test_composition_is_a_plain_product_and_what_transformer_lens_says() -> None:
    model = untrained_model(n_layers=3)
    found = head_composition(model, draws=60, fold_norm=False)
    view = model.at_step(0)
    OV, QK = model.OV.AB.detach(), model.QK.AB.detach()
    a, b = (0, 3), (2, 1)
    right = {"Q": QK[b], "K": QK[b].T, "V": OV[b]}
    # TransformerLens's own method wants a few helpers for grouped keys, which this architecture does not need.
    stand_in = SimpleNamespace(
        blocks_with=view.blocks_with,
        cfg=view.cfg,
        _reject_encoder_decoder_composition=lambda: None,
        **{name: lambda weight: weight for name in ("_reshape_qkv", "_reshape_o", "_expand_kv_heads")},
    )
    for mode, matrix in right.items():
        score = found.between(0, 2, mode)
        plain = (OV[a] @ matrix).norm() / OV[a].norm() / matrix.norm()
        assert score.value[3, 1] == pytest.approx(float(plain), rel=1e-4)
        theirs = TransformerBridge.all_composition_scores(cast(Any, stand_in), mode).scores.detach()
        np.testing.assert_allclose(np.nan_to_num(found.scores.value["QKV".index(mode)]), theirs, rtol=1e-4)
        factored = composition_scores(view.OV, {"Q": view.QK, "K": view.QK.T, "V": view.OV}[mode]).detach()
        np.testing.assert_allclose(score.value, factored[0, :, 2], rtol=1e-4)
        assert np.sqrt((score.draws**2).mean()) == pytest.approx(1 / np.sqrt(48), rel=0.05)


def test_random_rotations_are_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([random_basis(3, 3, rng) for _ in range(4000)])
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose((drawn**2).mean(0), 1 / 3, atol=0.03)


def test_chance_is_mean_and_spread_of_the_draws() -> None:
    found = AgainstChance(np.array([5.0, 1.0, 0.0]), np.array([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0]]))
    np.testing.assert_allclose(found.z, [3 / np.sqrt(2), np.nan, np.nan])
    np.testing.assert_allclose(found.ratio, [2.5, 0.5, np.nan])


def test_the_change_of_a_block_by_hand_on_one_token() -> None:
    model, graph = untrained_model(), graphs_of(1)[0]
    found = block_changes(model, [graph], n_steps=2)
    encoded = model.to_encoded(graph)
    state = model.run(graph, n_steps=1).states[-1]
    node = 6
    with torch.no_grad():
        _, cache = model.at_step(1).run_with_cache(model.vocabulary.pack(state))
    at = int(encoded.rhs[0, node])
    for layer in range(2):
        pre, mid, post = (
            cast(Any, cache)[f"blocks.{layer}.hook_resid_{part}"][0, at].numpy()
            for part in ("pre", "mid", "post")
        )
        expected = (
            np.linalg.norm(mid - pre) / np.linalg.norm(pre),
            np.linalg.norm(post - mid) / np.linalg.norm(mid),
        )
        np.testing.assert_allclose(found.ratio[1, node, layer], expected, rtol=1e-4)
    status = int(np.sign(1 - graph.depths_by_node[node]) + 1)
    assert found.status[1, node] == status
    assert found.ratio.shape == (2, len(graph), 2, 2)


@pytest.fixture(scope="module")
def changes(compiled: CompiledTransformer) -> BlockChange:
    return block_changes(compiled, graphs_of(6))


def test_an_idle_mlp_changes_nothing_and_the_last_one_writes_at_every_step(
    changes: BlockChange,
) -> None:
    assert (changes.ratio[:, :, 0, 1] == 0).all()  # layer 0's MLP is idle
    for status in STATUSES:
        assert changes.of(status)[:, 2, 1].min() > 0.05, status


def test_batches_and_frames_keep_every_node(compiled: CompiledTransformer, changes: BlockChange) -> None:
    graphs = graphs_of(6)
    alone = block_changes(compiled, [graphs[5]], changes.n_steps)
    np.testing.assert_allclose(changes.ratio[:, -len(graphs[5]) :], alone.ratio, atol=1e-5)
    frame = changes.to_frame()
    whole = frame[(frame["step"] == "all") & (frame["layer"] == 0) & (frame["component"] == "attn")]
    assert whole["nodes"].sum() == changes.status.size
    line = frame[(frame["step"] == 1) & (frame["status"] == "computing") & (frame["layer"] == 2)].iloc[1]
    assert line["mean"] == pytest.approx(float(changes.of("computing", 1)[:, 2, 1].mean()))


def test_frames_and_figures_show_all_cells(
    spans: Subspaces, composed: Composition, changes: BlockChange
) -> None:
    frame = spans.to_frame()
    assert len(frame) == 18 * len(SOURCES) * (len(TARGETS) + len(SOURCES))
    line = frame[
        (frame["circuit"] == "OV") & (frame["layer"] == 1) & (frame["head"] == 0)
        & (frame["source"] == "value") & (frame["target"] == EVERYTHING)
    ].iloc[0]  # fmt: skip
    assert line["norm"] == pytest.approx(1.0)
    read = spans.figure().data[0]
    assert np.shape(read.z) == (len(FACTORS), 18)
    assert read.z[FACTORS.index("value")][6] > 0 > read.z[FACTORS.index("syntax")][6]
    assert np.shape(spans.overlap_figure().data[0].z) == (len(SPANS), len(SPANS))
    assert len(spans.overlap_frame()) == len(SPANS) * (len(SPANS) - 1) // 2
    asked = composed.figure().data[0]
    assert np.shape(asked.z) == (12, 12)
    pairs = composed.to_frame()
    best = pairs[(pairs["mode"] == "Q") & (pairs["score"] > 0)]
    assert set(zip(best["earlier_head"], best["layer"], best["head"], strict=True)) == {
        (5, 1, 0), (3, 1, 1), (1, 2, 0)
    }  # fmt: skip
    assert len(changes.figure().data) == 3 * 3 * 2


def test_bad_input_is_refused(compiled: CompiledTransformer, spans: Subspaces, composed: Composition) -> None:
    with pytest.raises(ValueError, match="draws is 1; allowed: 2 or more"):
        factor_subspaces(compiled, draws=1)
    with pytest.raises(ValueError, match="draws is 0"):
        head_composition(compiled, draws=0)
    with pytest.raises(ValueError, match="share is 1.5; allowed: above 0"):
        factor_subspaces(compiled, share=1.5)
    with pytest.raises(ValueError, match="source is 'name'; allowed are syntax"):
        spans.ov.cell("name", EVERYTHING)
    with pytest.raises(ValueError, match="there is no subspace 'name'"):
        spans.angles("name", "value")
    with pytest.raises(ValueError, match="layers 1 and 1; allowed"):
        composed.between(1, 1, "Q")
    with pytest.raises(ValueError, match="mode is 'O'"):
        composed.between(0, 1, "O")
    with pytest.raises(ValueError, match="there are no graphs"):
        block_changes(compiled, [])
    with pytest.raises(ValueError, match="status 'late' is unknown"):
        block_changes(compiled, graphs_of(1), 1).of("late")
