"""A user's own probe by the name of its file and function, wherever a probe's name is given: `FILE.py:FUNCTION`.

The function takes nothing and returns an unfitted linear classifier of scikit-learn's kind:

    def discriminant():
        return LinearDiscriminantAnalysis()
"""

from __future__ import annotations

from analyses.own_function import own_name
from interp.probing.estimators import ESTIMATORS, Estimator, register
from models.graph_errors import clip


def probe_name(text: str) -> str:
    """As `analyses.own_function.own_name`, for probes."""
    return own_name(
        text,
        "a probe",
        ESTIMATORS,
        f"kind is {clip(repr(text))}; allowed are",
        lambda name, label, function: register(Estimator(name, label, function, source=text)),
    )
