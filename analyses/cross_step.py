"""Cross-step patching of one pair of graphs or many: `python -m analyses.cross_step --help`.

What a site held at step i of the clean run is put in at step j of the corrupt run, for all i and j, beside what the
graph's depths predict (`interp.causal.cross_step`). `--out` receives `cross_step.csv`, `.parquet`, `.json`, `.html`,
`.png`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from analyses.framework.pairs import TextPair, text_of_pair, told
from analyses.inputs import InputError, load_model
from analyses.studies import plain
from analyses.tables import joined, table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from analyses.sweeps import Spread
    from interp.causal.cross_step import CrossStep, Positions
    from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True)
class CrossStepStudy:
    """The matrices of `model` (its name), one per pair, all of one size."""

    model: str
    results: tuple[CrossStep, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row per pair and cell: `pair`, and `CrossStep.to_frame`."""
        return joined(result.to_frame().assign(pair=index) for index, result in enumerate(self.results))

    def _pairs(self) -> list[dict[str, Any]]:
        """Every pair with its agreement."""
        return [
            told(result)
            | {
                "cells": int(result.raw.size),
                "evidence": int(result.evidence.sum()),
                "matched": plain(result.matched()),
                "matched_by_nothing": plain(result.matched_by_nothing()),
                "silent_matched": plain(result.silent_matched()),
                "correlation": plain(result.correlation),
            }
            for result in self.results
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every pair with its agreement."""
        first = self.results[0]
        asked = {name: getattr(first, name) for name in ("metric", "lag", "carries", "whole", "n_steps")}
        sites = [site.to_dict() for site in first.sites]
        return {"model": self.model, "sites": sites, **asked, "pairs": self._pairs()}

    def table(self) -> Table:
        """A rich table, a row per pair."""
        header = "pair | nodes read | clean | corrupt | cells | with an effect predicted | as predicted"
        header += " | by no effect | others as without | correlation"
        cells = "{pair} | {read} | {clean:.4g} | {corrupt:.4g} | {cells} | {evidence} | {matched:.1%}"
        cells += " | {matched_by_nothing:.1%} | {silent_matched:.1%} | {correlation:.3f}"
        rows = (
            {"pair": index, "read": len(pair["nodes"])} | pair for index, pair in enumerate(self._pairs())
        )
        return table_of_rows(f"{self.model}: cross-step patching", header, cells, rows)

    def verdict(self) -> str:
        """One sentence: how far the prediction holds, where it predicts an effect."""
        import numpy as np

        from interp.causal.cross_step import CrossStep

        first = self.results[0]
        cells = sum(result.raw.size for result in self.results)
        if first.whole:
            checked = all(result.consistent for result in self.results)
            return (
                "Whole states were put in: the run goes on from there as the clean run did, because a step depends on "
                f"nothing else. That checks the engine ({'passed' if checked else 'FAILED'}); none of the {cells} "
                "cells is evidence about the model (give --pos rhs, or another site)."
            )
        if first.predicted is None:
            return f"{cells} cells; the graph predicts nothing for this site (give --carries)."
        said = [result for result in self.results if result.evidence.any()]
        if not said:
            return (
                f"{cells} cells; after {first.n_steps} steps no effect is predicted at the nodes read, so there is "
                "nothing to restore (give more --steps)."
            )
        evidence = sum(int(result.evidence.sum()) for result in said)
        matched, nothing = (
            sum(share(result) * int(result.evidence.sum()) for result in said)
            for share in (CrossStep.matched, CrossStep.matched_by_nothing)
        )
        silent = np.nanmean([result.silent_matched() for result in said])
        left_out = len(self.results) - len(said)
        return (
            f"{matched:.0f} of the {evidence} cells in which the graph predicts an effect ({first.carries}) are as "
            f"predicted; {nothing:.0f} would be, had no patch any effect. Of the other cells {silent:.1%} are as "
            "without a patch."
            + (f" In {left_out} of {len(self.results)} pairs no effect is predicted." if left_out else "")
        )

    def figure(self) -> go.Figure:
        """`interp.causal.cross_step_figure`, the mean over pairs."""
        from interp.causal.cross_step_figure import cross_step_figure

        return cross_step_figure(self.results)


def study_cross_step(
    pairs: Sequence[TextPair],
    name: str = "state",
    model: str = "compiled",
    n_steps: int | None = None,
    layer: int | None = None,
    head: int | None = None,
    pos: Positions = "all",
    metric: str = "accuracy",
    lag: int | None = None,
    carries: str | None = None,
    exact: str = "states",
    **spread: Unpack[Spread],
) -> CrossStepStudy:
    """The matrix of every pair, with the model of a name or path.

    name, layer, head, pos: the site. n_steps: side of the matrices; None: as many steps as the longest of all runs has.
    metric, lag, carries, exact: as for `interp.cross_step_matrix`. spread: `analyses.sweeps.Spread`.

    Raises:
        InputError: no pair, or a pair, site, metric or backend that cannot be used; with `out`, an interrupted sweep
            of other settings.
    """
    from analyses.sweeps import kept_sweep
    from interp.causal.cross_step import CrossStep

    if not pairs:
        raise InputError("There is no pair to patch.")
    if n_steps is None:
        n_steps = load_model(model).run([graph for pair in pairs for graph in pair]).n_steps
    texts = [text_of_pair(pair) for pair in pairs]
    options = {
        "layer": layer,
        "head": head,
        "pos": pos,
        "metric": metric,
        "lag": lag,
        "carries": carries,
        "exact": exact,
    }
    asked: dict[str, Any] = {"name": name, "n_steps": n_steps, "options": options}
    about = {"study": "cross-step", **asked}
    task = partial(cross_step_of, **asked)
    return CrossStepStudy(model, tuple(kept_sweep(task, pairs, model, CrossStep, texts, about, **spread)))


def cross_step_of(
    model: RecurrentTransformer, pair: TextPair, name: str, n_steps: int, options: dict[str, Any]
) -> CrossStep:
    """The matrix of one pair."""
    from interp.causal.cross_step import cross_step_matrix

    return cross_step_matrix(model, *pair, name, n_steps=n_steps, **options)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("cross-step")
