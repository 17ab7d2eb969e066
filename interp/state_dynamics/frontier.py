"""The frontier of a run: how many of a graph's levels are solved, step by step, and how fast it moves.

Level l is the nodes of depth l. The frontier after step t is the largest L for which all nodes of depth < L show their
true value in the state that step t writes. The synchronous algorithm moves one level per step: L(t) = t + 1, from the
leaves at step 0 to all ``depth + 1`` levels after step ``depth``, and no model that reads one level from the state
before can be faster.

A level without nodes (where some of a graph's nodes are left out) cannot be seen. It is taken to keep the algorithm's
pace: it counts as solved one step after the level below it (level 0: after step 0), or together with the next level
above that has nodes, where that is sooner. So a correct run moves one level per step whichever nodes are looked at, and
a run that is early or late shows it at the next level that has nodes.

Speed: the least-squares slope of L(t) on t, pooled over graphs, over the steps that the graph needs: t = 0..depth, or
until L is complete where that is sooner. A run that stalls on the way is slower than 1 by how long it stalls; steps
after those that are needed do not count. Its interval comes from resampling graphs (`interp.statistics.resampling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.state_dynamics.violations import check_right
from interp.statistics.resampling import interval_over_graphs
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Speed:
    """Levels per step: the slope, its 95 % interval (nan for fewer than two graphs), and the line's value at step 0."""

    slope: float
    low: float
    high: float
    intercept: float
    n_graphs: int

    def __str__(self) -> str:
        """As ``1.000 [0.998, 1.002]``."""
        return f"{self.slope:.3f}" + ("" if np.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]")


@one_line
@dataclass(frozen=True, eq=False)
class Frontier:
    """Levels solved by step.

    Attributes:
        levels: int [step, graph]; how many levels, from the leaves on, are solved after the step.
        depth: int [graph]; the graph's depth, so that it has depth + 1 levels; -1 where no node is looked at.
    """

    levels: NDArray[np.int64]
    depth: NDArray[np.int64]

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(self.levels)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Bool [step, graph]; all levels are solved (never, where there is no node)."""
        return (self.levels == self.depth + 1) & (self.depth >= 0)

    @property
    def completed_at(self) -> NDArray[np.int64]:
        """Int [graph]; the first step after which the whole graph is solved, -1 where none is."""
        return np.where(self.complete.any(0), self.complete.argmax(0), -1)

    @property
    def needed(self) -> NDArray[np.bool_]:
        """Bool [step, graph]; the steps that the speed is measured over."""
        until = np.where(self.completed_at < 0, self.depth, np.minimum(self.completed_at, self.depth))
        return np.arange(self.n_steps)[:, None] <= until

    def speed(self, depth: int | None = None) -> Speed:
        """The slope over all graphs, or those of one depth; nan where no graph needs two steps."""
        chosen = self.depth >= 0 if depth is None else self.depth == depth
        used = self.needed[:, chosen]
        t = np.broadcast_to(np.arange(self.n_steps)[:, None], used.shape)
        levels = self.levels[:, chosen]
        terms: list[Floats] = [
            np.where(used, term, 0).sum(0).astype(np.float64)
            for term in (np.ones_like(t), t, levels, t * t, t * levels)
        ]
        sums = np.stack(terms, axis=-1)
        low, high = interval_over_graphs(sums, _slope) if chosen.any() else (float("nan"),) * 2
        total = sums.sum(0)
        slope = float(_slope(total))
        intercept = float((total[2] - slope * total[1]) / total[0]) if total[0] else float("nan")
        return Speed(slope, low, high, intercept, int(chosen.sum()))

    def by_depth(self) -> pd.DataFrame:
        """One row per graph depth: ``depth``, ``n_graphs``, ``speed``, ``low``, ``high``, ``complete`` (a share)."""
        rows: list[dict[str, Any]] = []
        for depth in sorted({int(d) for d in self.depth if d >= 0}):
            speed = self.speed(depth)
            rows.append(
                {
                    "depth": depth,
                    "n_graphs": speed.n_graphs,
                    "speed": speed.slope,
                    "low": speed.low,
                    "high": speed.high,
                    "complete": float(self.complete[-1, self.depth == depth].mean()),
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """One row per graph and step: ``graph``, ``depth``, ``step``, ``levels``, ``needed``."""
        step, graph = (axis.ravel() for axis in np.indices(self.levels.shape))
        return pd.DataFrame(
            {
                "graph": graph,
                "depth": self.depth[graph],
                "step": step,
                "levels": self.levels.ravel(),
                "needed": self.needed.ravel(),
            }
        )

    def figure(self) -> go.Figure:
        """:func:`interp.state_dynamics.dynamics_figure.frontier_figure`."""
        from interp.state_dynamics.dynamics_figure import frontier_figure

        return frontier_figure({"": self})


def frontier_of(right: NDArray[np.bool_], depths: NDArray[Any]) -> Frontier:
    """The frontier of runs.

    Args:
        right: bool [state, batch, node]; whether a node shows its true value; state 0 enters step 0.
        depths: int [batch, node]; -1 where there is no such node.

    Raises:
        ValueError: shapes that do not fit.

    Examples:
        >>> import numpy as np
        >>> from interp import frontier_of
        >>> right = np.array([[[False, False]], [[True, False]], [[True, True]]])  # [state, batch, node]
        >>> frontier_of(right, np.array([[0, 1]])).levels.tolist()  # solved levels after each step
        [[1], [2]]
    """
    check_right(right, depths)
    depth = depths.max(-1)
    every = np.arange(int(depth.max(initial=-1)) + 1)[:, None]
    exists = np.array([(depths == level).any(-1) for level in every], dtype=bool)
    solved = np.array([(right[1:] | (depths != level)).all(-1) for level in every], dtype=bool)
    for level in range(len(every) - 2, -1, -1):
        solved[level] = np.where(exists[level], solved[level], solved[level + 1])
    levels = np.zeros((len(right) - 1, len(depth)), dtype=np.int64)
    before = np.zeros(len(depth), dtype=np.int64)
    for step in range(len(levels)):
        reached = (solved[:, step] | (~exists & (every <= before))) & (every <= depth)
        levels[step] = before = reached.cumprod(0).sum(0)
    return Frontier(levels, depth)


def _slope(sums: Floats) -> Floats:
    """Least squares from sums [..., (1, t, y, tt, ty)]."""
    n, t, y, tt, ty = np.moveaxis(sums, -1, 0)
    spread = n * tt - t * t
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (n * ty - t * y) / spread, np.nan)
