"""When a circuit is at work: which nodes lose their value in a step without it, beside the graph's depths.

A circuit is cut in one step alone, and every node that the pair's two runs show differently in the end is read right
after. A model that computes what the algorithm does has written a node of depth d in step d and writes it anew in every
later one, so the cut is felt from step d on, and in no step by what the circuit leaves out:

    with the circuit cut in step t    a node of depth d changes if t >= d, and only then
    with all other edges cut          nothing changes
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.circuits.cut_runs import Cut, CutRuns
from interp.circuits.pair_runs import PairRuns
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class Schedule:
    """Cells (node, step) of all pairs, one after the other.

    Attributes:
        depths: int [node]. without, only: bool [node, step]; whether the node shows another value right after the step,
            with the circuit cut in it, and with everything else cut.
    """

    depths: NDArray[np.int64]
    without: NDArray[np.bool_]
    only: NDArray[np.bool_]

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Bool [node, step]: from the node's depth on."""
        steps = np.arange(len(self.without[0]))
        return np.greater_equal(steps, self.depths[:, None])

    @property
    def as_predicted(self) -> float:
        """Share of cells in which the cut circuit is felt as the depths say."""
        return float((self.without == self.predicted).mean())

    @property
    def undisturbed(self) -> float:
        """Share of cells that the circuit alone leaves as they are."""
        return float(1 - self.only.mean())

    @property
    def first_is_depth(self) -> float:
        """Share of nodes at which the first step that is felt is the depth."""
        first = np.where(self.without.any(1), self.without.argmax(1), -1)
        return float((first == self.depths).mean())

    def to_frame(self) -> pd.DataFrame:
        """One row per cell: ``node`` (over all pairs), ``depth``, ``step``, ``without``, ``only``, ``predicted``."""
        node, step = (axis.ravel() for axis in np.indices(self.without.shape))
        return pd.DataFrame(
            {
                "node": node,
                "depth": self.depths[node],
                "step": step,
                "without": self.without.ravel(),
                "only": self.only.ravel(),
                "predicted": self.predicted.ravel(),
            }
        )


def schedule(runs: PairRuns, kept: Cut) -> Schedule:
    """Cut a circuit, bool [step, edge], and then everything else, in every step alone.

    Examples:
        >>> from interp import discover, pair_runs, schedule
        >>> from models import ComputationGraph, load
        >>> pair = [ComputationGraph.parse(f"{leaf} = a; 2 = b; a + b = c") for leaf in (20, 7)]
        >>> runs = pair_runs(load("compiled"), [pair])
        >>> schedule(runs, discover(runs, draws=1).kept).as_predicted
        1.0
    """
    found = [_of_pair(pair, kept) for pair in runs.pairs]
    depths, without, only = zip(*found, strict=True)
    return Schedule(np.concatenate(depths), np.concatenate(without), np.concatenate(only))


def _of_pair(pair: CutRuns, kept: Cut) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    nodes = list(pair.metric.nodes)
    rhs = pair.clean.encoded.rhs[0, nodes]
    own = pair.clean.trajectory.states[:, 0, rhs, 3].numpy(force=True)
    changed: list[NDArray[np.bool_]] = []
    for cut in (kept, ~kept):
        cells: list[NDArray[np.bool_]] = []
        for step in range(pair.n_steps):
            here = np.zeros(kept.shape, bool)
            here[step] = cut[step]
            after = pair.states(here)[step + 1, rhs, 3].numpy(force=True)
            cells.append(after != own[step + 1])
        changed.append(np.stack(cells, axis=1))
    depths = pair.clean.encoded.depths[0, nodes].numpy(force=True)
    return depths, changed[0], changed[1]
