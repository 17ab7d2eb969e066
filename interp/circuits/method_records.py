"""The methods that score edges, one record each; commands, tables and the benchmark know them from here.

To add a method, add its record to :data:`SCORE_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interp.circuits.acdc import acdc_scores
from interp.circuits.baseline_scores import attention_scores, random_scores
from interp.circuits.exact_scores import exact_scores
from interp.circuits.gradient_scores import eap_ig_scores, eap_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interp.circuits.pair_runs import PairRuns


@dataclass(frozen=True)
class ScoreMethod:
    """One method.

    Attributes:
        name: in commands and tables.
        label: what a score is, in a few words.
        scores: (runs, tied, seed) -> float [step, edge]: the larger by magnitude, the more an edge matters; positive
            where it serves the answer. With ``tied`` all steps have the same score.
        estimates: whether a score is one of m with the edge minus m without.
    """

    name: str
    label: str
    scores: Callable[[PairRuns, bool, int], NDArray[np.float64]]
    estimates: bool = True


SCORE_METHODS: Final = {
    method.name: method
    for method in (
        ScoreMethod(
            "exact", "m with the edge minus m without", lambda runs, tied, seed: exact_scores(runs, tied)
        ),
        ScoreMethod("EAP", "difference times gradient", lambda runs, tied, seed: eap_scores(runs, tied)),
        ScoreMethod(
            "EAP-IG",
            "difference times mean gradient on the way",
            lambda runs, tied, seed: eap_ig_scores(runs, tied),
        ),
        ScoreMethod(
            "ACDC",
            "how far m moved when the edge was tried",
            lambda runs, tied, seed: acdc_scores(runs, tied),
            estimates=False,
        ),
        ScoreMethod(
            "attention",
            "how sharply its heads attend",
            lambda runs, tied, seed: attention_scores(runs, tied),
            estimates=False,
        ),
        ScoreMethod("random", "drawn at random", random_scores, estimates=False),
    )
}
"""By name, in the order in which they are listed; the first is the default."""


def score_method(name: str) -> ScoreMethod:
    """The method of a name. Raises ValueError where there is none."""
    if name not in SCORE_METHODS:
        raise ValueError(f"method is {name!r}; allowed are {', '.join(SCORE_METHODS)}")
    return SCORE_METHODS[name]
