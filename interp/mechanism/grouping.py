"""Heads grouped by what they respond to and look at, with how stable the grouping is.

A head's features are its relative variances (:mod:`interp.mechanism.variances`) and its attention by role
(:mod:`interp.mechanism.attention_roles`), both between 0 and 1, of computing nodes. Agglomerative clustering (average
linkage, Euclidean distance); the number of groups is the one of the largest silhouette (Rousseeuw 1987). Stability:
the equations are drawn again with replacement, heads grouped anew into as many groups, and the adjusted Rand index
(Hubert and Arabie 1985) with the grouping on all equations is averaged: 1 is the same grouping every time, 0 what
chance gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics  # pyright: ignore[reportMissingTypeStubs]
from sklearn.cluster import AgglomerativeClustering  # pyright: ignore[reportMissingTypeStubs]

from interp.mechanism.attention_roles import AttentionTargets
from interp.mechanism.variances import HeadVariance
from models.one_line import one_line

Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class HeadGroups:
    """Groups of heads.

    Attributes:
        labels: int [layer, head], numbered by the first head of each group.
        silhouette: of the grouping, -1..1; nan where there is one group.
        stability: mean adjusted Rand index over ``n_resamples`` draws of the equations.
        n_resamples: how many.
    """

    labels: NDArray[np.int64]
    silhouette: float
    stability: float
    n_resamples: int

    @property
    def groups(self) -> list[list[tuple[int, int]]]:
        """(layer, head) of every group."""
        at = [cast("tuple[int, int]", tuple(index)) for index in np.ndindex(*self.labels.shape)]
        return [
            [place for place in at if self.labels[place] == group]
            for group in range(int(self.labels.max()) + 1)
        ]


def head_groups(
    variance: HeadVariance, targets: AttentionTargets, n_resamples: int = 50, seed: int = 0
) -> HeadGroups:
    """Group the heads of a model.

    Raises:
        ValueError: fewer than three heads.
    """
    attention = np.nan_to_num(targets.over_steps(targets.mass))
    shape = attention.shape[1:]
    if np.prod(shape) < 3:
        raise ValueError(f"{int(np.prod(shape))} heads cannot be grouped; allowed: three or more")
    features = _features(variance, attention, None)
    labels, silhouette = _best(features)
    rng = np.random.default_rng(seed)
    keys = cast("NDArray[np.int64]", cast(Any, variance.table)[["graph", "node"]].to_numpy())
    equations = [_lines_of(keys, equation) for equation in np.unique(keys, axis=0)]
    agreement: list[float] = []
    n_groups = int(labels.max()) + 1
    for _ in range(n_resamples if n_groups > 1 else 0):
        drawn = [
            line for i in rng.integers(len(equations), size=len(equations)) for line in equations[int(i)]
        ]
        again = _cluster(_features(variance, attention, drawn), n_groups)
        agreement.append(float(cast(Any, metrics).adjusted_rand_score(labels, again)))
    stability = float(np.mean(agreement)) if agreement else float("nan")
    return HeadGroups(_by_first(labels).reshape(shape), silhouette, stability, len(agreement))


def _lines_of(keys: NDArray[np.int64], equation: NDArray[np.int64]) -> list[int]:
    return np.flatnonzero((keys == equation).all(1)).tolist()


def _features(variance: HeadVariance, attention: Floats, lines: Sequence[int] | None) -> Floats:
    """[head, feature], heads of all layers one after the other."""
    found = [np.nan_to_num(variance.relative(vary, lines=lines)) for vary in variance.perturbations]
    return np.concatenate([np.stack(found), attention]).reshape(len(found) + len(attention), -1).T


def _best(features: Floats) -> tuple[NDArray[np.int64], float]:
    """The grouping of the largest silhouette; one group where all heads are alike."""
    best, score = np.zeros(len(features), np.int64), float("nan")
    if np.allclose(features, features[0]):
        return best, score
    for n_groups in range(2, len(features)):
        labels = _cluster(features, n_groups)
        found = float(cast(Any, metrics).silhouette_score(features, labels))
        if np.isnan(score) or found > score:
            best, score = labels, found
    return best, score


def _cluster(features: Floats, n_groups: int) -> NDArray[np.int64]:
    model = AgglomerativeClustering(n_clusters=n_groups, linkage="average")
    return cast("NDArray[np.int64]", cast(Any, model).fit_predict(features))


def _by_first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    order = {label: number for number, label in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([order[label] for label in labels.tolist()])
