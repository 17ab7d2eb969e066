"""A user's own probe by the name of its file and function, wherever a probe's name is given: `FILE.py:FUNCTION`.

The function takes nothing and returns an unfitted linear classifier of scikit-learn's kind:

    def discriminant():
        return LinearDiscriminantAnalysis()
"""

from __future__ import annotations

from analyses.inputs import InputError
from analyses.own_function import OWN, own_function
from interp.probing.estimators import ESTIMATORS, Estimator, register
from models.graph_errors import clip


def probe_name(text: str) -> str:
    """The name of a probe that is there; one of `FILE.py:FUNCTION` is made known first, under its function's name.

    Raises InputError for what names no probe, a file that cannot be run, or a name that is taken.
    """
    if text in ESTIMATORS:
        return text
    if ":" not in text:
        raise InputError(f"kind is {clip(repr(text))}; allowed are {', '.join(ESTIMATORS)}, or {OWN}.")
    name, function, label = own_function(text, "a probe")
    if name in ESTIMATORS and ESTIMATORS[name].source == text:
        return name
    try:
        register(Estimator(name, label, function, source=text))
    except ValueError as error:
        raise InputError(f"{clip(text)}: {error}.") from error
    return name
