"""Runs with edges cut: as the plain way says, and nothing cut is the model itself."""

from __future__ import annotations

import numpy as np
import pytest

from interp.causal.pairs import make_pair, sample_pairs
from interp.circuits.cut_runs import CutRuns
from interp.circuits.exact_scores import exact_scores
from interp.circuits.pair_runs import PairRuns, pair_runs
from interp.circuits.plain_cuts import measure_plainly
from interp.circuits.replaced_writes import ABLATIONS
from models import ComputationGraph
from models.compiled import compile_model
from models.recurrent import RecurrentTransformer
from tests.small_models import numbers, untrained

GRAPH = ComputationGraph.parse("3 = a; 1 = b; a + b = c; c + a = d", modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def known() -> RecurrentTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_cuts_are_as_in_one_full_run_each(known: RecurrentTransformer, ablation: str) -> None:
    (pair,) = pair_runs(known, [make_pair(GRAPH, "leaf-value", seed=0)], ablation).pairs
    assert _largest_difference(pair) < 1e-4


def test_cuts_are_as_in_one_full_run_each_with_a_norm_and_both_directions() -> None:
    pair = make_pair(GRAPH, "leaf-value", seed=0)
    for sizes in ({}, {"attention_dir": "bidirectional"}, {"positions": "absolute"}):
        runs = pair_runs(numbers(**sizes), [pair], n_steps=2, metric="prob", nodes=[2, 3])
        assert _largest_difference(runs.pairs[0]) < 1e-4


def _largest_difference(pair: CutRuns) -> float:
    rng = np.random.default_rng(0)
    shape = pair.n_steps, len(pair.graph.edges)
    cuts = [rng.random(shape) < share for share in (0.01, 0.1, 0.5)] + [rng.random(shape[1]) < 0.05]
    return float(np.abs(pair.measure(cuts) - [measure_plainly(pair, cut) for cut in cuts]).max())


def test_nothing_cut_is_the_model_and_everything_cut_the_corrupt_run(known: RecurrentTransformer) -> None:
    runs = pair_runs(known, [make_pair(GRAPH, "leaf-value", seed=0)])
    assert runs.ends[0] == -runs.ends[1] > 0
    everything = np.ones(runs.shape, bool)
    (pair,) = runs.pairs
    assert pair.states(everything)[1:].equal(pair.corrupt.trajectory.states[1:, 0])
    assert pair.states(~everything).equal(pair.clean.trajectory.states[:, 0])
    assert runs.faithfulness([everything, ~everything]).tolist() == [1.0, 0.0]


def test_a_cut_in_one_step_heals_and_is_seen_in_that_step(known: RecurrentTransformer) -> None:
    runs = pair_runs(known, [make_pair(GRAPH, "leaf-value", seed=0, node="a")])
    edge = next(index for index, edge in enumerate(runs.graph.edges) if edge.names == ("mlp 2", "logits"))
    cut = np.zeros(runs.shape, bool)
    cut[0, edge] = True
    by_step = runs.measure_by_step([~np.ones(runs.shape, bool), cut])
    assert by_step[0, 1] < by_step[0, 0]
    # The last step is one more than the depth: a value lost in step 0 is there again.
    assert by_step[-1, 1] == by_step[-1, 0]
    assert exact_scores(runs, tied=False)[0, edge] > 0


def test_bad_input(known: RecurrentTransformer) -> None:
    pairs = sample_pairs(1, "leaf-value", 4, n_leaves=2, modulus=5, n_variables=16)
    with pytest.raises(ValueError, match="there is no pair"):
        pair_runs(known, [])
    with pytest.raises(ValueError, match="ablation is 'zero'; allowed are corrupt, mean, resample"):
        pair_runs(known, pairs, "zero")
    with pytest.raises(ValueError, match="allowed are models with bottleneck 'discrete'"):
        pair_runs(untrained(bottleneck="continuous", modulus=5, n_variables=16), pairs)
    runs: PairRuns = pair_runs(known, pairs)
    with pytest.raises(ValueError, match=r"a cut has shape \(3,\); allowed are"):
        runs.measure([np.zeros(3, bool)])
