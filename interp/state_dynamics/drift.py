"""What becomes of an answer when the run goes on: after 1, 2, 4, ... times the steps that a graph needs.

Altabaa et al. 2025 (arXiv 2510.14095) hold a discrete state against drift: errors of a continuous state add up from
step to step, a state that is snapped is put back exactly. Beyond the steps that a graph needs (depth + 1, as the
synchronous algorithm does) nothing has to change, so what changes is drift. Every graph is read at its own multiples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.state_dynamics.dynamics import Dynamics
from interp.statistics.resampling import interval_over_graphs
from models.one_line import one_line

Floats = NDArray[np.float64]

MULTIPLES: Final = (1, 2, 4, 8)
COLUMNS: Final = ("accuracy", "computed", "solved", "lost", "changed", "distance")


@one_line
@dataclass(frozen=True, eq=False)
class Drift:
    """The state of every graph after multiples of the steps it needs; shares and means are over its nodes.

    Attributes:
        multiples: int [multiple]; the first is what the others are compared with.
        steps: int [multiple, graph]; how many steps that are.
        accuracy: float [multiple, graph]; share of nodes that show their true value.
        computed: float [multiple, graph]; the same without the leaves; nan for a graph of leaves alone.
        solved: float [multiple, graph]; 1 where all do.
        lost: float [multiple, graph]; of the nodes that were right at the first multiple the share that is wrong; nan
            for a graph without such a node.
        changed: float [multiple, graph]; share of nodes that show another symbol than at the first multiple.
        distance: float [multiple, graph]; mean of ||h - h_first|| / ||h_first||.
    """

    multiples: tuple[int, ...]
    steps: NDArray[np.int64]
    accuracy: Floats
    computed: Floats
    solved: Floats
    lost: Floats
    changed: Floats
    distance: Floats

    def to_frame(self) -> pd.DataFrame:
        """One row per multiple and graph."""
        multiple, graph = (axis.ravel() for axis in np.indices(self.steps.shape))
        columns = {name: getattr(self, name).ravel() for name in ("steps", *COLUMNS)}
        return pd.DataFrame({"multiple": np.array(self.multiples)[multiple], "graph": graph, **columns})

    def summary(self) -> pd.DataFrame:
        """One row per multiple: means over graphs, and 95 % intervals ``_low``, ``_high`` by resampling graphs.

        Graphs that are nan are left out.
        """
        rows: list[dict[str, float]] = []
        for index, multiple in enumerate(self.multiples):
            row: dict[str, float] = {"multiple": multiple}
            for name in COLUMNS:
                numbers: Floats = getattr(self, name)[index]
                known = ~np.isnan(numbers)
                terms = np.stack([np.where(known, numbers, 0), known], axis=-1)
                row[name] = float(_mean(terms.sum(0)))
                row[f"{name}_low"], row[f"{name}_high"] = interval_over_graphs(terms, _mean)
            rows.append(row)
        return pd.DataFrame(rows)


def drift_of(run: Dynamics, multiples: Sequence[int] = MULTIPLES) -> Drift:
    """The drift in a run that is long enough.

    Raises:
        ValueError: multiples that do not increase from 1 or more, or that need more steps than were run.
    """
    if not multiples or multiples[0] < 1 or sorted(set(multiples)) != list(multiples):
        raise ValueError(f"multiples are {list(multiples)}; allowed are increasing whole numbers from 1 on")
    steps = np.array(multiples)[:, None] * run.needed
    if int(steps.max()) > run.n_steps:
        raise ValueError(
            f"{multiples[-1]} times the steps that the deepest graph needs are {int(steps.max())}, and the run has "
            f"{run.n_steps}; allowed here are multiples up to {run.n_steps // int(run.needed.max())}"
        )
    graph = np.arange(len(run.graphs))
    exists = run.exists
    right, shown = run.right[steps, graph], run.shown[steps, graph]
    hidden = run.hidden[steps, graph].astype(np.float64)
    size = np.linalg.norm(hidden[0], axis=-1)
    apart = np.linalg.norm(hidden - hidden[0], axis=-1) / np.where(size > 0, size, 1)
    return Drift(
        multiples=tuple(multiples),
        steps=steps,
        accuracy=_over_nodes(right, exists),
        computed=_over_nodes(right, run.depths > 0),
        solved=np.all(right | ~exists, axis=-1, keepdims=True)[..., 0].astype(np.float64),
        lost=_over_nodes(~right, right[0]),
        changed=_over_nodes(shown != shown[0], exists),
        distance=_over_nodes(apart, exists),
    )


def _over_nodes(values: NDArray[np.float64] | NDArray[np.bool_], nodes: NDArray[np.bool_]) -> Floats:
    """Mean over the nodes that are meant, [multiple, graph]; nan where there is none."""
    totals = np.where(nodes, values, 0).sum(-1, dtype=np.float64)
    return _mean(np.stack([totals, np.broadcast_to(nodes.sum(-1), totals.shape)], axis=-1))


def _mean(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return sums[..., 0] / sums[..., 1]
