"""Probes fitted to a dataset, one for every step and site, with their controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interp.data.datasets import ActivationDataset
from interp.engine.replay import Progress
from interp.probing.cells import fit_cell
from interp.probing.controls import ARMS, majority_accuracy
from interp.probing.estimators import ESTIMATORS, Estimator, estimator_of
from interp.probing.fits import graph_folds, in_parallel
from interp.probing.grid import ProbeGrid
from interp.probing.rows import ProbeError, Steps, check_folds, chosen_sites, probe_task
from interp.probing.scoring import common_labels


def fit_probe_grid(
    data: ActivationDataset,
    target: str = "value",
    untrained: ActivationDataset | None = None,
    sites: Sequence[str] | str | None = None,
    steps: Steps = "all",
    status: str | None = None,
    role: str | None = None,
    kind: str | Estimator = "logistic",
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
    controls: bool = True,
    mdl: bool = False,
    progress: Progress | None = None,
) -> ProbeGrid:
    """Fit probes to a dataset, one per step and site.

    Args:
        target, status, role, steps: as for :func:`interp.probing.rows.probe_task`.
        untrained: the same rows of an untrained model; without it that control is nan.
        sites: keys of the dataset or short names (``"resid_post"``: every layer); None: all.
        kind: ``"logistic"`` (multinomial), ``"ridge"``, or an :class:`interp.probing.estimators.Estimator` of your
            own.
        folds: cross-validation over graphs.
        jobs: processes, each with one thread, over steps and sites; the numbers do not depend on it.
        controls: False leaves out shuffled labels, untrained model and control task.
        mdl: also the online code, of every arm (logistic only).
        progress: called with (steps and sites done, all of them).

    Raises:
        ProbeError: an unknown target, site, status, role, step or kind; one class only; no rows; more folds than
            graphs; an untrained dataset with other rows or sites; ``mdl`` with another kind; no step that has enough.
    """
    estimator = estimator_of(kind)
    if mdl and not estimator.online:
        allowed = ", ".join(repr(name) for name, one in ESTIMATORS.items() if one.online)
        raise ProbeError(
            f"the online code needs probabilities, which kind {estimator.name!r} has not; allowed is {allowed}"
        )
    check_folds(data, folds)
    keys = chosen_sites(data, sites)
    _check_untrained(data, untrained, keys)
    task = probe_task(data, target, status, role, steps)
    measured = [step for step in task.steps if task.rows[step].can_be_split(folds)]
    if not measured:
        counts = ", ".join(f"{rows.n_classes}/{rows.n_graphs}" for rows in task.rows.values())
        raise ProbeError(
            f"no step can be measured: a probe needs two classes, and with {folds} folds rows of {folds} graphs; "
            f"classes/graphs by step are {counts}"
        )
    cells = [(step, key) for step in measured for key in keys]
    others = untrained if controls else None
    arguments = (
        (
            task.rows[step],
            data.activations[key][step],
            None if others is None else others.activations[key][step],
            estimator,
            folds,
            seed,
            controls,
            mdl,
            len(task.classes),
        )
        for step, key in cells
    )
    results = in_parallel(fit_cell, arguments, jobs)
    shape = (len(ARMS), len(task.steps), len(keys))
    accuracy, bits = np.full((*shape, folds), np.nan), np.full(shape, np.nan)
    unconverged = np.zeros(shape[1:], dtype=np.int64)
    probes: dict[str, NDArray[np.float64]] = {}
    for done, ((step, key), cell) in enumerate(zip(cells, results, strict=True), start=1):
        place = task.steps.index(step), keys.index(key)
        accuracy[:, *place], bits[:, *place], unconverged[place] = cell.accuracy, cell.bits, cell.unconverged
        empty = np.full((len(task.steps), *cell.probes.shape), np.nan)
        probes.setdefault(key, empty)[place[0]] = cell.probes
        if progress is not None:
            progress(done, len(cells))
    majority = np.full((len(task.steps), folds), np.nan)
    common = np.full(majority.shape, -1)
    for step in measured:
        rows, place = task.rows[step], task.steps.index(step)
        splits = graph_folds(rows.graphs, folds, seed)
        majority[place], common[place] = majority_accuracy(rows, splits), common_labels(rows, splits)
    n_rows = np.array([len(rows.index) for rows in task.rows.values()])
    n_classes = np.array([rows.n_classes for rows in task.rows.values()])
    return ProbeGrid(
        model=data.model,
        target=target,
        status=task.status,
        role=task.role,
        kind=estimator.name,
        seed=seed,
        steps=task.steps,
        sites=keys,
        accuracy=accuracy,
        majority=majority,
        bits=bits if mdl else None,
        uniform_bits=n_rows * np.log2(np.maximum(n_classes, 1)),
        n_rows=n_rows,
        n_graphs=np.array([rows.n_graphs for rows in task.rows.values()]),
        n_classes=n_classes,
        unconverged=unconverged,
        probes=probes,
        classes=task.classes,
        common=common,
    )


def _check_untrained(
    data: ActivationDataset, untrained: ActivationDataset | None, keys: Sequence[str]
) -> None:
    if untrained is None:
        return
    missing = [key for key in keys if key not in untrained.activations]
    if missing or len(untrained) != len(data) or untrained.n_steps != data.n_steps:
        raise ProbeError(
            f"the untrained model's data are {untrained!r}; allowed are the same sites, rows and steps as {data!r}"
        )
