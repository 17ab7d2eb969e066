"""Probes that were fitted to one dataset, asked about another: as they are, without another fit.

Every fold's probe is a line of numbers per class: its standardisation and its coefficients together, in the units of
the activations. A probe says the class with the largest ``weights @ activation + bias``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp.data.datasets import ActivationDataset
from interp.probing.rows import ProbeError, ProbeRows, probe_task

if TYPE_CHECKING:
    from interp.probing.grid import ProbeGrid

Floats = NDArray[np.float64]


def as_numbers(probe: Any, n_classes: int, d: int) -> Floats:
    """A fitted probe (:func:`interp.probing.fits.fit_probe`) as float [class, d + 1], the bias in the last column.

    A class that its training rows did not have gets a bias of -inf, so that it is never said.
    """
    numbers = np.zeros((n_classes, d + 1))
    numbers[:, -1] = -np.inf
    if not hasattr(probe, "named_steps"):  # fitted to one class
        numbers[probe.classes_, -1] = 0.0
        return numbers
    scale, last = probe[0], probe[-1]
    weights = np.atleast_2d(last.coef_) / scale.scale_
    bias = np.atleast_1d(last.intercept_) - weights @ scale.mean_
    if len(last.classes_) == 2:  # one row: how much rather the second
        weights, bias = np.stack([0 * weights[0], weights[0]]), np.array([0.0, bias[0]])
    numbers[last.classes_, :-1], numbers[last.classes_, -1] = weights, bias
    return numbers


def said(numbers: Floats, activations: NDArray[Any]) -> NDArray[np.int64]:
    """Int [fold, row]: the class that each probe of float [fold, class, d + 1] says of activations [row, d]."""
    features = np.asarray(activations, dtype=np.float64)
    return np.stack([np.argmax(features @ own[:, :-1].T + own[:, -1], axis=-1) for own in numbers])


def common_labels(
    rows: ProbeRows, splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> list[int]:
    """Of every fold the most frequent label of its training rows."""
    return [int(np.bincount(rows.labels[train]).argmax()) for train, _ in splits]


def score_grid(grid: ProbeGrid, data: ActivationDataset) -> ProbeGrid:
    """The probes of a grid on other data; see :meth:`interp.ProbeGrid.score`."""
    if grid.probes is None or grid.classes is None or grid.common is None:
        raise ProbeError(
            "this grid was saved without its probes (by an earlier version); allowed is one that is fitted anew"
        )
    _check_places(grid, data)
    task = probe_task(data, grid.target, grid.status, grid.role, grid.steps, grid.classes)
    accuracy, majority = np.full_like(grid.accuracy, np.nan), np.full_like(grid.majority, np.nan)
    rows = list(task.rows.values())
    for step, (number, here) in enumerate(task.rows.items()):
        if not len(here.index) or grid.common[step, 0] < 0:
            continue
        majority[step] = (here.labels == grid.common[step][:, None]).mean(-1)
        for site, key in enumerate(grid.sites):
            read = said(grid.probes[key][step], data.activations[key][number][here.index])
            accuracy[0, step, site] = (read == here.labels).mean(-1)
    n_classes = np.array([here.n_classes for here in rows])
    n_rows = np.array([len(here.index) for here in rows])
    return replace(
        grid,
        model=data.model,
        accuracy=accuracy,
        majority=majority,
        bits=None,
        uniform_bits=n_rows * np.log2(np.maximum(n_classes, 1)),
        n_rows=n_rows,
        n_graphs=np.array([here.n_graphs for here in rows]),
        n_classes=n_classes,
    )


def _check_places(grid: ProbeGrid, data: ActivationDataset) -> None:
    assert grid.probes is not None
    missing = [key for key in grid.sites if key not in data.activations]
    if missing:
        raise ProbeError(
            f"the probes read {', '.join(missing)}, which the data do not have; they have {', '.join(data.sites)}"
        )
    for key in grid.sites:
        d, given = grid.probes[key].shape[-1] - 1, data.activations[key].shape[-1]
        if given != d:
            raise ProbeError(f"at {key} the probes read {d} dimensions, and the data have {given}")
    if grid.steps[-1] >= data.n_steps:
        raise ProbeError(
            f"the probes are of steps {grid.steps[0]} to {grid.steps[-1]}, and the data have {data.n_steps} steps; "
            f"collect them with n_steps={grid.steps[-1] + 1}, or fit probes of fewer steps"
        )
