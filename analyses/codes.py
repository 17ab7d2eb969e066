"""Codebook usage of a model on many graphs: `python -m analyses.codes --help`.

Which codes of each factor are used, how evenly and what they say (`interp.codebook.codes`), how they follow each
other and what the oracle finds illegal in it (`interp.codebook.transitions`), how near the hidden states come to
another code (`interp.codebook.margins`), and whether a code that is set by hand leads to what the oracle answers
(`interp.codebook.code_interventions`). `--out` receives `codes.csv`, `.parquet`, `.json`, `.html`, `.png`, more
tables and figures as `codes_NAME.csv` and `codes_NAME.html`, and `config.yaml`, from which `--config` repeats the
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, bad_input, load_model
from analyses.studies import plain, records
from analyses.tables import joined, table_of_rows
from interp.statistics.counted import counted

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.codebook.code_interventions import CodeInterventions
    from interp.codebook.codes import CodeUsage
    from interp.codebook.margins import SnapMargins
    from interp.codebook.transitions import Transitions
    from models.graph import ComputationGraph


@dataclass(frozen=True)
class CodesStudy:
    """The codes of `model` (its name) on some graphs.

    Attributes:
        usage: all tokens.
        margins: of the same run.
        interventions: edits of single codes; None where there are none, for the reason in `no_interventions`.
        solved: share of right-hand sides that show their true value at the end.
        n_graphs: how many graphs were run.
    """

    model: str
    usage: CodeUsage
    margins: SnapMargins
    interventions: CodeInterventions | None
    no_interventions: str
    solved: float
    n_graphs: int

    @property
    def rhs(self) -> CodeUsage:
        """The right-hand sides alone."""
        return self.usage.select(role="rhs")

    def transitions(self, factor: str = "value") -> Transitions:
        """Of all tokens."""
        return self.usage.transitions(factor)

    @property
    def n_illegal(self) -> dict[str, int]:
        """Illegal transitions of each factor."""
        return {factor: self.transitions(factor).n_illegal for factor in self.usage.factors}

    def to_frame(self) -> pd.DataFrame:
        """`CodeUsage.to_frame` of all tokens and of right-hand sides (column `tokens`), and for the step that wrote the
        state illegal, idempotence and reversion_rate.
        """
        import numpy as np

        parts = []
        for name, usage in (("all", self.usage), ("rhs", self.rhs)):
            frame = usage.to_frame()
            frame.insert(0, "tokens", name)
            columns: dict[str, list[float]] = {"illegal": [], "idempotence": [], "reversion_rate": []}
            for factor in usage.factors:
                transitions = usage.transitions(factor)
                columns["illegal"] += [np.nan, *transitions.illegal_share()]
                columns["idempotence"] += [np.nan, *transitions.idempotence()]
                columns["reversion_rate"] += [np.nan, *transitions.reversion_rate()]
            parts.append(frame.assign(**columns))
        return joined(parts)

    def frames(self) -> dict[str, pd.DataFrame]:
        """More tables: transitions, detectors (of values), commits, margins, interventions."""
        usage = self.usage
        found = {
            "transitions": joined(usage.transitions(factor).to_frame() for factor in usage.factors),
            "detectors": self.rhs.detectors("value"),
            "commits": self.rhs.transitions("value").commits(),
            "margins": self.margins.to_frame(),
        }
        if self.interventions is not None:
            found["interventions"] = self.interventions.to_frame()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every number of the table, and summaries of all else."""
        interventions = self.interventions
        return {
            "model": self.model,
            "n_graphs": self.n_graphs,
            "n_nodes": len(self.rhs),
            "n_tokens": len(self.usage),
            "n_steps": self.usage.n_states - 1,
            "solved": self.solved,
            "illegal": self.n_illegal,
            "transitions": {
                factor: int(self.transitions(factor).counts.sum()) for factor in self.usage.factors
            },
            "on_time": plain(self.transitions().on_time()),
            "usage": records(self.to_frame()),
            "margins": records(self.margins.to_frame()),
            "near": self.margins.near_share(),
            "interventions": None if interventions is None else records(interventions.by_kind()),
            "no_interventions": self.no_interventions,
        }

    def table(self) -> Table:
        """A rich table of the value factor at right-hand sides, a row per state."""
        import numpy as np

        from interp.figures.template import state_label

        rhs = self.rhs
        transitions = rhs.transitions("value")
        frame = rhs.to_frame().query("factor == 'value'").reset_index(drop=True)
        low, median = np.quantile(self.margins.at_rhs("boundary"), [0.05, 0.5], axis=1)
        shares = {"illegal": transitions.illegal_share(), "idempotent": transitions.idempotence()}
        by_step = {
            name: [None, *values] for name, values in (shares | {"low": low, "median": median}).items()
        }
        header = "written by | used | perplexity | corrected | information | corrected | shuffled | purity"
        header += " | JS to last | illegal | idempotent | boundary 5 % | median"
        cells = "{state} | {used} | {perplexity:.2f} | {perplexity_corrected:.2f} | {information:.3f}"
        cells += (
            " | {information_corrected:.3f} | {information_shuffled:.3f} | {purity:.3f} | {js_to_last:.3f}"
        )
        cells += " | {illegal:.2%} | {idempotent:.1%} | {low:.3f} | {median:.3f}"
        frame = frame.assign(state=list(map(state_label, range(len(frame)))), **by_step)
        title = f"{self.model}: value codes at {len(rhs)} right-hand sides of {self.n_graphs} graphs"
        return table_of_rows(title, header, cells, frame.to_dict("records"))

    def verdict(self) -> str:
        """Legality, commitment, margins, interventions."""
        from interp.codebook.margins import NEAR

        total = sum(int(self.transitions(factor).counts.sum()) for factor in self.usage.factors)
        parts = [
            f"{sum(self.n_illegal.values()):,} of {counted(total, 'transition')} are illegal",
            f"Of {counted(len(self.rhs), 'right-hand side')} {self.transitions().on_time():.1%} commit in the step of "
            f"their depth, and {self.solved:.1%} end right",
            f"{self.margins.near_share():.2%} of the snaps there are less than {NEAR:g} |h| from the boundary to "
            "another code",
        ]
        done = self.interventions
        if done is None:
            return f"{'. '.join(parts)}. No code interventions: {self.no_interventions}."
        affected = int(done.column("affected").sum())
        return (
            f"{'. '.join(parts)}. After {counted(len(done), 'edit')} of a code, {done.exact:.1%} of the next states "
            f"equal the oracle's, and so do {done.affected_agreement:.1%} of the {counted(affected, 'value')} that the "
            "edits affect."
        )

    def figure(self) -> go.Figure:
        """Value codes at right-hand sides, by state."""
        return self.rhs.figure("value")

    def figures(self) -> dict[str, go.Figure]:
        """All figures by name: usage, information, transitions, commits, margins, interventions (if there are any)."""
        from interp.codebook.codes_figure import commit_figure, information_figure

        transitions = self.rhs.transitions("value")
        found = {
            "usage": self.figure(),
            "information": information_figure(self.usage),
            "transitions": transitions.figure(),
            "commits": commit_figure(transitions),
            "margins": self.margins.figure(),
        }
        if self.interventions is not None:
            found["interventions"] = self.interventions.figure()
        return found


def study_codes(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    n_steps: int | None = None,
    edits: int = 4,
    seed: int = 0,
) -> CodesStudy:
    """Run the graphs once, and measure.

    n_steps: length of the run; None: as `model.run` takes it. edits: code interventions of each kind in each graph,
    drawn by `seed`; 0: none.

    Raises:
        InputError: no graphs, or a model, graph or number of steps that cannot be used.
    """
    from interp.codebook.code_interventions import code_interventions
    from interp.codebook.codes import code_usage
    from interp.codebook.margins import snap_margins

    if not graphs:
        raise InputError("There are no graphs to run: give at least one.")
    loaded = load_model(model)
    with bad_input():
        run = loaded.run(list(graphs), n_steps)
        usage, margins = code_usage(loaded, run), snap_margins(loaded, run)
    interventions, reason = None, "none were asked for"
    if edits:
        try:
            interventions, reason = code_interventions(loaded, run, per_kind=edits, seed=seed), ""
        except ValueError as error:
            reason = str(error)
    solved = float(run.solved[run.encoded.rhs >= 0].float().mean())
    return CodesStudy(model, usage, margins, interventions, reason, solved, len(graphs))


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("codes")
