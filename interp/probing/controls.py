"""What a probe's accuracy is held against.

``shuffled``      labels permuted over the rows of the step: what is learned from chance.
``untrained``     the same rows and labels, activations of an untrained model of the same shape that enters the same
                  states: what the input alone gives away.
``control task``  every word type (variable name) has a random label, the same wherever it stands, drawn with the label
                  distribution: what the probe can memorise. Selectivity = accuracy - accuracy on the control task
                  (Hewitt & Liang 2019, "Designing and Interpreting Probes with Control Tasks", sections 2.1 and 2.2).
``majority``      the most frequent label of the training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier  # pyright: ignore[reportMissingTypeStubs]

from interp.probing.fits import Split
from interp.probing.rows import ProbeRows

ARMS: Final = ("target", "shuffled", "untrained", "control task")
"""What a probe is fitted to, in the order of the first axis of :attr:`interp.ProbeGrid.accuracy`."""


def shuffled_labels(rows: ProbeRows, seed: int) -> NDArray[np.int64]:
    """The labels int [row], permuted."""
    return np.random.default_rng([seed, 1]).permutation(rows.labels)


def control_task_labels(rows: ProbeRows, seed: int) -> NDArray[np.int64] | None:
    """Labels int [row] of the control task; None where there is one word type only, or all got one label.

    A word type has one number u in [0, 1), the same at every step and site of a seed; its label is the u-quantile of
    the label distribution of these rows, with the labels in a random order.
    """
    rng = np.random.default_rng([seed, 2])
    drawn = rng.random(int(rows.words.max()) + 1)
    counts = np.bincount(rows.labels)
    order = rng.permutation(len(counts))
    edges = counts[order].cumsum() / counts.sum()
    labels = order[np.searchsorted(edges, drawn, side="right").clip(max=len(counts) - 1)][rows.words]
    return labels.astype(np.int64) if len(np.unique(labels)) > 1 else None


def majority_accuracy(rows: ProbeRows, splits: Sequence[Split]) -> NDArray[np.float64]:
    """Accuracy float [fold] of the most frequent training label."""
    found: list[float] = []
    for train, test in splits:
        constant: Any = DummyClassifier(strategy="most_frequent")
        constant.fit(train[:, None], rows.labels[train])
        found.append(float(constant.score(test[:, None], rows.labels[test])))
    return np.array(found)
