"""Circuits: found where they were planted, judged by MIB's definitions, and not found where they were taken away."""

from __future__ import annotations

import numpy as np
import pytest

from interp.causal.pairs import make_pair
from interp.circuits import acdc
from interp.circuits.benchmark import auroc, benchmark_methods, precision
from interp.circuits.discovery import discover
from interp.circuits.faithfulness import (
    SHARES,
    FaithfulnessCurve,
    circuits_of,
    faithfulness_curve,
    sizes_of,
    weighted_size,
)
from interp.circuits.method_records import SCORE_METHODS, ScoreMethod, score_method
from interp.circuits.pair_runs import PairRuns, pair_runs
from interp.circuits.schedule import schedule
from interp.circuits.step_graph import StepGraph
from interp.circuits.weight_edges import weight_edges
from models import ComputationGraph
from models.compiled import compile_model
from models.compiled.graphs import CompiledTransformer
from models.recurrent import RecurrentTransformer
from tests.small_models import numbers

TEXT = "{} = a; 1 = b; 2 = c; a + b - c = d; d = e"
"""Every planted head serves some node: d has three operands, e has one."""


def known(spare: bool = False) -> CompiledTransformer:
    return compile_model(("ADD", "SUB"), modulus=5, n_variables=16, spare_heads=spare)


def runs_of(model: RecurrentTransformer, ablation: str) -> PairRuns:
    pair = [ComputationGraph.parse(TEXT.format(leaf), modulus=5, n_variables=16) for leaf in (3, 0)]
    return pair_runs(model, [(pair[0], pair[1])], ablation)


@pytest.fixture(scope="module")
def mean() -> PairRuns:
    return runs_of(known(), "mean")


@pytest.fixture(scope="module")
def corrupt() -> PairRuns:
    return runs_of(known(), "corrupt")


def test_the_planted_heads_have_the_edges_that_can_matter() -> None:
    for spare in (False, True):
        model = known(spare)
        truth = weight_edges(model)
        planted = [
            (head.layer, head.head)
            for head in model.circuit.heads
            if head.necessity in ("needed", "redundant")
        ]
        assert StepGraph.of(model.cfg).heads_of(truth) == planted
        assert truth.sum() == (31 if spare else 29)


@pytest.mark.parametrize("method", ["exact", "EAP", "EAP-IG"])
def test_methods_tell_the_edges_that_matter(mean: PairRuns, method: str) -> None:
    truth = weight_edges(mean.model)
    scores = np.abs(score_method(method).scores(mean, True, 0)[0])
    assert auroc(scores, truth) > 0.95
    assert np.all(scores[~truth] < 1e-5)
    if method == "exact":
        assert precision(scores, truth) == 1.0


def test_attention_and_chance_do_not(mean: PairRuns) -> None:
    truth = weight_edges(mean.model)
    drawn = [auroc(score_method("random").scores(mean, True, seed)[0], truth) for seed in range(30)]
    assert abs(np.mean(drawn) - 0.5) < 0.05
    assert precision(score_method("attention").scores(mean, True, 0)[0], truth) < 0.5


def test_acdc_decides_as_one_edge_at_a_time(corrupt: PairRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    found = acdc.acdc_scores(corrupt, tied=True)[0]
    kept = found >= acdc.THRESHOLD * (corrupt.ends[0] - corrupt.ends[1])
    assert corrupt.faithfulness([kept])[0] > 0.95
    assert kept.sum() <= 12
    graph = ComputationGraph.parse(TEXT.format(3), modulus=5, n_variables=16)
    pair = make_pair(graph, "leaf-value", seed=0)
    small = pair_runs(numbers(n_layers=1), [pair], n_steps=2, metric="prob", nodes=[3, 4])
    for tied in (True, False):
        monkeypatch.setattr(acdc, "AT_ONCE", 24)
        together = acdc.acdc_scores(small, tied)
        monkeypatch.setattr(acdc, "AT_ONCE", 1)
        assert np.allclose(acdc.acdc_scores(small, tied), together, atol=1e-4)


def test_a_circuit_is_enough_and_needed(corrupt: PairRuns) -> None:
    found = discover(corrupt, draws=2)
    assert found.reached and found.necessity == pytest.approx(1.0)
    assert found.rival is None and found.stand_ins == ()
    assert found.curves["tied"].cmd < 0.1 < 0.4 < found.curves["random"].cmd
    assert abs(found.sharing_gap) < 0.05
    assert found.weighted_size == found.unique_edges
    assert set(found.heads) <= {(0, 1), (1, 0), (1, 1), (2, 0)}
    worked = schedule(corrupt, found.kept)
    assert worked.as_predicted == worked.undisturbed == worked.first_is_depth == 1.0
    wrong = np.roll(found.kept, 1, axis=1)
    assert schedule(corrupt, wrong).as_predicted < 0.9


def test_a_circuit_for_every_pair_has_the_edges_that_any_of_them_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = known()
    first, third = (
        pair_runs(model, [(graphs[0], graphs[1])])
        for graphs in (
            [ComputationGraph.parse(text.format(leaf), modulus=5, n_variables=16) for leaf in (3, 0)]
            for text in ("{} = a; 1 = b; a + b = c", "{} = a; 1 = b; 2 = c; b + c - a = d")
        )
    )
    exact = score_method("exact").scores
    scores = 10 * np.abs(exact(first, True, 0)) + np.abs(exact(third, True, 0))
    given = ScoreMethod(
        "given", "what the first pair needs, and then the other", lambda runs, tied, seed: scores
    )
    monkeypatch.setitem(SCORE_METHODS, "given", given)
    one = discover(third, first, "given", draws=1)
    assert one.sufficiency >= 0.95 > one.least_each == third.faithfulness([one.named])[0]
    every = discover(third, first, "given", draws=1, every_pair=True, resampled=first)
    assert every.least_each >= 0.95 and every.unique_edges > one.unique_edges
    assert (one.compared, every.compared, every.jaccard) == (1, 2, 1.0)


def test_a_twin_is_a_stand_in() -> None:
    runs = runs_of(known(spare=True), "mean")
    names = [edge.names for edge in runs.graph.edges]
    one, other = (np.array([name == (f"head 0.{head}", "q 1.0") for name in names]) for head in (5, 6))
    f = runs.faithfulness([~one, ~other, ~(one | other)])
    assert f[0] == f[1] == 1.0 > f[2]


def test_areas_are_trapezoids_over_their_k() -> None:
    sizes = sizes_of(100)
    share = sizes / 100
    curve = FaithfulnessCurve(100, sizes, share, share)
    at = [int(k * 100) / 100 for k in SHARES]
    assert curve.cpr == pytest.approx(np.trapezoid(at, SHARES))
    assert curve.cmd == pytest.approx(np.trapezoid([1 - value for value in at], SHARES))
    assert FaithfulnessCurve(100, sizes, np.ones(len(sizes)), np.ones(len(sizes))).cmd_log == 0.0
    assert curve.smallest(0.95) == 96 and curve.smallest(1.1) is None


def test_circuits_per_step_are_as_large_as_the_edges_they_name() -> None:
    order = np.array([0, 5, 3, 1, 2, 4])  # cells of 2 steps x 3 edges: edges 0, 2, 0, 1, 2, 1
    sizes = [circuit.any(0).sum() for circuit in circuits_of(order, [0, 1, 2, 3], (2, 3), tied=False)]
    assert sizes == [0, 1, 2, 3]
    two = circuits_of(order, [2], (2, 3), tied=False)[0]
    assert two.tolist() == [[True, False, False], [True, False, True]]
    assert weighted_size(two) == 1.5


def test_a_curve_begins_and_ends_where_it_must(corrupt: PairRuns) -> None:
    curve = faithfulness_curve(corrupt, score_method("random").scores(corrupt, False, 0), tied=False)
    assert (curve.ranked[0], curve.ranked[-1]) == (0.0, 1.0)


def test_pairs_of_the_benchmark_put_every_edge_to_work() -> None:
    (row,) = benchmark_methods(["EAP"], ["compiled"], seeds=(1,), n_pairs=1).to_frame().to_dict("records")
    assert row["auroc"] == row["precision"] == 1


def test_bad_input(corrupt: PairRuns) -> None:
    with pytest.raises(ValueError, match=f"allowed are {', '.join(SCORE_METHODS)}"):
        discover(corrupt, method="guess")
    with pytest.raises(ValueError, match="sharing is 'all'; allowed are tied, per-step"):
        discover(corrupt, sharing="all")
    with pytest.raises(ValueError, match="least is 2"):
        discover(corrupt, least=2)
    with pytest.raises(ValueError, match="allowed are compiled, compiled-spare"):
        benchmark_methods(["EAP"], ["mine"])
    with pytest.raises(ValueError, match="allowed is a model without one"):
        weight_edges(RecurrentTransformer.from_pretrained("models/zoo/discrete-corrected"))
