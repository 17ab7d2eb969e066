"""Entropy, mutual information, divergence: against scipy and scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from interp.codebook import information

BIT = np.log(2)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_entropy_is_scipys(rng):
    counts = rng.integers(0, 9, (6, 4, 25))
    np.testing.assert_allclose(
        information.entropy(counts), scipy_entropy(counts, base=2, axis=-1), atol=1e-12
    )
    np.testing.assert_allclose(
        information.perplexity(counts), 2 ** scipy_entropy(counts, base=2, axis=-1), atol=1e-12
    )


def test_nothing_counted_has_no_entropy():
    counts = np.array([[0, 0, 0], [0, 5, 0]])
    assert np.isnan(information.entropy(counts)[0])
    assert information.entropy(counts)[1] == 0
    assert np.isnan(information.purity(counts[:1]))
    assert np.isnan(information.js_divergence(counts[:1], counts[1:]))[0]


def test_miller_madow_by_hand():
    # Three codes seen in 8 tokens: 4, 2, 2. H = 1.5 bits; the correction is (3 - 1) / (2 * 8) nats.
    counts = np.array([4, 0, 2, 2])
    assert information.entropy(counts) == pytest.approx(1.5)
    assert information.entropy(counts, corrected=True) == pytest.approx(1.5 + 0.125 / BIT)


def test_corrected_mutual_information_by_hand():
    # x and y seen twice each, three cells: (2 + 2 - 3 - 1) / (2 n) = 0. With four cells: -1 / (2 n) nats.
    three, four = np.array([[2, 1], [0, 3]]), np.array([[2, 1], [1, 3]])
    assert information.mutual_information(three, corrected=True) == pytest.approx(
        information.mutual_information(three)
    )
    difference = information.mutual_information(four) - information.mutual_information(four, corrected=True)
    assert difference == pytest.approx(1 / (2 * 7) / BIT)


def test_the_correction_brings_the_mean_nearer_to_the_truth(rng):
    draws = rng.multinomial(60, np.full(16, 1 / 16), size=400)
    plug_in, corrected = (information.entropy(draws, each).mean() for each in (False, True))
    assert abs(corrected - 4) < 0.02 < abs(plug_in - 4)


def test_mutual_information_is_scikit_learns(rng):
    x = rng.integers(0, 5, 300)
    y = (x + rng.integers(0, 2, 300)) % 7
    table = information.joint_counts(x, y, 5, 7)
    np.testing.assert_array_equal(table[:, table.any(0)], contingency_matrix(x, y))
    assert information.mutual_information(table) == pytest.approx(mutual_info_score(x, y) / BIT)


def test_shuffled_information_is_what_scikit_learn_expects_of_permutations(rng):
    x, y = rng.integers(0, 6, 200), rng.integers(0, 9, 200)
    shuffled = information.shuffled_information(x, y, 6, 9, n_shuffles=400)
    expected = expected_mutual_information(contingency_matrix(x, y), len(x)) / BIT
    assert shuffled.mean() == pytest.approx(expected, abs=3 * shuffled.std() / 20)
    np.testing.assert_array_equal(shuffled[:3], information.shuffled_information(x, y, 6, 9, n_shuffles=3))


def test_js_divergence_is_scipys(rng):
    p, q = rng.integers(0, 9, (2, 7, 12))
    np.testing.assert_allclose(
        information.js_divergence(p, q), jensenshannon(p, q, base=2, axis=-1) ** 2, atol=1e-12
    )
    assert information.js_divergence(np.array([3, 0]), np.array([0, 8])) == pytest.approx(1)
    assert information.js_divergence(p, 3 * p).max() < 1e-12


def test_purity_precision_and_recall_by_hand():
    # Code 0: 3 of truth 0 and 1 of truth 1; code 1: 4 of truth 1; code 2: never used.
    table = np.array([[3, 1], [0, 4], [0, 0]])
    assert information.purity(table) == pytest.approx(7 / 8)
    precision, recall = information.precision_recall(table)
    np.testing.assert_allclose(precision, [[0.75, 0.25], [0, 1], [np.nan, np.nan]])
    np.testing.assert_allclose(recall, [[1, 0.2], [0, 0.8], [0, 0]])
