"""Probes by step and site: what can be read out of an activation, and what the controls say of that.

One probe for every step and site, cross-validated over graphs, so that no graph is in training and test. With it come,
always, the same fit to shuffled labels, to an untrained model's activations and to a control task, and the majority
class (:mod:`interp.probing.controls`). A high accuracy says that the label can be read there, linearly; not that the
model reads it. Of a step that has fewer graphs with such rows than folds, or one class only, nothing is measured (nan).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp.data.collecting import collect
from interp.data.datasets import ActivationDataset
from interp.engine.replay import Progress
from interp.engine.sites import Site
from interp.probing.cells import fit_cell
from interp.probing.controls import ARMS, majority_accuracy
from interp.probing.estimators import ESTIMATORS, Estimator, estimator_of
from interp.probing.fits import graph_folds, in_parallel
from interp.probing.grid import ProbeGrid as ProbeGrid
from interp.probing.rows import ProbeError, Steps, check_folds, chosen_sites, probe_task
from interp.probing.scoring import common_labels
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

SITES = ("blocks.0.hook_resid_pre", "resid_mid", "resid_post")
"""Every state of the residual stream once: ``resid_pre`` of a later layer is ``resid_post`` of the one before."""


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
    """Fit probes to a dataset, one a step and site.

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


def fit_probes(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    sites: Sequence[str | Site] = SITES,
    target: str = "value",
    positions: str = "rhs",
    n_steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> ProbeGrid:
    """:func:`fit_probe_grid` on what ``model`` and an untrained model of its shape hold on the same states.

    Args:
        sites, positions, n_steps: as for :func:`interp.collect`.
        seed: of the untrained model too.
        options: as for :func:`fit_probe_grid`.

    Raises:
        ProbeError: as :func:`fit_probe_grid`. SiteError, ValueError: as :func:`interp.collect`.
    """
    data, untrained = collect_with_untrained(model, graphs, sites, positions, n_steps, seed)
    return fit_probe_grid(data, target, untrained, seed=seed, **options)


def collect_with_untrained(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    sites: Sequence[str | Site] = SITES,
    positions: Any = "rhs",
    n_steps: int | None = None,
    seed: int = 0,
) -> tuple[ActivationDataset, ActivationDataset]:
    """Activations of ``model``, and of an untrained model of the same shape (initialised with ``seed``).

    Both enter every step with the same discrete state, that of ``model``'s run. A continuous model has no such state:
    the untrained one then runs by itself, as many steps.

    Raises:
        SiteError, ValueError: as :func:`interp.collect`.
    """
    data = collect(model, graphs, sites, positions, n_steps)
    control = model.untrained(seed).eval()
    if model.cfg.bottleneck == "continuous":
        return data, collect(control, graphs, sites, positions, data.n_steps)
    states = model.run(list(graphs), n_steps=data.n_steps).states[: data.n_steps]
    return data, collect(control, graphs, sites, positions, data.n_steps, states)


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
