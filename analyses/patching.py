"""Patch a run at every step, layer, position and head asked for: `recurlens patch`, or `python -m analyses.patching`.

One pair of graphs or many; `analyses/catalogue/patching.py` has the options. `--out` receives the table of every patch
(`patching.csv`, `patching.parquet`), the figure (`patching.html`, `patching.png`), the summary (`patching.json`), and
`config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial, reduce
from operator import add
from typing import TYPE_CHECKING, Any, Literal, Unpack

from analyses.framework.pairs import TextPair, text_of_pair, told
from analyses.inputs import InputError
from analyses.progress import progress_bar
from analyses.studies import records
from analyses.tables import filled, joined, table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from analyses.sweeps import Spread
    from interp.causal.patching import PatchSweep
    from interp.engine.sites import Site
    from interp.engine.sparse.tally import Tally
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

DIRECTIONS = ("denoise", "noise")
TOGETHER = "together"
STRONGEST = 12
"""Patches that the table shows."""

Numbers = Literal["all", "together"] | tuple[int, ...]


@dataclass(frozen=True)
class Where:
    """The patches of a sweep: every combination of hook point, step, layer, position and head.

    names: hook points, short (`resid_pre`, `z`) or full. steps, heads: `all`, one by one; `together`, all in one
    patch; or those given. layers: `all`, or those given. positions: `rhs`, `operands`, `all`, one by one; `together`;
    or indices.
    """

    names: tuple[str, ...] = ("resid_pre",)
    steps: Numbers = "all"
    layers: Numbers = "all"
    heads: Numbers = "all"
    positions: str | tuple[int, ...] = "all"

    def sites(self, model: RecurrentTransformer, graph: ComputationGraph, n_steps: int) -> list[Site]:
        """The sites in a run of `n_steps` on `graph`. Raises `interp.SiteError` for what does not exist."""
        from interp.engine.sites import Site

        steps: Any = ["all"] if self.steps == TOGETHER else self.steps
        positions: Any = ["all"] if self.positions == TOGETHER else self.positions
        heads: Any = None if self.heads == TOGETHER else self.heads
        layers: Any = self.layers
        encoded = model.to_encoded(graph)
        return [
            site
            for name in self.names
            for site in Site.grid(model, encoded, name, steps, layers, positions, heads, n_steps)
        ]


@one_line
@dataclass(frozen=True)
class Patching:
    """The sweeps of `model` (its name), one per pair."""

    model: str
    sweeps: tuple[PatchSweep, ...]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per pair and patch: `pair`, `patch` (index into its sites), `PatchSweep.to_frame`, `effect`.

        The effect is that of the figure (`interp.causal.patching_figure.patch_effects`).
        """
        from interp.causal.patching_figure import patch_effects

        frames: list[pd.DataFrame] = []
        for index, sweep in enumerate(self.sweeps):
            frame = sweep.to_frame()
            frame.insert(0, "pair", index)
            frame.insert(1, "patch", range(len(frame)))
            frames.append(frame.assign(effect=patch_effects(sweep)))
        return joined(frames)

    @cached_property
    def strongest(self) -> pd.DataFrame:
        """The rows of `frame` with the largest effects, whatever their sign; of equal ones the first."""
        import numpy as np

        sizes = np.nan_to_num(np.abs(self.frame["effect"].to_numpy()), nan=-1.0)
        return self.frame.iloc[np.argsort(-sizes, kind="stable")[:STRONGEST]]

    @cached_property
    def summary(self) -> dict[str, int]:
        """How the effects are spread.

        patches; above_half, above_tenth: how many have an effect of at least 0.5 and 0.1, whatever its sign; half_in:
        the smallest number of patches that hold half of the summed magnitude.
        """
        import numpy as np

        sizes = np.sort(np.abs(self.frame["effect"].dropna().to_numpy()))[::-1]
        total = sizes.sum()
        return {
            "patches": len(self.frame),
            "above_half": int((sizes >= 0.5).sum()),
            "above_tenth": int((sizes >= 0.1).sum()),
            "half_in": int(np.searchsorted(sizes.cumsum(), total / 2)) + 1 if total > 0 else 0,
        }

    @property
    def tally(self) -> Tally | None:
        """What the replay engine computed, of all pairs together; None where a kept sweep does not say."""
        tallies = [sweep.tally for sweep in self.sweeps if sweep.tally is not None]
        return reduce(add, tallies) if tallies else None

    def to_frame(self) -> pd.DataFrame:
        """`frame`."""
        return self.frame

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every pair and its two unpatched runs, the strongest patches, the summary."""
        pairs = [
            told(sweep) | {"n_steps": sweep.n_steps, "patches": len(sweep.sites)} for sweep in self.sweeps
        ]
        return {
            "model": self.model,
            "metric": self.sweeps[0].metric,
            "direction": self.sweeps[0].direction,
            "pairs": pairs,
            "strongest": records(self.strongest.filter(["pair", "patch", "site", "effect", "raw"])),
            "summary": self.summary,
            "engine": None if self.tally is None else {**asdict(self.tally), "sentence": str(self.tally)},
        }

    def table(self) -> Table:
        """A rich table of the strongest patches."""
        from interp.causal.patching_figure import TextPositions

        rows: list[dict[str, Any]] = []
        for row in records(self.strongest):
            sweep = self.sweeps[int(row["pair"])]
            texts = TextPositions.of(sweep.clean_graph, sweep.corrupt_graph)
            site = sweep.sites[int(row["patch"])]
            at = texts.position(site)
            rows.append(
                {"pair": row["pair"], "site": site, "head": "all" if site.head is None else site.head}
                | {"at": "all" if at < 0 else at, "token": texts.label(at)}
                | {"equation": "" if at < 0 else texts.equations[at]}
                | {name: filled(f"{{{name}:.4f}}", row) or "–" for name in ("effect", "raw")}
            )
        header = f"step | hook point | head | position | token | equation | effect | {self.sweeps[0].metric}"
        cells = "{site.step} | {site.hook_name} | {head} | {at} | {token} | {equation} | {effect} | {raw}"
        many = len(self.sweeps) > 1
        return table_of_rows(
            f"{self.model}: strongest patches",
            f"pair | {header}" if many else header,
            f"{{pair}} | {cells}" if many else cells,
            rows,
            "hook point | token | equation",
        )

    def verdict(self) -> str:
        """Three sentences: the unpatched runs, how the effects are spread over the patches, and what was computed."""
        summary = self.summary
        first = self.sweeps[0]
        runs = (
            f"{first.metric} is {first.clean:.4g} in the clean run and {first.corrupt:.4g} in the corrupt run"
            if len(self.sweeps) == 1
            else f"{first.metric} in {len(self.sweeps)} pairs"
        )
        return (
            f"{first.direction}: {runs}; of {summary['patches']} patches {summary['above_half']} have an effect of at "
            f"least 0.5, {summary['above_tenth']} of at least 0.1; half of the total lies in {summary['half_in']}."
            + ("" if self.tally is None else f" {self.tally}.")
        )

    def figure(self) -> go.Figure:
        """`interp.causal.patching_figure`: of the one pair, or the mean over pairs."""
        from interp.causal.patching_figure import mean_patching_figure, patching_figure

        return patching_figure(self.sweeps[0]) if len(self.sweeps) == 1 else mean_patching_figure(self.sweeps)


def patch(
    pairs: Sequence[TextPair],
    where: Where | None = None,
    metric: str = "logit_diff",
    direction: str = "denoise",
    model: str = "compiled",
    nodes: Sequence[int | str] | None = None,
    n_steps: int | None = None,
    quiet: bool = True,
    exact: str = "states",
    **spread: Unpack[Spread],
) -> Patching:
    """Sweep every pair with the model of a name or path; arguments as for `interp.patch_sweep`.

    metric: a name, or `FILE.py:FUNCTION` (`analyses.own_metric`).
    `n_steps`: steps of every run; None is as long as the longer of the clean and the corrupt run of each pair needs.
    quiet: show no progress on stderr. spread: `analyses.sweeps.Spread`.
    exact: as for `interp.run_interventions`.

    Raises:
        InputError: no pair, or a pair, site, metric or backend that cannot be used; with `out`, an interrupted sweep
            of other settings.
    """
    from analyses.sweeps import kept_sweep
    from interp.causal.patching import PatchSweep

    if not pairs:
        raise InputError("There is no pair to patch.")
    where = where or Where()
    asked: dict[str, Any] = {
        "metric": metric,
        "direction": direction,
        "nodes": None if nodes is None else list(nodes),
        "n_steps": n_steps,
        "exact": exact,
    }
    about = {"study": "patching", "where": asdict(where), **asked}
    texts = [text_of_pair(pair) for pair in pairs]
    sweeps: list[PatchSweep] = []
    with progress_bar("patches" if len(pairs) == 1 else "pairs", quiet=quiet) as (bar, bar_task):

        def report(done: int, total: int) -> None:
            bar.update(bar_task, completed=done, total=total)

        watched = report if len(pairs) == 1 and spread.get("jobs", 1) == 1 else None
        task = partial(sweep_pair, where=where, progress=watched, **asked)
        for sweep in kept_sweep(task, pairs, model, PatchSweep, texts, about, **spread):
            sweeps.append(sweep)
            report(len(sweeps), len(pairs))
    if len(sweeps) > 1 and all(sweep.clean == sweep.corrupt for sweep in sweeps):
        raise InputError(
            f"{sweeps[0].metric} is the same in the clean and the corrupt run of all {len(sweeps)} pairs, so that "
            "nothing can come back: give another metric, or other pairs."
        )
    return Patching(model, tuple(sweeps))


def sweep_pair(
    model: RecurrentTransformer,
    pair: TextPair,
    where: Where,
    metric: str,
    direction: Any,
    nodes: Sequence[int | str] | None,
    n_steps: int | None,
    progress: Callable[[int, int], None] | None,
    exact: str = "states",
) -> PatchSweep:
    """The sweep of one pair."""
    from analyses.own_metric import metric_name
    from interp.causal.patching import patch_sweep, record_pair
    from interp.engine.sparse.tally import check_exactness

    metric = metric_name(metric)  # also in another process
    if n_steps is None:
        n_steps = record_pair(model, *pair)[0].n_steps
    sites = where.sites(model, pair[0], n_steps)
    return patch_sweep(
        model, *pair, sites, metric, direction, nodes, n_steps, progress, check_exactness(exact)
    )


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("patch")
