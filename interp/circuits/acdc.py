"""ACDC's search (Conmy et al. 2023): edges are cut one after the other, from the logits back to the embedding.

An edge stays cut if that moves m away from the whole model's by less than a threshold, given all that was cut before.
Its score is by how much it moved m when it was tried, so that edges that stay are above the threshold and all others
below it.

The order is the paper's, and so is every decision; only the waiting is shorter: several edges are tried at once, each
on top of those before it, and the trials behind the first edge that stays are thrown away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interp.circuits.pair_runs import PairRuns

THRESHOLD = 0.01
"""Share of the difference between m with nothing and with everything cut."""
AT_ONCE = 24
"""Trials that run together."""


def acdc_scores(runs: PairRuns, tied: bool, threshold: float = THRESHOLD) -> NDArray[np.float64]:
    """Float [step, edge]: by how much m moved, mean over pairs; with ``tied`` an edge is tried in all steps at once."""
    n_steps, n_edges = runs.shape
    back = range(n_edges - 1, -1, -1)
    cells = (
        [(slice(None), edge) for edge in back]
        if tied
        else [(step, edge) for step in range(n_steps - 1, -1, -1) for edge in back]
    )
    whole = runs.measure_each([np.zeros(runs.shape, bool)])[0]
    limit = threshold * abs(runs.ends[0] - runs.ends[1])
    scores = np.zeros(runs.shape)
    cut, away, done = np.zeros(runs.shape, bool), 0.0, 0
    while done < len(cells):
        trials: list[NDArray[np.bool_]] = []
        for cell in cells[done : done + AT_ONCE]:
            trials.append((trials[-1] if trials else cut).copy())
            trials[-1][cell] = True
        moved = np.abs(runs.measure_each(trials) - whole).mean(1)
        for trial, now in zip(trials, moved, strict=True):
            scores[cells[done]] = now - away
            done += 1
            if now - away >= limit:
                break
            cut, away = trial, float(now)
    return scores
