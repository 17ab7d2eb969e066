"""Whether a probe of one step reads another: a code that stays the same over the recurrence is read by one probe.

A[i, j]: fitted at step i, tested at step j, on graphs it was not fitted to. Beside it the principal angles between the
subspaces that the probes of steps i and j read (Bjorck & Golub 1973; ``scipy.linalg.subspace_angles``): 0 where they
share a direction, 90 degrees where they share none. An angle is held against two others: of two probes of one step,
each fitted to half of the graphs (what refitting alone does), and of random subspaces of the same dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from scipy.linalg import subspace_angles  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from interp.data.datasets import ActivationDataset
from interp.probing.controls import shuffled_labels
from interp.probing.estimators import Estimator, estimator_of
from interp.probing.fits import features_of, fit_probe, graph_folds, in_parallel
from interp.probing.rows import ProbeError, ProbeRows, Steps, check_folds, chosen_sites, probe_task
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

ARMS: Final = ("target", "shuffled", "untrained")
_RANDOM_PAIRS: Final = 20
Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class ProbeTransfer:
    """Cross-step accuracy and angles of the probes of one site; nan where a step has too few graphs or one class.

    Attributes:
        accuracy: float [arm, from step, to step], mean over folds; arms: target, shuffled (labels permuted before the
            fit, right ones in the test), untrained (fitted to and tested on an untrained model's activations).
        majority: float [from step, to step]: the most frequent training label of step i, at step j.
        angles: float [from step, to step, k], radians, largest first, between the probes fitted to all graphs.
        refit: float [step, k]: between two probes of one step, each fitted to half of the graphs.
        random: float [k]: between random subspaces of the dimensions of the first two probes, mean of 20 pairs.
        weights: per step float [class, d], coefficients in the units of the activations with mean 0 over classes (a
            common shift of all classes changes no prediction); None where nothing was fitted.
        n_rows: int [step].
    """

    model: str
    target: str
    status: str | None
    role: str | None
    site: str
    kind: str
    folds: int
    steps: tuple[int, ...]
    accuracy: Floats
    majority: Floats
    angles: Floats
    refit: Floats
    random: Floats
    weights: tuple[Floats | None, ...]
    n_rows: NDArray[np.int64]

    @property
    def mean_angle(self) -> Floats:
        """Float [from step, to step], radians: mean over the principal angles; on the diagonal that of ``refit``."""
        mean = _mean(self.angles)
        np.fill_diagonal(mean, _mean(self.refit))
        return mean

    def to_frame(self) -> pd.DataFrame:
        """One row per pair of steps; angles in degrees."""
        source, target = (axis.ravel() for axis in np.indices(self.majority.shape))
        steps = np.array(self.steps)
        degrees = np.degrees(self.angles)
        smallest = degrees.min(-1, initial=np.inf, where=~np.isnan(degrees))
        return pd.DataFrame(
            {
                "target": self.target,
                "status": self.status or "all",
                "role": self.role or "all",
                "site": self.site,
                "from_step": steps[source],
                "to_step": steps[target],
                **{name: self.accuracy[arm].ravel() for arm, name in enumerate(("accuracy", *ARMS[1:]))},
                "majority": self.majority.ravel(),
                "mean_angle": _mean(degrees).ravel(),
                "smallest_angle": np.where(np.isinf(smallest), np.nan, smallest).ravel(),
                "refit_angle": np.degrees(_mean(self.refit))[source],
                "random_angle": np.degrees(self.random.mean()),
                "n_rows_from": self.n_rows[source],
                "n_rows_to": self.n_rows[target],
            }
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.probing.probes_figure.transfer_figure`."""
        from interp.probing.probes_figure import transfer_figure

        return transfer_figure(self, width)


def probe_transfer(
    data: ActivationDataset,
    site: str,
    target: str = "value",
    untrained: ActivationDataset | None = None,
    steps: Steps = "all",
    status: str | None = None,
    role: str | None = None,
    kind: str | Estimator = "logistic",
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> ProbeTransfer:
    """Fit a probe at every step and test it at every step.

    Arguments as for :func:`interp.fit_probe_grid`; site: one key of the dataset, or a short name that stands for one.
    A graph is in the same fold at every step.

    Raises:
        ProbeError: as :func:`interp.fit_probe_grid`; more than one site.
    """
    estimator = estimator_of(kind)
    check_folds(data, folds)
    keys = chosen_sites(data, site)
    if len(keys) != 1:
        raise ProbeError(f"site {site!r} stands for {', '.join(keys)}; allowed is one of them")
    task = probe_task(data, target, status, role, steps)
    rows = list(task.rows.values())
    fitted = [here.can_be_split(max(folds, 2)) for here in rows]
    if sum(fitted) < 1:
        raise ProbeError(f"no step has two classes and rows of {folds} graphs")
    graphs = np.unique(np.concatenate([here.graphs for here in rows]))
    held_out = [graphs[test] for _, test in graph_folds(graphs, folds, seed)]
    half = np.random.default_rng([seed, 4]).permutation(graphs)[: len(graphs) // 2]
    sources = [data.activations[keys[0]]] + ([] if untrained is None else [untrained.activations[keys[0]]])
    features = [
        [features_of(source[step][here.index]) for step, here in zip(task.steps, rows, strict=True)]
        for source in sources
    ]
    which = [step for step in range(len(rows)) if fitted[step]]
    arguments = ((step, features, rows, held_out, half, estimator, seed) for step in which)
    found = in_parallel(_from_step, arguments, jobs)
    n = len(rows)
    accuracy, majority = np.full((len(ARMS), n, n), np.nan), np.full((n, n), np.nan)
    weights: list[Floats | None] = [None] * n
    halves: list[list[Floats]] = [[] for _ in range(n)]
    for step, fits in zip(which, found, strict=True):
        accuracy[: len(fits.accuracy), step], majority[step] = fits.accuracy, fits.majority
        weights[step], halves[step] = fits.weights, fits.halves
    d = data.activations[keys[0]].shape[-1]
    return ProbeTransfer(
        model=data.model,
        target=target,
        status=task.status,
        role=task.role,
        site=keys[0],
        kind=estimator.name,
        folds=folds,
        steps=task.steps,
        accuracy=accuracy,
        majority=majority,
        angles=_stacked([[_angles(one, other) for other in weights] for one in weights]),
        refit=_stacked([[_angles(*pair)] if len(pair) == 2 else [np.empty(0)] for pair in halves])[:, 0],
        random=_random_angles([given for given in weights if given is not None], d, seed),
        weights=tuple(weights),
        n_rows=np.array([len(here.index) for here in rows]),
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """Of the probes of one step: accuracy float [arm, to step], majority float [to step], weights float [class, d]."""

    accuracy: Floats
    majority: Floats
    weights: Floats
    halves: list[Floats]


def _from_step(
    step: int,
    features: Sequence[Sequence[Floats]],
    rows: Sequence[ProbeRows],
    held_out: Sequence[NDArray[np.int64]],
    half: NDArray[np.int64],
    kind: Estimator,
    seed: int,
) -> _Fits:
    own = rows[step]
    labels = [own.labels, shuffled_labels(own, seed), own.labels]
    sources = [features[0], features[0], *features[1:]]
    scores = np.full((len(sources) + 1, len(rows), len(held_out)), np.nan)
    for fold, out in enumerate(held_out):
        train = ~np.isin(own.graphs, out)
        if not train.any():
            continue
        tests = [np.isin(there.graphs, out) for there in rows]
        for arm, (source, given) in enumerate(zip(sources, labels, strict=False)):
            probe, _ = fit_probe(kind, source[step][train], given[train])
            for j, test in enumerate(tests):
                if test.any():
                    scores[arm, j, fold] = np.mean(probe.predict(source[j][test]) == rows[j].labels[test])
        common = np.bincount(own.labels[train]).argmax()
        scores[-1, :, fold] = [
            np.mean(there.labels[test] == common) if test.any() else np.nan
            for there, test in zip(rows, tests, strict=True)
        ]
    here = features[0][step]
    is_half = np.isin(own.graphs, half)
    halves = [
        _weights(kind, here[part], own.labels[part])
        for part in (is_half, ~is_half)
        if len(np.unique(own.labels[part])) > 1
    ]
    weights = _weights(kind, here, own.labels)
    mean = _mean(scores)
    return _Fits(mean[:-1], mean[-1], weights, halves)


def _weights(kind: Estimator, features: Floats, labels: NDArray[np.int64]) -> Floats:
    """Coefficients float [class, d] in the units of the activations, mean 0 over classes."""
    probe: Any = fit_probe(kind, features, labels)[0]
    scaled: Floats = np.atleast_2d(probe[-1].coef_) / probe[0].scale_
    return scaled - scaled.mean(0) if len(scaled) > 1 else scaled


def _angles(one: Floats | None, other: Floats | None) -> Floats:
    """Principal angles float [k] between the row spaces, k the smaller dimension; none where a probe is missing."""
    if one is None or other is None:
        return np.empty(0)
    return np.asarray(subspace_angles(one.T, other.T), dtype=np.float64)


def _random_angles(weights: Sequence[Floats], d: int, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 5])
    ranks = [int(np.linalg.matrix_rank(given)) for given in (weights[0], weights[min(1, len(weights) - 1)])]
    pairs = [[rng.standard_normal((d, rank)) for rank in ranks] for _ in range(_RANDOM_PAIRS)]
    return np.mean([subspace_angles(*pair) for pair in pairs], axis=0)


def _stacked(rows: Sequence[Sequence[Floats]]) -> Floats:
    """Float [i, j, k], padded with nan."""
    longest = max(1, *(len(cell) for row in rows for cell in row))
    found = np.full((len(rows), len(rows[0]), longest), np.nan)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            found[i, j, : len(cell)] = cell
    return found


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is not nan; nan where nothing is."""
    count = (~np.isnan(values)).sum(-1)
    return np.where(count > 0, np.nansum(values, -1) / np.maximum(count, 1), np.nan)
