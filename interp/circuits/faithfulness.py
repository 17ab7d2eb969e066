"""How much of what a model does a circuit does: f over sizes, and the two areas of MIB.

    f(C)  = (m(C) - m(empty)) / (m(full) - m(empty)), everything outside C cut
    CPR   = trapezoid of f over the share k of edges, edges in the order of their signed score
    CMD   = trapezoid of |1 - f| over k, edges in the order of their score's magnitude

(MIB: Mueller et al. 2025), k in :data:`SHARES`. 80 % of these areas lie at k >= 0.2, where small circuits hardly count;
so both are given over log10 k too, from the first k on at which a circuit has an edge, as a mean over that range, and
f at counts of edges, 1, 2, 3, 4, 6, 8, 12, 16, and so on.

What k counts is edges of the step, used in any step. A tied circuit uses its edges in all steps. A circuit per step
takes (step, edge) cells in the order of their scores and is as large as the number of edges it names, so that the two
are compared at equal unique edges: what the second gains is the **sharing gap**, CPR(per step) - CPR(tied).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.circuits.cut_runs import Cut
from interp.circuits.pair_runs import PairRuns
from models.one_line import one_line

SHARES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's k."""


@one_line
@dataclass(frozen=True, eq=False)
class FaithfulnessCurve:
    """f of the circuits that one ranking gives.

    Attributes:
        n_edges: edges of a step. sizes: int [size]; how many of them a circuit names, ascending.
        signed: float [size]; f, edges in the order of their signed score.
        ranked: float [size]; f, edges in the order of their score's magnitude.
    """

    n_edges: int
    sizes: NDArray[np.int64]
    signed: NDArray[np.float64]
    ranked: NDArray[np.float64]

    @property
    def cpr(self) -> float:
        """Area under f over k; at best about 1."""
        return self._area(self.signed, SHARES)

    @property
    def cmd(self) -> float:
        """Area of |1 - f| over k; at best 0."""
        return self._area(np.abs(1 - self.ranked), SHARES)

    @property
    def cpr_log(self) -> float:
        """Mean of f over log10 of the size, from one edge to all."""
        return self._mean_log(self.signed)

    @property
    def cmd_log(self) -> float:
        """Mean of |1 - f| over log10 of the size, from one edge to all."""
        return self._mean_log(np.abs(1 - self.ranked))

    def smallest(self, least: float) -> int | None:
        """The size from which on every larger circuit measured has f at least ``least``, by magnitude; None: none."""
        holds = np.flatnonzero(~(self.ranked >= least))
        first = int(holds[-1]) + 1 if len(holds) else 0
        return int(self.sizes[first]) if first < len(self.sizes) else None

    def to_frame(self) -> pd.DataFrame:
        """One row per size: ``edges``, ``share``, ``f_signed``, ``f``."""
        return pd.DataFrame(
            {
                "edges": self.sizes,
                "share": self.sizes / self.n_edges,
                "f_signed": self.signed,
                "f": self.ranked,
            }
        )

    def _area(self, values: NDArray[np.float64], shares: Sequence[float]) -> float:
        at = {int(size): float(value) for size, value in zip(self.sizes, values, strict=True)}
        return float(np.trapezoid([at[int(share * self.n_edges)] for share in shares], shares))

    def _mean_log(self, values: NDArray[np.float64]) -> float:
        some = self.sizes > 0
        at = np.log10(self.sizes[some])
        return float(np.trapezoid(values[some], at) / (at[-1] - at[0])) if len(at) > 1 else float("nan")


def sizes_of(n_edges: int) -> NDArray[np.int64]:
    """Those of MIB's k, ``int(k n)``, and 1, 2, 3, 4, 6, 8, 12, 16, ... edges."""
    counts = {int(share * n_edges) for share in SHARES}
    counts |= {factor * 2**power for factor in (2, 3) for power in range(-1, n_edges.bit_length())}
    return np.array(sorted(int(count) for count in counts if count == int(count) <= n_edges))


def circuits_of(
    order: NDArray[np.int64], sizes: Sequence[int], shape: tuple[int, int], tied: bool
) -> list[Cut]:
    """The circuits of a ranking, bool [step, edge] each.

    order: int [edge] if tied, else int [cell] into the flat [step, edge]; best first.
    """
    found: list[Cut] = []
    unique = order if tied else order % shape[1]
    # The first cell at which a circuit would name one edge too many ends it.
    _, first = np.unique(unique, return_index=True)
    starts = np.sort(first)
    for size in sizes:
        end = len(order) if size >= len(starts) else int(starts[size])
        kept = np.zeros(shape, bool)
        if tied:
            kept[:, order[:end]] = True
        else:
            kept.ravel()[order[:end]] = True
        found.append(kept)
    return found


def order_of(scores: NDArray[np.float64], tied: bool, signed: bool) -> NDArray[np.int64]:
    """Best first: edges of the scores' first step if ``tied``, else cells; ties in the order of a step."""
    flat: Any = scores[0] if tied else scores.ravel()
    return np.argsort(-(flat if signed else np.abs(flat)), kind="stable")


def faithfulness_curve(runs: PairRuns, scores: NDArray[np.float64], tied: bool) -> FaithfulnessCurve:
    """f over the sizes of :func:`sizes_of`, on ``runs``; scores: float [step, edge].

    Examples:
        >>> from interp import faithfulness_curve, pair_runs, score_method
        >>> from models import ComputationGraph, load
        >>> pair = [ComputationGraph.parse(f"{leaf} = a; 2 = b; a + b = c") for leaf in (20, 7)]
        >>> runs = pair_runs(load("compiled"), [pair])
        >>> curve = faithfulness_curve(runs, score_method("exact").scores(runs, True, 0), tied=True)
        >>> curve.smallest(0.95)
        8
    """
    sizes = sizes_of(runs.shape[1])
    counts = [int(size) for size in sizes]
    kept: list[Cut] = []
    for signed in (True, False):
        kept += circuits_of(order_of(scores, tied, signed), counts, runs.shape, tied)
    found = runs.faithfulness(kept)
    return FaithfulnessCurve(runs.shape[1], sizes, found[: len(sizes)], found[len(sizes) :])


def random_curve(runs: PairRuns, draws: int, seed: int) -> FaithfulnessCurve:
    """The mean over tied circuits of edges drawn at random, the control: CMD and CPR of its mean |1 - f| and f.

    ``ranked`` is ``1 - mean |1 - f|``, so that :attr:`FaithfulnessCurve.cmd` is the mean CMD of the draws.
    """
    sizes = sizes_of(runs.shape[1])
    rng = np.random.default_rng(seed)
    kept: list[Cut] = []
    for _ in range(draws):
        kept += circuits_of(rng.permutation(runs.shape[1]), [int(size) for size in sizes], runs.shape, True)
    found = runs.faithfulness(kept).reshape(draws, len(sizes))
    return FaithfulnessCurve(runs.shape[1], sizes, found.mean(0), 1 - np.abs(1 - found).mean(0))


def weighted_size(kept: Cut) -> float:
    """Sum over edges of |N_u in C| / |N_u| (MIB), N_u being the steps of a writer's edge: a tied circuit counts every
    edge once, one per step the share of steps in which it is used.
    """
    return float(kept.mean(0).sum()) if kept.ndim == 2 else float(kept.sum())
