"""Intervals by resampling graphs: the nodes and steps of one graph are not independent of each other, graphs are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def interval_over_graphs(
    per_graph: Floats,
    statistic: Callable[[Floats], Floats],
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron and Tibshirani 1993, ch. 13) of a statistic of sums over graphs.

    Args:
        per_graph: float [graph, term], what every graph adds to the sums.
        statistic: sums float [..., term] -> float [...]; resamples for which it is nan are left out.

    Returns:
        Lower and upper end; nan for fewer than two graphs, and where the statistic of all of them is nan.
    """
    n = len(per_graph)
    if n < 2 or np.isnan(statistic(per_graph.sum(0))):
        return float("nan"), float("nan")
    times_drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    found = statistic(times_drawn @ per_graph)
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
