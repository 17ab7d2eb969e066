"""What probes fitted on sampled graphs read in graphs of one's own: `python -m analyses.probe_reading --help`.

`analyses.probing` says how far such probes can be trusted; this says what they read, node by node. `--out` receives
`probe_reading.csv` (a line a reading), `.parquet`, `.json`, `.html`, `.png`, the readings of further graphs as
`probe_reading_NAME.html`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import GraphSource, InputError, bad_input, load_model
from analyses.own_probe import probe_name
from analyses.studies import records
from analyses.tables import table_of_rows
from interp.statistics.counted import counted
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.probing.reading import ProbeReading
    from models.graph import ComputationGraph


@one_line
@dataclass(frozen=True)
class ProbeReadingStudy:
    """What was read in the graphs by probes of `model` (its name), which were fitted on `n_training` graphs."""

    model: str
    reading: ProbeReading
    n_training: int

    def to_frame(self) -> pd.DataFrame:
        """`ProbeReading.to_frame`."""
        return self.reading.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was asked, and every reading."""
        reading = self.reading
        return {
            "model": self.model,
            "target": reading.target,
            "status": reading.status,
            "kind": reading.kind,
            "sites": list(reading.sites),
            "graphs": [graph.equations for graph in reading.graphs],
            "n_training": self.n_training,
            "readings": records(self.to_frame()),
        }

    def table(self) -> Table:
        """A rich table, a row per site and step."""
        reading = self.reading
        rows = (
            {"site": site, "step": step, "fitted": int(rows)}
            | {name: int(getattr(reading, name)[step, place].sum()) for name in ("asked", "right")}
            for place, site in enumerate(reading.sites)
            for step, rows in enumerate(reading.n_training)
        )
        header = "site | step | fitted on rows | nodes read | right"
        cells = "{site} | {step} | {fitted} | {asked} | {right}"
        title = f"{self.model}: {reading.target} as probes read it"
        return table_of_rows(title, header, cells, rows, "site")

    def verdict(self) -> str:
        """One sentence: the site at which most is read right."""
        import numpy as np

        reading, shares = self.reading, self.reading.accuracy()
        if np.isnan(shares).all():
            return f"No node is read: none is {reading.status}, or no graph the probes were fitted on has such a row."
        best = int(np.nanargmax(shares))
        right, asked = int(reading.right[:, best].sum()), int(reading.asked[:, best].sum())
        return (
            f"{reading.kind.capitalize()} probes, fitted on {counted(self.n_training, 'other graph')}, read the target "
            f"{reading.target} right in {right} of {counted(asked, 'reading')} at {reading.sites[best]}, the best of "
            f"{counted(len(reading.sites), 'site')}."
        )

    def figure(self) -> go.Figure:
        """The readings in the first graph."""
        return self.reading.figure()

    def figures(self) -> dict[str, go.Figure]:
        """`reading`, and `reading_1`, ... of further graphs."""
        names = ["reading", *(f"reading_{index}" for index in range(1, len(self.reading.graphs)))]
        return {name: self.reading.figure(index) for index, name in enumerate(names)}


def study_reading(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    target: str = "value",
    sites: Sequence[str] | None = None,
    status: str = "computing",
    kind: str = "logistic",
    n_training: int = 64,
    n_nodes: int = 16,
    seed: int = 1000,
) -> ProbeReadingStudy:
    """Fit probes of the model of a name or path on sampled graphs, and read `graphs` with them.

    n_training, n_nodes, seed: how many graphs, of how many nodes, of seeds seed, seed + 1, ...; their operations are
    those of `graphs`, or the model's first. Other arguments as for `analyses.probing.study_probes`.

    Raises:
        InputError: no graphs, or a model, graph, target, site, status or kind that cannot be used.
    """
    from interp.probing.probes import SITES
    from interp.probing.reading import read_with_probes

    if not graphs or n_training < 1:
        raise InputError(
            f"There are {len(graphs)} graphs to read and {n_training} to fit on: give at least one each."
        )
    kind = probe_name(kind)
    loaded = load_model(model)
    used = {name for graph in graphs for name in graph.ops}
    ops = tuple(name for name in loaded.vocabulary.ops if name in used) or loaded.vocabulary.ops[:1]
    training = GraphSource(n_nodes=n_nodes, seed=seed, ops=ops).many(loaded, n_training)
    with bad_input():
        reading = read_with_probes(
            loaded, graphs, training=training, target=target, sites=sites or SITES, status=status, kind=kind
        )
    return ProbeReadingStudy(model, reading, n_training)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("probe-reading")
