"""How sure one step is, on and off trajectory, and what follows for runs: `python -m analyses.certificate --help`.

`interp.codebook.certificate` says what is drawn and what the bound is. Of the graphs every other one is asked step by
step, the rest is run. `--out` receives `certificate.csv` (a row per step), `.parquet`, `.json`, `.html`, `.png`,
`certificate_kind.csv`, `certificate_depth.csv`, `certificate_edits.csv`, and `config.yaml`, from which `--config`
repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, bad_input, check_fits, load_model
from analyses.studies import plain, records
from analyses.tables import table_of
from interp.statistics.counted import counted, percent
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.codebook.certificate import Certificate
    from models.graph import ComputationGraph

EDITS = 3000
"""Edits that are drawn, about, unless said otherwise."""


@one_line
@dataclass(frozen=True, eq=False)
class CertificateStudy:
    """The certificate of `model` (its name)."""

    model: str
    certificate: Certificate

    def to_frame(self) -> pd.DataFrame:
        """A row per step."""
        return self.certificate.steps()

    def frames(self) -> dict[str, pd.DataFrame]:
        """Edits by kind and by depth, and every edit."""
        found = self.certificate
        return {"kind": found.by("kind"), "depth": found.by("depth"), "edits": found.edits.copy()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.certificate
        return {
            "model": self.model,
            "graphs": found.agrees.shape[1],
            "runs": len(found.differed),
            "confidence": found.confidence,
            "cells": found.cells,
            "on_trajectory": plain(found.on.to_dict()),
            "off_trajectory": plain(found.off.to_dict()),
            "affected": plain(found.affected.to_dict()),
            "affected_ignoring_the_edit": plain(found.ignored.to_dict()),
            "steps": records(found.steps()),
            "kinds": records(found.by("kind")),
            "depths": records(found.by("depth")),
        }

    def table(self) -> Table:
        """A rich table, a row per step."""
        columns = (
            "step",
            "states",
            "agree",
            "lower bound",
            "edits",
            "agree",
            "lower bound",
            "bound of runs",
            "differed",
        )
        table = table_of(f"{self.model}: one step at a time", columns)
        for row in records(self.to_frame()):
            table.add_row(
                str(row["step"]), str(row["states"]), str(row["agree"]), f"{row['low']:.4f}", str(row["edits"]),
                str(row["exact"]), f"{row['edits_low']:.4f}", f"{row['bound']:.4f}",
                f"{row['differed']} of {row['runs']}",
            )  # fmt: skip
        return table

    def verdict(self) -> str:
        """One step on and off trajectory, the bound, and what runs show."""
        found = self.certificate
        return (
            f"The model's next state equals the algorithm's in {found.on} of the algorithm's own states, and in "
            f"{found.off} states with one code replaced (95 % intervals in brackets). Of the values that these edits "
            f"affect the model writes {found.affected} as the algorithm does; a model that ignored the edits would "
            f"write {found.ignored.count}. {self._of_runs()}"
        )

    def _of_runs(self) -> str:
        """The bound, and what runs show."""
        steps = records(self.certificate.steps())
        last = steps[-1]
        seen = f"{last['differed']} of {counted(last['runs'], 'run')}"
        states = counted(last["states"], "state")
        missed = sum(row["states"] - row["agree"] for row in steps) / last["states"]
        more = (
            "because single steps miss too often"
            if missed >= 1
            else f"with only {states} per step; more graphs tighten it"
        )
        until = f"by the end of step {last['step']}"
        if last["bound"] >= 1:
            return (
                f"For whole runs {until} the bound is 100 %: it says nothing {more}. Of other graphs {seen} differ "
                "from the algorithm's."
            )
        joint = (
            f"at most {percent(last['bound_all'])} where all steps' bounds have to hold together"
            if last["bound_all"] < 1
            else f"with all steps' bounds holding together it is 100 % and says nothing {more}"
        )
        return (
            f"So at most {percent(last['bound'])} of runs differ from the algorithm's in any token {until} "
            f"({joint}); of other graphs {seen} do."
        )

    def figure(self) -> go.Figure:
        """By step, depth and kind, and for runs."""
        return self.certificate.figure()

    def figures(self) -> dict[str, go.Figure]:
        """The one figure."""
        return {"certificate": self.figure()}


def study_certificate(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    edits: int = EDITS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CertificateStudy:
    """Ask every other graph step by step, and run the rest.

    edits: drawn by cells of step, depth and factor. progress: called with (edits done, edits in all).

    Raises:
        InputError: fewer than two graphs, or a model or graph that cannot be used.
    """
    from interp.codebook.certificate import certify

    if len(graphs) < 2:
        raise InputError(
            f"{len(graphs)} graphs were given: one half is asked, the other run, so give 2 or more."
        )
    loaded = load_model(model)
    for graph in graphs:
        check_fits(graph, loaded)
    with bad_input():
        found = certify(loaded, graphs[::2], graphs[1::2], edits, seed, progress=progress)
    return CertificateStudy(model, found)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("certificate")
