"""Patch a run at every step, layer, position and head asked for: `recurlens patch`, or `python -m analyses.patching`.

One pair of graphs or many; `analyses/patch_command.py` has the options. `--out` receives the table of every patch
(`patching.csv`, `patching.parquet`), the figure (`patching.html`, `patching.png`), the summary (`patching.json`), and
`config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from analyses.inputs import InputError
from analyses.studies import records
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.causal.patching import PatchSweep
    from interp.engine.sites import Site
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

DIRECTIONS = ("denoise", "noise")
TOGETHER = "together"
STRONGEST = 12
"""Patches that the table shows."""

Numbers = Literal["all", "together"] | tuple[int, ...]
TextPair: TypeAlias = "tuple[ComputationGraph, ComputationGraph]"
"""Clean, corrupt."""


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
    """The sweeps of `model` (its name), one a pair."""

    model: str
    sweeps: tuple[PatchSweep, ...]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per pair and patch: `pair`, `patch` (index into its sites), `PatchSweep.to_frame`, `effect`.

        The effect is that of the figure (`interp.causal.patching_figure.patch_effects`).
        """
        import pandas as pd

        from interp.causal.patching_figure import patch_effects

        frames: list[pd.DataFrame] = []
        for index, sweep in enumerate(self.sweeps):
            frame = sweep.to_frame()
            frame.insert(0, "pair", index)
            frame.insert(1, "patch", range(len(frame)))
            frames.append(frame.assign(effect=patch_effects(sweep)))
        return pd.concat(frames, ignore_index=True)

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

    def rows(self) -> list[dict[str, Any]]:
        """`frame` as plain records; None where there is no number."""
        return records(self.frame)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every pair and its two unpatched runs, the strongest patches, the summary."""
        pairs = [
            {
                "clean_text": sweep.clean_graph.to_text(),
                "corrupt_text": sweep.corrupt_graph.to_text(),
                "nodes": [sweep.clean_graph.nodes[node].name for node in sweep.nodes],
                "n_steps": sweep.n_steps,
                "patches": len(sweep.sites),
                "clean": sweep.clean,
                "corrupt": sweep.corrupt,
            }
            for sweep in self.sweeps
        ]
        return {
            "model": self.model,
            "metric": self.sweeps[0].metric,
            "direction": self.sweeps[0].direction,
            "pairs": pairs,
            "strongest": records(self.strongest.filter(["pair", "patch", "site", "effect", "raw"])),
            "summary": self.summary,
        }

    def table(self) -> Table:
        """A rich table of the strongest patches."""
        from rich.table import Table

        from interp.causal.patching_figure import TextPositions

        many = len(self.sweeps) > 1
        table = Table(title=f"{self.model}: strongest patches", title_justify="left")
        columns = (
            "step",
            "hook point",
            "head",
            "position",
            "token",
            "equation",
            "effect",
            self.sweeps[0].metric,
        )
        for name in (*(("pair",) if many else ()), *columns):
            table.add_column(name, justify="left" if name in ("hook point", "token", "equation") else "right")
        for row in records(self.strongest):
            sweep = self.sweeps[int(row["pair"])]
            texts = TextPositions.of(sweep.clean_graph, sweep.corrupt_graph)
            site = sweep.sites[int(row["patch"])]
            position = texts.position(site)
            table.add_row(
                *((str(row["pair"]),) if many else ()),
                str(site.step),
                site.hook_name,
                "all" if site.head is None else str(site.head),
                "all" if position < 0 else str(position),
                texts.label(position),
                "" if position < 0 else texts.equations[position],
                *("–" if row[name] is None else f"{row[name]:.4f}" for name in ("effect", "raw")),
            )
        return table

    def verdict(self) -> str:
        """Two sentences: the unpatched runs, and how the effects are spread over the patches."""
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
    jobs: int = 1,
    backend: str = "loky",
    quiet: bool = True,
    address: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    exact: str = "states",
) -> Patching:
    """Sweep every pair with the model of a name or path; arguments as for `interp.patch_sweep`, `analyses.sweeps`.

    metric: a name, or `FILE.py:FUNCTION` (`analyses.own_metric`).
    `n_steps`: steps of every run; None is as long as the longer of the clean and the corrupt run of each pair needs.
    quiet: show no progress on stderr.
    exact: as for `interp.run_interventions`.
    out, resume: a folder that keeps every result as it is there, and whether to go on with those that it has
    (`analyses.kept`); the caller writes the table and then calls `analyses.kept.forget(out)`.

    Raises:
        InputError: no pair, or a pair, site, metric or backend that cannot be used; with `out`, an interrupted sweep
            of other settings.
    """
    from analyses.kept import keep_results
    from analyses.sweeps import sweep_graphs
    from interp.causal.patching import PatchSweep

    if not pairs:
        raise InputError("There is no pair to patch.")
    where = where or Where()
    kept = keep_results(
        out,
        resume,
        PatchSweep,
        model,
        [text_of_pair(pair) for pair in pairs],
        study="patching",
        where=asdict(where),
        metric=metric,
        direction=direction,
        nodes=None if nodes is None else list(nodes),
        n_steps=n_steps,
        exact=exact,
    )
    sweeps: list[PatchSweep] = []
    with _progress("patches" if len(pairs) == 1 else "pairs", quiet) as report:
        task = partial(
            sweep_pair,
            where=where,
            metric=metric,
            direction=direction,
            nodes=nodes,
            n_steps=n_steps,
            progress=report if len(pairs) == 1 and jobs == 1 else None,
            exact=exact,
        )
        try:
            for sweep in sweep_graphs(task, pairs, model, jobs, backend, address, kept):
                sweeps.append(sweep)
                report(len(sweeps), len(pairs))
        except ValueError as error:
            raise InputError(str(error)) from error
    if len(sweeps) > 1 and all(sweep.clean == sweep.corrupt for sweep in sweeps):
        raise InputError(
            f"{sweeps[0].metric} is the same in the clean and the corrupt run of all {len(sweeps)} pairs, so that "
            "nothing can come back: give another metric, or other pairs."
        )
    return Patching(model, tuple(sweeps))


def text_of_pair(pair: TextPair) -> str:
    """All that a pair is, as one line."""
    return " ".join(graph.to_json() for graph in pair)


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


@contextmanager
def _progress(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where that is a terminal; yields what is to be called with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    from analyses.patch_command import main

    main()
