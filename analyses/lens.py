"""Lenses on a model's residual states, by step and layer, on many graphs: `python -m analyses.lens --help`.

Every residual state of every step read through the model's own readout (`interp.lenses.lens`), each component's direct
contribution to the logits (`interp.lenses.direct_attribution`), and on demand translators fitted to every step
(`interp.lenses.tuned_lens`). `--out` receives `lens.csv`, `.parquet`, `.json`, `.html`, `.png`, more tables and
figures as `lens_NAME.csv` and `lens_NAME.html`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, bad_input, load_model
from analyses.studies import records
from analyses.tables import table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.lenses.direct_attribution import DirectAttribution
    from interp.lenses.lens import StepLens
    from interp.lenses.tuned_lens import TunedLens
    from models.graph import ComputationGraph

READ = 0.9
"""The share of nodes from which on something counts as read."""


@one_line
@dataclass(frozen=True)
class LensStudy:
    """What is read in the residual states of `model` (its name).

    Attributes:
        lens: the plain lens.
        attribution: direct logit attribution at right-hand sides; None where it was not asked for.
        tuned: the tuned lens; None where it was not asked for.
        positions: which tokens were read.
    """

    model: str
    lens: StepLens
    attribution: DirectAttribution | None
    tuned: TunedLens | None
    positions: str

    def to_frame(self) -> pd.DataFrame:
        """`StepLens.summary` by step."""
        return self.lens.summary(by_step=True)

    def frames(self) -> dict[str, pd.DataFrame]:
        """More tables: over all steps, also by number of operands; attribution and tuned lens by step, if there are."""
        found = {"all_steps": self.lens.summary(), "by_operands": self.lens.summary(by="n_operands")}
        if self.attribution is not None:
            found["attribution"] = self.attribution.summary(by_step=True)
        if self.tuned is not None:
            found["tuned"] = self.tuned.to_frame()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was run, where the answer appears, means over all steps."""
        lens, attribution, tuned = self.lens, self.attribution, self.tuned
        return {
            "model": self.model,
            "factor": lens.factor,
            "positions": self.positions,
            "n_graphs": len(lens.graphs),
            "n_steps": lens.n_steps,
            "points": list(lens.points),
            "appears_at": lens.appears_at(share=READ),
            "lens": records(lens.summary()),
            "by_operands": records(lens.summary(by="n_operands")),
            "attribution": None if attribution is None else records(attribution.summary()),
            "attribution_remainder": None if attribution is None else attribution.remainder,
            "tuned": None if tuned is None else records(tuned.summary()),
        }

    def table(self) -> Table:
        """A rich table, a row per status and layer point: means over all steps. Content: all symbols but N/A, EMPTY."""
        lens = self.lens
        graphs = f"{len(lens.graphs)} graph{'s' * (len(lens.graphs) != 1)}"
        title = f"{self.model}: {lens.factor} read in {graphs}, all {lens.n_steps} steps together"
        header = "nodes | layer point | rows | best | best content | labels shuffled | mean rank"
        header += " | mean probability | KL, nats"
        cells = "{status} | {point} | {n} | {best:.1%} | {content_best:.1%} | {shuffled:.1%} | {rank:.2f}"
        cells += " | {prob:.4f} | {kl:.3f}"
        frame = lens.summary()
        if self.tuned is not None:
            header += " | tuned: best content | tuned: KL, nats"
            cells += " | {content_best_tuned:.1%} | {kl_tuned:.3f}"
            tuned = self.tuned.summary()[["status", "point", "content_best", "kl"]]
            frame = frame.merge(tuned, "left", on=["status", "point"], suffixes=("", "_tuned"))
        return table_of_rows(title, header, cells, frame.to_dict("records"), "nodes | layer point")

    def verdict(self) -> str:
        """Where a computing node's answer is read, whether a waiting node's is, and what writes it."""
        parts = [self._computing(), self._waiting(), self._writer()]
        return " ".join(part for part in parts if part)

    def _computing(self) -> str:
        lens = self.lens
        rows = lens.summary().query("status == 'computing'").reset_index(drop=True)
        if rows.empty:
            return "No node is computed at any step."
        point = lens.appears_at(share=READ)
        if point is None:
            best = rows.loc[rows["best"].idxmax()]
            return (
                f"The {lens.factor} of a computing node is read in {READ:.0%} of nodes at no layer point; at most in "
                f"{best['best']:.1%}, at {best['point']}{_beside(best['shuffled'])}."
            )
        index = lens.points.index(point)
        before = rows.iloc[index - 1] if index else None
        at = f"{rows.loc[index, 'best']:.1%} of nodes"
        if before is None:
            return f"The {lens.factor} of a computing node is read from {point} on ({at})."
        return (
            f"The {lens.factor} of a computing node is read from {point} on ({at}); one point earlier, at "
            f"{before['point']}, in {before['best']:.1%}{_beside(before['shuffled'])}."
        )

    def _waiting(self) -> str:
        rows: Any = self.lens.summary().query("status == 'waiting'")
        if not rows["content_best"].notna().any():
            return ""
        best = rows.loc[rows["content_best"].idxmax()]
        return (
            f"That of a node that still waits is read, choosing among all symbols but N/A and EMPTY, in at most "
            f"{best['content_best']:.1%} of nodes, at {best['point']}{_beside(best['shuffled'])}."
        )

    def _writer(self) -> str:
        if self.attribution is None:
            return ""
        from interp.lenses.direct_attribution_figure import short_name

        rows = self.attribution.summary().query("status == 'computing'")
        if rows.empty:
            return ""
        most = rows.loc[rows["contribution"].idxmax()]
        return (
            f"{short_name(most['component'])} contributes most directly to a computing node's logit difference: on "
            f"average {most['contribution']:.2f} of {most['logit_diff']:.2f} logits."
        )

    def figure(self) -> go.Figure:
        """The lens by status, layer point and step."""
        return self.lens.figure()

    def figures(self) -> dict[str, go.Figure]:
        """All figures by name: by_status, rank, graph, attribution_STATUS, tuned (where there are)."""
        from interp.data.labels import STATUSES

        found = {"by_status": self.lens.figure(), "rank": self.lens.figure("rank")}
        if self.positions == "rhs":
            found["graph"] = self.lens.graph_figure()
        if self.attribution is not None:
            present = set(self.attribution.summary()["status"])
            found |= {f"attribution_{s}": self.attribution.figure(s) for s in STATUSES if s in present}
        if self.tuned is not None:
            found["tuned"] = self.tuned.figure()
        return found


def study_lens(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    factor: str = "value",
    positions: str = "rhs",
    n_steps: int | None = None,
    attribution: bool = True,
    tuned: bool = False,
    kl_steps: int = 0,
    seed: int = 0,
) -> LensStudy:
    """Lenses on the model of a name or path.

    attribution: also direct logit attribution (of right-hand sides, whatever `positions`). tuned: also a tuned lens, of
    which `seed` draws the held-out graphs. Other arguments as for `interp.step_lens` and `interp.fit_tuned_lens`.

    Raises:
        InputError: no graphs, or a model, graph, factor, positions or number of steps that cannot be used.
    """
    from interp.lenses.direct_attribution import direct_logit_attribution
    from interp.lenses.lens import step_lens
    from interp.lenses.tuned_lens import fit_tuned_lens

    if not graphs:
        raise InputError("There are no graphs to read.")
    loaded = load_model(model)
    with bad_input():
        lens = step_lens(loaded, graphs, n_steps, factor, positions)
        # As many steps in all parts, of models too that take as many as a graph needs.
        direct = direct_logit_attribution(loaded, graphs, lens.n_steps, factor) if attribution else None
        fitted = None
        if tuned:
            fitted = fit_tuned_lens(
                loaded, graphs, lens.n_steps, factor, positions, kl_steps=kl_steps, seed=seed
            )
    return LensStudy(model, lens, direct, fitted, positions)


def _beside(shuffled: float) -> str:
    return "" if math.isnan(shuffled) else f" (with shuffled labels {shuffled:.1%})"


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("lens")
