"""How a probe is fitted and scored: scikit-learn's estimators, and folds that never split a graph.

Features are standardised on the training rows alone (a ``Pipeline``), and nothing is projected away: a probe sees all
dimensions. Numbers that vary by less than :data:`NOISE` of the widest dimension are rounding errors of the model
(softmax weights of 1e-26, say); standardising would blow them up to unit variance, and so they count as constant.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from joblib import Parallel, delayed  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier  # pyright: ignore[reportMissingTypeStubs]
from sklearn.exceptions import ConvergenceWarning  # pyright: ignore[reportMissingTypeStubs]
from sklearn.model_selection import GroupKFold  # pyright: ignore[reportMissingTypeStubs]
from sklearn.pipeline import Pipeline  # pyright: ignore[reportMissingTypeStubs]
from sklearn.preprocessing import StandardScaler  # pyright: ignore[reportMissingTypeStubs]
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from interp.probing.estimators import Estimator, estimator_of
from interp.probing.rows import ProbeError

NOISE: Final = 1e-6
Result = TypeVar("Result")
Split = tuple[NDArray[np.int64], NDArray[np.int64]]


def make_probe(kind: str | Estimator = "logistic") -> Pipeline:
    """An unfitted probe of a kind (:mod:`interp.probing.estimators`) behind a standardisation.

    Raises:
        ProbeError: another kind.
    """
    return Pipeline([("scale", StandardScaler()), ("probe", estimator_of(kind).make())])


def features_of(activations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Activations float [row, d] without the dimensions that are constant but for rounding errors."""
    features = np.asarray(activations, dtype=np.float64)
    spread = features.std(0) if len(features) else np.zeros(features.shape[1])
    return np.where(spread > NOISE * spread.max(initial=0), features, 0.0)


def graph_folds(graphs: NDArray[np.int64], folds: int, seed: int) -> list[Split]:
    """(training rows, test rows) of every fold; graphs are shuffled, and all rows of one are in one test fold."""
    splitter: Any = GroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(graphs)), groups=graphs))


def fit_probe(
    kind: str | Estimator, features: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[Any, bool]:
    """A fitted probe, and whether it converged; where there is one class, what always says so.

    Raises:
        ProbeError: another kind, or one that is not linear.
    """
    if len(np.unique(labels)) == 1:
        constant: Any = DummyClassifier(strategy="most_frequent")
        return constant.fit(features, labels), True
    estimator = estimator_of(kind)
    probe: Any = make_probe(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is counted instead
        warnings.filterwarnings("ignore", "The number of unique classes")
        probe.fit(features, labels)
    if not hasattr(probe[-1], "coef_"):
        raise ProbeError(
            f"the probe {estimator.name!r} has no coef_ once it is fitted; allowed are linear ones"
        )
    steps = getattr(probe[-1], "n_iter_", None)
    return probe, estimator.limit is None or steps is None or int(np.max(steps)) < estimator.limit


def held_out_accuracy(
    kind: str | Estimator,
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    splits: Sequence[Split],
) -> tuple[NDArray[np.float64], int, list[Any]]:
    """Accuracy float [fold] on the test rows, how many of the fits did not converge, and each fold's probe."""
    accuracy = np.empty(len(splits))
    unfinished, probes = 0, list[Any]()
    for fold, (train, test) in enumerate(splits):
        probe, converged = fit_probe(kind, features[train], labels[train])
        accuracy[fold] = np.mean(probe.predict(features[test]) == labels[test])
        unfinished += not converged
        probes.append(probe)
    return accuracy, unfinished, probes


def in_parallel(
    function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], jobs: int
) -> Iterator[Result]:
    """``function(*each)`` in order, as they come, in so many processes with one thread each."""
    workers: Any = Parallel(n_jobs=jobs, return_as="generator")
    results = workers(delayed(_one_thread)(function, each) for each in arguments)
    yield from results


def _one_thread(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    with threadpool_limits(1):
        return function(*arguments)
