"""Probes of a model's activations, by step and site, on many graphs: `python -m analyses.probing --help`.

What can be read where, beside the controls (`interp.probing.probes`); on demand whether a probe of one step reads
another (`interp.probing.transfer`), and values modulo p as angles (`interp.probing.circular`). `--out` receives
`probing.csv`, `.parquet`, `.json`, `.html`, `.png`, more tables and figures as `probing_NAME.csv` and
`probing_NAME.html`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, bad_input, load_model
from analyses.own_probe import probe_name
from analyses.studies import records
from analyses.tables import joined, table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.probing.circular import CircularProbe
    from interp.probing.grid import ProbeGrid
    from interp.probing.transfer import ProbeTransfer
    from models.graph import ComputationGraph

STATUSES = ("computing", "all")
"""Of the nodes that are probed by default: those that a step has to write, and all."""


@one_line
@dataclass(frozen=True)
class ProbingStudy:
    """Probes of `model` (its name).

    Attributes:
        grids: one per status; what could not be measured is left out.
        transfers, circular: one per status where they were asked for.
        left_out: why a status has none.
        n_graphs: how many graphs were run.
    """

    model: str
    grids: tuple[ProbeGrid, ...]
    transfers: tuple[ProbeTransfer, ...]
    circular: tuple[CircularProbe, ...]
    left_out: tuple[str, ...]
    n_graphs: int

    def to_frame(self) -> pd.DataFrame:
        """`ProbeGrid.to_frame` of every status."""
        return joined(grid.to_frame() for grid in self.grids)

    def frames(self) -> dict[str, pd.DataFrame]:
        """More tables: by site, transfer, circular (where there are)."""
        found = {"by_site": [grid.by_site().assign(status=grid.status or "all") for grid in self.grids]}
        found["transfer"] = [transfer.to_frame() for transfer in self.transfers]
        found["circular"] = [probe.to_frame() for probe in self.circular]
        return {name: joined(parts) for name, parts in found.items() if parts}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was fitted, and all tables."""
        first = self.grids[0]
        return {
            "model": self.model,
            "n_graphs": self.n_graphs,
            "target": first.target,
            "kind": first.kind,
            "folds": first.accuracy.shape[-1],
            "seed": first.seed,
            "left_out": list(self.left_out),
            "probes": records(self.to_frame()),
            **{name: records(frame) for name, frame in self.frames().items()},
        }

    def table(self) -> Table:
        """A rich table, a row per status and site: means over steps, weighted by rows; and the best step."""
        first = self.grids[0]
        title = f"{self.model}: {first.target} read by {first.kind} probes, {self.n_graphs} graphs"
        shown = ("accuracy", "majority", "shuffled", "untrained", "control_task", "selectivity")
        header = ["nodes", "site", *(name.replace("_", " ") for name in shown), "best (step)"]
        cells = ["{nodes}", "{site}", *(f"{{{name}:.3f}}" for name in shown), "{best:.3f} ({best_step})"]
        rows = (
            row | {"nodes": grid.status or "all"}
            for grid in self.grids
            for row in grid.by_site().to_dict("records")
        )
        return table_of_rows(title, " | ".join(header), " | ".join(cells), rows, "nodes | site")

    def verdict(self) -> str:
        """Of every status the site where the target is read best, and its controls."""
        parts: list[str] = []
        for grid in self.grids:
            rows = grid.by_site()
            best = rows.loc[rows["accuracy"].idxmax()]
            parts.append(
                f"Probes read the target {grid.target} of {grid.status or 'all'} nodes best at {best['site']}: "
                f"accuracy {best['accuracy']:.1%}, mean over steps. Controls there: majority class "
                f"{best['majority']:.1%}, shuffled labels {best['shuffled']:.1%}, untrained model "
                f"{best['untrained']:.1%}, control task {best['control_task']:.1%}"
            )
        return ". ".join([*parts, *self.left_out]) + "."

    def figure(self) -> go.Figure:
        """Accuracy and controls by step and site, of the first status."""
        return self.grids[0].figure()

    def figures(self) -> dict[str, go.Figure]:
        """All figures by name: probes, code_length, transfer, circular, each with its status."""
        from interp.probing.probes_figure import code_length_figure

        found: dict[str, go.Figure] = {}
        for grid in self.grids:
            found[f"probes_{grid.status or 'all'}"] = grid.figure()
            if grid.bits is not None:
                found[f"code_length_{grid.status or 'all'}"] = code_length_figure(grid)
        found |= {f"transfer_{one.status or 'all'}": one.figure() for one in self.transfers}
        return found | {f"circular_{one.status or 'all'}": one.figure() for one in self.circular}


def study_probes(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    target: str = "value",
    sites: Sequence[str] | None = None,
    statuses: Sequence[str] = STATUSES,
    role: str | None = None,
    positions: str = "rhs",
    n_steps: int | None = None,
    kind: str = "logistic",
    folds: int = 5,
    mdl: bool = False,
    transfer: str | None = None,
    circular: bool = False,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ProbingStudy:
    """Run the graphs once, in the model of a name or path and in an untrained one, and fit all probes.

    sites: None: every state of the residual stream. statuses: of the nodes: waiting, computing, done, all; one grid
    each. kind: the name of a probe, or `FILE.py:FUNCTION` of one of your own (`analyses.own_probe`). transfer: the
    site whose probes are tested across steps; None: none. circular: also circular probes. Other arguments as for
    `interp.fit_probe_grid` and `interp.collect`; progress: of one grid at a time.

    Raises:
        InputError: no graphs, or a model, graph, target, site, status, role, kind, or number of folds or steps that
            cannot be used.
    """
    from interp.probing.circular import circular_probe
    from interp.probing.probes import SITES, collect_with_untrained, fit_probe_grid
    from interp.probing.rows import ProbeError
    from interp.probing.transfer import probe_transfer

    if not graphs or not statuses:
        raise InputError("There is nothing to probe: give at least one graph, and one status.")
    kind = probe_name(kind)
    loaded = load_model(model)
    grids: list[ProbeGrid] = []
    transfers: list[ProbeTransfer] = []
    circles: list[CircularProbe] = []
    left_out: list[str] = []
    with bad_input():
        if not 2 <= folds <= len(graphs):
            raise InputError(
                f"{folds} folds need {folds} graphs or more, since no graph is split, and 2 folds at least; "
                f"given: {len(graphs)}. `recurlens probe-reading` reads single graphs with probes fitted on others."
            )
        data, untrained = collect_with_untrained(loaded, graphs, sites or SITES, positions, n_steps, seed)
        for status in statuses:
            common: dict[str, Any] = {
                "status": status, "role": role, "folds": folds, "seed": seed, "jobs": jobs,
            }  # fmt: skip
            try:
                fitted = fit_probe_grid(
                    data, target, untrained, kind=kind, mdl=mdl, progress=progress, **common
                )
            except ProbeError as error:
                if status == statuses[-1] and not grids:
                    raise
                left_out.append(f"Nothing of {status} nodes could be read: {error}")
                continue
            grids.append(fitted)
            if transfer is not None:
                transfers.append(probe_transfer(data, transfer, target, untrained, kind=kind, **common))
            if circular:
                circles.append(circular_probe(data, target, untrained, **common))
    return ProbingStudy(model, tuple(grids), tuple(transfers), tuple(circles), tuple(left_out), len(graphs))


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("probe")
