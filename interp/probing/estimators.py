"""The classifiers that probes are made of, one record each; folds, controls, tables, commands and pages know them from
here.

To add one, add its record to :data:`ESTIMATORS`. Nothing here needs scikit-learn before a probe is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

MAX_ITER: Final = 200
STRENGTH: Final = 1.0
"""``C`` of the logistic probe on standardised features: the loss is C * sum of cross-entropies + |weights|^2 / 2."""


@dataclass(frozen=True)
class Estimator:
    """One linear classifier.

    Attributes:
        name: in commands, addresses and tables.
        label: what it is, in a few words.
        make: an unfitted classifier of scikit-learn's kind: ``fit``, ``predict`` and, once it is fitted, ``coef_``.
        online: whether its description length can be measured: the online code is that of the logistic probe.
        limit: iterations after which it is stopped, so that one that has made as many counts as not converged; None:
            it ends by itself.
        source: of a user's own, `FILE.py:FUNCTION`.
    """

    name: str
    label: str
    make: Callable[[], Any]
    online: bool = False
    limit: int | None = None
    source: str = ""


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]

    return LogisticRegression(C=STRENGTH, max_iter=MAX_ITER)


def _ridge() -> Any:
    from sklearn.linear_model import RidgeClassifier  # pyright: ignore[reportMissingTypeStubs]

    return RidgeClassifier()


ESTIMATORS: Final = {
    record.name: record
    for record in (
        Estimator("logistic", "logistic regression", _logistic, online=True, limit=MAX_ITER),
        Estimator("ridge", "ridge classifier", _ridge),
    )
}
"""By name, in the order in which they are listed; the first is the default."""


def register(record: Estimator) -> None:
    """Let an estimator of one's own be known by its name for the rest of the process.

    Raises:
        ValueError: another estimator has that name.
    """
    if ESTIMATORS.get(record.name, record) != record:
        raise ValueError(f"there is a probe {record.name!r} already; there are {', '.join(ESTIMATORS)}")
    ESTIMATORS[record.name] = record


def estimator_of(kind: str | Estimator) -> Estimator:
    """The estimator of a name; one that is given is returned as it is.

    Raises:
        ProbeError: there is none of that name.
    """
    if isinstance(kind, Estimator):
        return kind
    if kind not in ESTIMATORS:
        from interp.probing.rows import ProbeError

        raise ProbeError(f"kind is {kind!r}; allowed are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[kind]
