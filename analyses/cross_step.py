"""Cross-step patching of one pair of graphs or many: `python -m analyses.cross_step --help`.

What a site held at step i of the clean run is put in at step j of the corrupt run, for all i and j, beside what the
graph's depths predict (`interp.causal.cross_step`). `--out` receives `cross_step.csv`, `.parquet`, `.json`, `.html`,
`.png`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyses.inputs import InputError, Outputs, load_model
from analyses.options import (
    BackendOption,
    ConfigOption,
    GraphArgument,
    GraphOption,
    GraphsFileOption,
    JobsOption,
    JsonOption,
    ModelOption,
    NNodesOption,
    OpsOption,
    OutOption,
    QuietOption,
    SeedOption,
    StepsOption,
    at_least,
    graph_source,
    reports_bad_input,
    run_alone,
)
from analyses.patch_command import read_pairs
from analyses.patching import TextPair
from analyses.studies import plain, tell, used_options, write_files

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.causal.cross_step import CrossStep
    from models.recurrent import RecurrentTransformer


@dataclass(frozen=True)
class CrossStepStudy:
    """The matrices of `model` (its name), one a pair, all of one size."""

    model: str
    results: tuple[CrossStep, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a pair and cell: `pair`, and `CrossStep.to_frame`."""
        import pandas as pd

        return pd.concat(
            [result.to_frame().assign(pair=index) for index, result in enumerate(self.results)],
            ignore_index=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every pair with its agreement."""
        pairs = [
            {
                "clean_text": result.clean_graph.to_text(),
                "corrupt_text": result.corrupt_graph.to_text(),
                "nodes": [result.clean_graph.nodes[node].name for node in result.nodes],
                "clean": result.clean,
                "corrupt": result.corrupt,
                "matched": plain(result.matched()),
                "matched_by_nothing": result.matched_by_nothing(),
                "correlation": plain(result.correlation),
            }
            for result in self.results
        ]
        first = self.results[0]
        sites = [site.to_dict() for site in first.sites]
        return {
            "model": self.model,
            "sites": sites,
            "metric": first.metric,
            "lag": first.lag,
            "carries": first.carries,
            "n_steps": first.n_steps,
            "pairs": pairs,
        }

    def table(self) -> Table:
        """A rich table, a row a pair."""
        from rich.table import Table

        table = Table(title=f"{self.model}: cross-step patching", title_justify="left")
        columns = ("pair", "nodes read", "clean", "corrupt", "as predicted", "by no effect", "correlation")
        for column in columns:
            table.add_column(column, justify="right")
        for index, result in enumerate(self.results):
            shares = (f"{result.matched():.1%}", f"{result.matched_by_nothing():.1%}")
            ends = (f"{result.clean:.4g}", f"{result.corrupt:.4g}")
            table.add_row(str(index), str(len(result.nodes)), *ends, *shares, f"{result.correlation:.3f}")
        return table

    def verdict(self) -> str:
        """One sentence: how far the prediction holds."""
        import numpy as np

        first = self.results[0]
        cells = sum(result.raw.size for result in self.results)
        if first.predicted is None:
            return f"{cells} cells; the graph predicts nothing for this site (give --carries)."
        matched = np.mean([result.matched() for result in self.results])
        nothing = np.mean([result.matched_by_nothing() for result in self.results])
        return (
            f"{matched:.1%} of {cells} cells are as the graph predicts ({first.carries}); "
            f"{nothing:.1%} would be, had no patch any effect."
        )

    def figure(self) -> go.Figure:
        """`interp.figures.cross_step`, the mean over pairs."""
        from interp.figures.cross_step import cross_step_figure

        return cross_step_figure(self.results)


def study_cross_step(
    pairs: Sequence[TextPair],
    name: str,
    model: str = "compiled",
    n_steps: int | None = None,
    jobs: int = 1,
    backend: str = "loky",
    **options: Any,
) -> CrossStepStudy:
    """The matrix of every pair, with the model of a name or path.

    name: the site. n_steps: side of the matrices; None: as many steps as the longest of all runs has. options: as for
    `interp.cross_step_matrix`. jobs, backend: as for `analyses.sweeps`.

    Raises:
        InputError: no pair, or a pair, site, metric or backend that cannot be used.
    """
    from analyses.sweeps import sweep_graphs

    if not pairs:
        raise InputError("There is no pair to patch.")
    if n_steps is None:
        n_steps = load_model(model).run([graph for pair in pairs for graph in pair]).n_steps
    task = partial(cross_step_of, name=name, n_steps=n_steps, options=options)
    try:
        return CrossStepStudy(model, tuple(sweep_graphs(task, pairs, model, jobs, backend)))
    except ValueError as error:
        raise InputError(str(error)) from error


def cross_step_of(
    model: RecurrentTransformer, pair: TextPair, name: str, n_steps: int, options: dict[str, Any]
) -> CrossStep:
    """The matrix of one pair."""
    from interp.causal.cross_step import cross_step_matrix

    return cross_step_matrix(model, *pair, name, n_steps=n_steps, **options)


@reports_bad_input
def cross_step_command(
    context: typer.Context,
    text: GraphArgument = None,
    graph: GraphOption = None,
    graphs_file: GraphsFileOption = None,
    n_nodes: NNodesOption = None,
    pair_kind: Annotated[
        str, typer.Option("--pair-kind", help="leaf-value, operand, operation or leaf-swap.")
    ] = "leaf-value",
    node: Annotated[
        str | None, typer.Option("--node", help="The node that is edited.  [default: drawn]")
    ] = None,
    n_pairs: Annotated[
        int, typer.Option("--n-pairs", callback=at_least(1), help="Sampled pairs, of seed, seed + 1, ...")
    ] = 1,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    model: ModelOption = "compiled",
    site: Annotated[
        str, typer.Option("--site", help="Hook point, such as state, resid_post or z.")
    ] = "state",
    layer: Annotated[int | None, typer.Option("--layer", help="Its layer, where it has one.")] = None,
    head: Annotated[int | None, typer.Option("--head", help="One head.  [default: all]")] = None,
    pos: Annotated[
        str,
        typer.Option("--pos", help="all, rhs (all right-hand sides), an index, rhs:NODE, operand:NODE:J."),
    ] = "all",
    metric: Annotated[str, typer.Option("--metric", help="accuracy, logit_diff or prob.")] = "accuracy",
    lag: Annotated[
        int | None,
        typer.Option(
            "--lag", callback=at_least(0), help="Read it this many steps later.  [default: at the end]"
        ),
    ] = None,
    carries: Annotated[
        str | None,
        typer.Option("--carries", help="What to predict: entering, output or operand:K (-1: the last)."),
    ] = None,
    steps: StepsOption = None,
    jobs: JobsOption = 1,
    backend: BackendOption = "loky",
    json_file: JsonOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Put what a site held at step i into step j of another run, for all i and j, and compare with the prediction."""
    source = graph_source(context)
    outputs = Outputs("cross_step", json_file, out)
    outputs.check()
    pairs = read_pairs(load_model(model), source, pair_kind, node, n_pairs)
    study = study_cross_step(
        pairs,
        site,
        model,
        steps,
        jobs,
        backend,
        layer=layer,
        head=head,
        pos=int(pos) if pos.isdigit() else pos,
        metric=metric,
        lag=lag,
        carries=carries,
    )
    written = write_files(outputs, "cross-step", study, used_options(context))
    tell(study, written, quiet)


def main() -> None:
    """Entry point of `python -m analyses.cross_step`."""
    run_alone(cross_step_command)


if __name__ == "__main__":
    main()
