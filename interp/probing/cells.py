"""One step and site: the probe and its controls. What a worker process imports, so nothing of PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.probing.controls import ARMS, control_task_labels, shuffled_labels
from interp.probing.estimators import Estimator
from interp.probing.fits import features_of, graph_folds, held_out_accuracy
from interp.probing.mdl import online_code
from interp.probing.rows import ProbeRows
from interp.probing.scoring import as_numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """One step and site: accuracy float [arm, fold], bits float [arm], fits that did not converge.

    probes: those of the target, float [fold, class, d + 1] (:mod:`interp.probing.scoring`).
    """

    accuracy: Floats
    bits: Floats
    unconverged: int
    probes: Floats


def fit_cell(
    rows: ProbeRows,
    activations: NDArray[np.float32],
    untrained: NDArray[np.float32] | None,
    kind: str | Estimator,
    folds: int,
    seed: int,
    controls: bool,
    mdl: bool,
    n_classes: int,
) -> Cell:
    """Fit all probes; ``activations``, ``untrained``: float32 [row, d] of all rows of the dataset.

    n_classes: of the target, in any row of any step.
    """
    accuracy, bits, unconverged = np.full((len(ARMS), folds), np.nan), np.full(len(ARMS), np.nan), 0
    splits = graph_folds(rows.graphs, folds, seed)
    own = features_of(activations[rows.index])
    classes = np.unique(rows.labels)
    probes = np.zeros((folds, n_classes, own.shape[1] + 1))
    arms: list[tuple[Floats, NDArray[np.int64] | None]] = [(own, rows.labels)]
    if controls:
        other = (own, None) if untrained is None else (features_of(untrained[rows.index]), rows.labels)
        arms += [(own, shuffled_labels(rows, seed)), other, (own, control_task_labels(rows, seed))]
    for arm, (features, wanted) in enumerate(arms):
        if wanted is None:
            continue
        accuracy[arm], missed, fitted = held_out_accuracy(kind, features, wanted, splits)
        unconverged += missed
        if arm == 0:
            probes = np.stack([as_numbers(probe, n_classes, own.shape[1]) for probe in fitted])
        if mdl:
            recoded = np.searchsorted(classes, wanted)
            bits[arm] = online_code(features, recoded, rows.graphs, len(classes), seed=seed).bits
    return Cell(accuracy, bits, unconverged, probes)
