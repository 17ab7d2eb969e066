"""An edge's score by what is lost without it: m with the edge, minus m without.

A model that computes everything anew in every step heals a cut in one of them, so that of single steps only the last
would count. There m is read at every step's logits and added up: damage counts as long as it lasts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interp.circuits.pair_runs import PairRuns
from interp.progress import phase


def exact_scores(runs: PairRuns, tied: bool) -> NDArray[np.float64]:
    """Float [step, edge]: what a cut in the step costs, summed over the steps in which m is read; with ``tied`` an edge
    is cut in all steps at once and m read at the end, and every step has that score.
    """
    n_steps, n_edges = runs.shape
    if tied:
        cuts = list(np.eye(n_edges, dtype=bool))
        return np.tile(runs.ends[0] - runs.measure(cuts), (n_steps, 1))
    cells = list(np.eye(n_steps * n_edges, dtype=bool).reshape(-1, n_steps, n_edges))
    with phase(0.0, 0.0):
        whole = runs.measure_by_step([np.zeros(runs.shape, bool)])
    return (whole - runs.measure_by_step(cells)).sum(0).reshape(n_steps, n_edges)
