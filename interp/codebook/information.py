"""Entropy, mutual information and divergence of counts, in bits, and how far to trust them.

Counts of few tokens are biased: the plug-in entropy is too low, so the plug-in mutual information of independent
variables is above 0. Two remedies stand beside every plug-in number here:

Miller-Madow    adds (codes seen - 1) / (2 n) nats to an entropy of n tokens (Miller 1955). In a mutual information
                H(X) + H(Y) - H(X, Y) the three terms leave (seen_x + seen_y - seen_xy - 1) / (2 n) nats.
shuffled        the mutual information after the second variable was permuted over the tokens: what independence would
                give with these very marginals.

Both take tokens to be independent draws. Those of one graph are not, so the bias left is larger than either says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_BIT = float(np.log(2))


def entropy(counts: Counts, corrected: bool = False) -> Floats:
    """Entropy in bits of counts [..., code] -> [...]; nan where nothing was counted.

    H = -sum p log2 p with p = counts / n; ``corrected``: + (codes seen - 1) / (2 n ln 2), Miller-Madow.
    """
    total = counts.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plug_in = np.asarray(entr(counts / total[..., None]), dtype=np.float64).sum(-1) / _BIT
        if not corrected:
            return plug_in
        return plug_in + ((counts > 0).sum(-1) - 1) / (2 * _BIT * total)


def perplexity(counts: Counts, corrected: bool = False) -> Floats:
    """2 ** :func:`entropy`: as many codes used equally often have the same entropy; [..., code] -> [...]."""
    return 2.0 ** entropy(counts, corrected)


def mutual_information(table: Counts, corrected: bool = False) -> Floats:
    """Bits that two variables share, from their joint counts [..., x, y] -> [...]: H(X) + H(Y) - H(X, Y).

    ``corrected``: every entropy by Miller-Madow; the difference may then be a little below 0.
    """
    joint = table.reshape(*table.shape[:-2], -1)
    return entropy(table.sum(-1), corrected) + entropy(table.sum(-2), corrected) - entropy(joint, corrected)


def js_divergence(counts: Counts, other: Counts) -> Floats:
    """Jensen-Shannon divergence in bits, 0 to 1, of counts [..., code] and [..., code] (Lin 1991).

    H((p + q) / 2) - (H(p) + H(q)) / 2 with p and q the shares; nan where one of them counted nothing.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (each / each.sum(-1, keepdims=True) for each in (counts, other))
    of = [np.asarray(entr(each), dtype=np.float64).sum(-1) for each in ((p + q) / 2, p, q)]
    # Rounding can leave a divergence of equals a hair below 0.
    return np.maximum(of[0] - (of[1] + of[2]) / 2, 0.0) / _BIT


def joint_counts(x: Counts, y: Counts, n_x: int, n_y: int) -> Counts:
    """How often each pair occurs: int [token], int [token] -> int [x, y]."""
    return np.bincount(x * n_y + y, minlength=n_x * n_y).reshape(n_x, n_y)


def shuffled_information(
    x: Counts, y: Counts, n_x: int, n_y: int, n_shuffles: int = 20, seed: int = 0
) -> Floats:
    """Plug-in :func:`mutual_information` in bits of x and a permuted y, int [token] each -> [shuffle]."""
    rng = np.random.default_rng(seed)
    tables = [joint_counts(x, rng.permutation(y), n_x, n_y) for _ in range(n_shuffles)]
    return mutual_information(np.stack(tables))


def purity(table: Counts) -> Floats:
    """Share of tokens whose y is the most frequent one of their x, from joint counts [..., x, y] -> [...].

    To be read beside the share of the most frequent y of all, which a constant x has (Manning et al. 2008, 16.3).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return table.max(-1).sum(-1) / table.sum((-2, -1))


def precision_recall(table: Counts) -> tuple[Floats, Floats]:
    """Every code as a detector of every truth: joint counts [..., code, truth] -> precision and recall, same shape.

    Precision: share of the code's tokens that have the truth (nan for a code never used). Recall: share of the truth's
    tokens that have the code (nan for a truth that does not occur).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return table / table.sum(-1, keepdims=True), table / table.sum(-2, keepdims=True)
