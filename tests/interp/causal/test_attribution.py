"""Attribution patching equals patching where the metric is linear, and says what it cannot do elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from interp.causal.agreement import Agreement, table
from interp.causal.attribution import attribution_sweep
from interp.engine.interventions import SetFrom, SetValue, at, record
from interp.engine.replay import run_plainly
from interp.engine.sites import Site, SiteError, resolve
from models import ComputationGraph, RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import untrained

CLEAN = ComputationGraph.parse("3 = a; 9 = b; a + b = c; c = d")
CORRUPT = ComputationGraph.parse("3 = a; 17 = b; a + b = c; c = d")
SMALL = {"modulus": 5, "n_variables": 16}


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return untrained()


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_linear_sites_are_exact(model: RecurrentTransformer, direction: str) -> None:
    sites = Site.grid(model, CLEAN, "logits", step=[2])
    sweep = attribution_sweep(model, CLEAN, CORRUPT, sites, direction=direction, n_steps=3, estimator="none")
    assert np.abs(sweep.scores).max() > 1e-3
    assert np.allclose(sweep.scores, sweep.compare().exact, atol=1e-5)
    base = sweep.corrupt if direction == "denoise" else sweep.clean
    assert np.allclose(sweep.raw, base + sweep.scores)
    gap = sweep.clean - sweep.corrupt
    assert np.allclose(sweep.normalised, (sweep.raw - sweep.corrupt) / gap)
    whole = attribution_sweep(
        model, CLEAN, CORRUPT, [Site("logits", 2)], direction=direction, n_steps=3, estimator="none"
    )
    end = 1.0 if direction == "denoise" else 0.0
    assert whole.normalised[0] == pytest.approx(end, abs=1e-4), (
        "all logits of the other run are the other run"
    )


def test_without_norm_the_last_residual_is_exact() -> None:
    compiled = compile_model(("ADD",), **SMALL)
    pair = [ComputationGraph.parse(f"{value} = x_0; 2 = x_1; x_0 + x_1 = x_2", **SMALL) for value in (1, 3)]
    sites = Site.grid(compiled, pair[0], "resid_post", step=[1], layer=[2])
    agreement = attribution_sweep(compiled, *pair, sites, n_steps=2, estimator="none").compare()
    assert np.allclose(agreement.estimate, agreement.exact, atol=1e-4)
    assert np.abs(agreement.exact).max() > 10
    assert agreement.pearson == pytest.approx(1.0)
    assert agreement.n_zero > 0


NAMES = (
    "resid_pre",
    "resid_mid",
    "attn_out",
    "mlp_out",
    "mlp_post",
    "q",
    "k",
    "v",
    "z",
    "pattern",
    "attn_scores",
)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_slope_of_the_exact_effect(model: RecurrentTransformer, name: str) -> None:
    """A hundredth of the way from base to source changes the metric by a hundredth of the score."""
    sites = Site.grid(model, CLEAN, name, step=[1], n_steps=2)
    sweep = attribution_sweep(model, CLEAN, CORRUPT, sites, n_steps=2, estimator="none")
    slopes = []
    for site in sites:
        place = resolve(site, model, sweep.base.encoded)
        ends = [
            at(run.activation(place.hook_name, 1), place, model.vocabulary)
            for run in (sweep.base, sweep.source)
        ]
        step = torch.where(ends[0] == ends[1], 0.0, 0.01 * (ends[1] - ends[0]))
        there, back = SetValue(site, ends[0] + step), SetValue(site, ends[0] - step)
        runs = run_plainly(
            model, sweep.base, [there, back], n_steps=2, logits_at=range(sweep.base.encoded.factors.shape[1])
        )
        plus, minus = [float(sweep.metric(run.logits[None])[0]) for run in runs if run.logits is not None]
        slopes.append((plus - minus) / 0.02)
    assert np.abs(sweep.scores).max() > 1e-3
    assert np.allclose(sweep.scores, slopes, atol=2e-3 + 0.01 * np.abs(slopes).max())


def test_straight_through_is_the_models_own_gradient(model: RecurrentTransformer) -> None:
    sites = Site.grid(model, CLEAN, "embed", step=range(4))
    sweep = attribution_sweep(model, CLEAN, CORRUPT, sites, n_steps=4)
    captured: dict[int, Tensor] = {}

    def keep(activation: Tensor, hook: Any) -> None:
        captured[hook.step] = activation

    with model.hooks(fwd_hooks=[(lambda name: name.endswith("hook_embed"), keep)]):
        logits = model.forward(CORRUPT, n_steps=4, estimator="straight_through")
    gradients = torch.autograd.grad(sweep.metric(logits[-1])[0], [captured[step] for step in range(4)])
    clean = record(model, CLEAN, 4)
    by_hand = [
        (gradients[step][0] * (clean.activation("hook_embed", step) - captured[step][0])).sum(-1).detach()
        for step in range(4)
    ]
    assert np.allclose(sweep.scores, torch.cat(by_hand).numpy(), atol=1e-5)
    early = [score for site, score in zip(sites, sweep.scores, strict=True) if site.step == 0]
    assert np.abs(early).max() > 0, "the estimator reaches back to step 0"
    assert not model.is_watched()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_state_is_its_embedding(model: RecurrentTransformer) -> None:
    sites = [
        Site("state", 1, pos=4, factor=factor) for factor in ("syntax", "variable", "operation", "value")
    ]
    sites += [Site("state", 1, pos=4), Site("embed", 1, pos=4), Site("state", "all"), Site("embed", "all")]
    sites += [Site("embed", step) for step in range(3)]
    frozen = untrained().requires_grad_(False)
    for each in (model, frozen):
        scores = attribution_sweep(each, CLEAN, CORRUPT, sites, n_steps=3).scores
        assert scores[:4].sum() == pytest.approx(scores[4], abs=1e-5) == pytest.approx(scores[5], abs=1e-5)
        assert scores[6] == pytest.approx(scores[7], abs=1e-5) == pytest.approx(scores[8:].sum(), abs=1e-5)
        assert np.abs(scores).max() > 1e-3


def test_continuous_gradients_need_no_estimator() -> None:
    model = untrained(bottleneck="continuous")
    sites = Site.grid(model, CLEAN, "resid_pre", step=[0], layer=[0])
    none = attribution_sweep(
        model, CLEAN, CORRUPT, sites, metric="prob", nodes=[2], n_steps=3, estimator="none"
    ).scores
    same = attribution_sweep(model, CLEAN, CORRUPT, sites, metric="prob", nodes=[2], n_steps=3).scores
    assert np.allclose(none, same) and np.abs(none).max() > 0
    with pytest.raises(SiteError, match="hidden state"):
        attribution_sweep(model, CLEAN, CORRUPT, [Site("state", 1)], metric="prob", nodes=[2], n_steps=3)


def test_exact_patching_of_the_same_metric(model: RecurrentTransformer) -> None:
    """What scores are compared with is the change of the metric in plain runs."""
    sites = Site.grid(model, CLEAN, "z", step=[0, 2], layer=[1], pos="rhs")
    for direction in ("denoise", "noise"):
        sweep = attribution_sweep(
            model, CLEAN, CORRUPT, sites, metric="prob", direction=direction, nodes=["c", 1], n_steps=3
        )
        patches = [SetFrom(site, sweep.source) for site in sites]
        n_pos = sweep.base.encoded.factors.shape[1]
        runs = run_plainly(model, sweep.base, patches, n_steps=3, logits_at=range(n_pos))
        base = sweep.corrupt if direction == "denoise" else sweep.clean
        expected = [float(sweep.metric(run.logits[None])[0]) - base for run in runs if run.logits is not None]
        exact = sweep.exact()
        assert np.allclose(sweep.compare(exact).exact, expected, atol=1e-6)
        assert np.abs(expected).max() > 1e-5
        assert (exact.clean, exact.corrupt) == pytest.approx((sweep.clean, sweep.corrupt))
        assert exact.nodes == sweep.metric.nodes == (2, 1)
        frame = sweep.to_frame()
        assert list(frame["score"]) == list(sweep.scores)
        assert list(frame["site"]) == [str(site) for site in sites]
        with pytest.raises(ValueError, match="other sites"):
            sweep.compare(replace(exact, nodes=(2,)))


def test_agreement() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 40).astype(float), rng.integers(0, 5, 40).astype(float)
    cells = tuple(Site("embed", 0, pos=pos) for pos in range(40))
    agreement = Agreement("method", cells, a, b)
    assert agreement.pearson == pytest.approx(scipy.stats.pearsonr(a, b).statistic)
    assert agreement.spearman == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert agreement.n_zero == ((a == 0) & (b == 0)).sum()
    assert Agreement("", cells, a, 2 * a).overlap(7) == 1.0
    assert np.isnan(Agreement("", cells, a, 0 * a).pearson)
    assert list(agreement.to_frame()["pos"]) == list(range(40))
    assert list(table([agreement])["cells"]) == [40]
    with pytest.raises(ValueError, match="allowed are 1 to 40"):
        agreement.overlap(41)
    with pytest.raises(ValueError, match="one of each"):
        Agreement("", cells, a[1:], b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": "both"}, "allowed are denoise, noise"),
        ({"estimator": "gumbel"}, "allowed are straight_through, none"),
        ({"metric": "accuracy"}, "allowed are logit_diff, prob"),
        ({"sites": []}, "no sites"),
        ({"nodes": [7]}, "no node 7; there are 0 to 3, named a, b, c, d"),
        ({"nodes": ["e"]}, "no node 'e'"),
        ({"corrupt": CLEAN}, "same value at every node"),
        ({"nodes": []}, "at least one"),
        ({"estimator": "none"}, "only step 2"),
        ({"sites": [Site("embed", 3)]}, "steps 0..2"),
        ({"sites": [Site("z", 0, layer=5)]}, "layers 0..1"),
        (
            {"corrupt": ComputationGraph.parse("3 = a; 17 = b; a + b = c; a + b + c = d")},
            "17 tokens and the corrupt one 21",
        ),
    ],
)
def test_what_cannot_be_done(model: RecurrentTransformer, arguments: dict[str, Any], message: str) -> None:
    given = {"clean": CLEAN, "corrupt": CORRUPT, "sites": [Site("embed", 1)], "n_steps": 3}
    with pytest.raises(ValueError, match=message):
        attribution_sweep(model, **(given | arguments))


def test_training_mode_is_refused(model: RecurrentTransformer) -> None:
    model.train()
    try:
        with pytest.raises(ValueError, match="model.eval"):
            attribution_sweep(model, CLEAN, CORRUPT, [Site("embed", 1)], n_steps=3)
    finally:
        model.eval()
