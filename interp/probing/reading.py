"""What probes read in graphs they were not fitted to: one graph of interest, node by node, step by step.

Probes are fitted on other graphs (:mod:`interp.probing.probes` says how well they do on held-out ones, beside their
controls), one per step and site, on the rows of one status or of all, and then asked about every row of the graphs at
hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.data.collecting import collect
from interp.data.datasets import ActivationDataset
from interp.data.labels import STATUSES
from interp.probing.estimators import Estimator, estimator_of
from interp.probing.fits import features_of, fit_probe
from interp.probing.probes import SITES
from interp.probing.rows import ALL, ProbeError, chosen_sites, probe_task
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


@one_line
@dataclass(frozen=True, eq=False)
class ProbeReading:
    """What was read in every row (a row per node, at its right-hand side) of ``graphs``.

    Attributes:
        target, status, kind: of the probes; status None: rows of any.
        sites: where the probes read.
        labels: a line per row, as in :class:`interp.data.datasets.ActivationDataset`.
        true: str [step, row]; the target, "" where the row has none, or another status than the probes.
        read: str [step, site, row]; what the probe says; "" where ``true`` is, or no training row of the step had one.
        n_training: int [step]; rows that a probe of the step was fitted on.
    """

    graphs: tuple[ComputationGraph, ...]
    target: str
    status: str | None
    kind: str
    sites: tuple[str, ...]
    labels: pd.DataFrame
    true: NDArray[np.str_]
    read: NDArray[np.str_]
    n_training: NDArray[np.int64]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Bool [step, site, row]: whether there is a reading."""
        return self.read != ""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Bool [step, site, row]: whether it is the truth."""
        return self.asked & (self.read == self.true[:, None])

    def accuracy(self) -> NDArray[np.float64]:
        """Float [site]: share of all readings that are right; nan where there are none."""
        asked = self.asked.sum((0, 2))
        return np.divide(self.right.sum((0, 2)), asked, out=np.full(len(asked), np.nan), where=asked > 0)

    def to_frame(self) -> pd.DataFrame:
        """A line a reading: graph, node, name, depth, step, site, true, read, right."""
        step, site, row = (axis.ravel() for axis in np.nonzero(self.asked))
        labels: Any = self.labels
        columns = {name: labels[name].to_numpy()[row].tolist() for name in ("graph", "node", "depth")}
        places: list[tuple[int, int]] = list(zip(columns["graph"], columns["node"], strict=True))
        return pd.DataFrame(
            {
                **columns,
                "name": [self.graphs[graph].nodes[node].name for graph, node in places],
                "step": step,
                "site": np.array(self.sites)[site],
                "true": self.true[step, row],
                "read": self.read[step, site, row],
                "right": self.right[step, site, row],
            }
        )

    def figure(self, graph: int = 0, width: int = 1000) -> go.Figure:
        """:func:`interp.probing.reading_figure.reading_figure` of one graph."""
        from interp.probing.reading_figure import reading_figure

        return reading_figure(self, graph, width)


def read_with_probes(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    *,
    training: Sequence[ComputationGraph],
    target: str = "value",
    sites: Sequence[str] = SITES,
    status: str | None = None,
    kind: str | Estimator = "logistic",
    n_steps: int | None = None,
) -> ProbeReading:
    """Fit probes on ``training`` at every step and site, and read ``graphs`` with them.

    What is fitted on is given by its name, so that the two lists cannot change places::

        read_with_probes(model, [graph], training=others, status="computing")

    n_steps: of both; default: as many as ``graphs`` take. Other arguments as for `interp.fit_probe_grid`.

    Raises:
        ProbeError: an unknown target, status or kind, or one that no row of the training graphs has; no graphs.
        ValueError, SiteError, VocabularyError: as `interp.collect`.
    """
    if not graphs or not training:
        raise ProbeError(
            f"there are {len(graphs)} graphs to read and {len(training)} to fit probes on; allowed is at least one each"
        )
    estimator = estimator_of(kind)
    status = None if status == ALL else status
    data = collect(model, list(graphs), sites, "rhs", n_steps)
    fitted = collect(model, list(training), sites, "rhs", data.n_steps)
    task = probe_task(fitted, target, status)
    true = np.stack([_true(data, target, status, step) for step in range(data.n_steps)])
    names = chosen_sites(fitted, None)
    read = np.full((data.n_steps, len(names), len(data)), "", dtype=object)
    for step, rows in task.rows.items():
        wanted = true[step] != ""
        if not len(rows.index) or not wanted.any():
            continue
        for place, name in enumerate(names):
            features = features_of(fitted.activations[name][step][rows.index])
            probe, _ = fit_probe(estimator, features, rows.labels)
            own = np.asarray(data.activations[name][step][wanted], dtype=np.float64)
            codes = probe.predict(np.where(features.any(0), own, 0.0))
            read[step, place, wanted] = [str(task.classes[code]) for code in codes]
    return ProbeReading(
        graphs=tuple(graphs),
        target=target,
        status=status,
        kind=estimator.name,
        sites=tuple(names),
        labels=data.labels,
        true=true,
        read=read.astype(np.str_),
        n_training=np.array([len(task.rows[step].index) for step in range(data.n_steps)]),
    )


def _true(data: ActivationDataset, target: str, status: str | None, step: int) -> NDArray[np.str_]:
    """Str [row]: the target of the rows that have it and the status, else ""."""
    frame: Any = data.frame(step)
    column = frame[target].to_numpy()
    has = column >= 0 if np.issubdtype(column.dtype, np.number) else np.ones(len(column), dtype=np.bool_)
    if status is not None:
        has &= frame["status"].to_numpy() == STATUSES.index(status)
    return np.array(
        [str(value) if known else "" for value, known in zip(column, has, strict=True)], dtype=np.str_
    )
