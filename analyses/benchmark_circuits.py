"""Methods that score edges, held against models whose edges are known: `python -m analyses.benchmark_circuits --help`.

The truth is derived from the weights (`interp.circuits.weight_edges`). To add a method, add its record in
`interp/circuits/method_records.py`; a model, in `interp/circuits/benchmark.py`. `--out` receives
`benchmark_circuits.csv`, `.parquet`, `.json`, `.html`, `.png`, the means as `benchmark_circuits_summary.csv`, and
`config.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from analyses.studies import plain, records
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.circuits.benchmark import MethodBenchmark


@one_line
@dataclass(frozen=True)
class BenchmarkStudy:
    """The rows of the benchmark."""

    result: MethodBenchmark

    def to_frame(self) -> pd.DataFrame:
        """A row per model, method and seed."""
        return self.result.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rows": records(self.to_frame()),
            "summary": records(self.result.summary()),
            "edges": {
                name: {"all": every, "can_matter": some}
                for name, (every, some) in self.result.n_edges.items()
            },
        }

    def table(self) -> Table:
        """A rich table, a row per model and method."""
        columns = ("model", "method", "AUROC", "least", "most", "precision", "seconds", "seeds")
        table = table_of("Edges that can matter, told from those that cannot", columns, left=columns[:2])
        for row in records(self.result.summary()):
            areas = (f"{row[name]:.3f}" for name in ("auroc", "least", "most", "precision"))
            table.add_row(row["model"], row["method"], *areas, f"{row['seconds']:.2f}", str(row["seeds"]))
        return table

    def verdict(self) -> str:
        """What is best on every model."""
        said: list[str] = []
        summary = plain(records(self.result.summary()))
        for name, (every, some) in self.result.n_edges.items():
            own = [row for row in summary if row["model"] == name]
            best = max(own, key=lambda row: row["auroc"])
            names = [row["method"] for row in own if row["auroc"] == best["auroc"]]
            said.append(
                f"{name}: {some} of {every} edges can matter; told best by {', '.join(names)} "
                f"(AUROC {best['auroc']:.3f}, precision {best['precision']:.3f})."
            )
        return " ".join(said)

    def figure(self) -> go.Figure:
        """The first of the figures."""
        return self.figures()["benchmark"]

    def figures(self) -> dict[str, go.Figure]:
        """`benchmark`, see `interp.circuits.benchmark_figure`."""
        from interp.circuits.benchmark_figure import benchmark_figure

        return {"benchmark": benchmark_figure(self.result)}


def study_benchmark(
    graphs: object = None,
    model: str = "",
    methods: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    seeds: int = 5,
    n_pairs: int = 3,
    nodes: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> BenchmarkStudy:
    """Score the edges of all known models by all methods.

    methods, models: names; none: all that there are. seeds: how many, from 0 on. n_pairs, nodes: pairs of a seed, and
    nodes of their graphs. graphs, model: not used, the benchmark has its own. progress: called with (done, total).

    Raises:
        InputError: a name that is not there, or graphs that admit no pair.
    """
    from interp.causal.pairs import PairError
    from interp.circuits.benchmark import KNOWN_MODELS, benchmark_methods
    from interp.circuits.method_records import SCORE_METHODS

    chosen = tuple(methods or ()) or tuple(SCORE_METHODS), tuple(models or ()) or tuple(KNOWN_MODELS)
    try:
        return BenchmarkStudy(benchmark_methods(*chosen, range(seeds), n_pairs, nodes, progress))
    except (PairError, ValueError) as error:
        raise InputError(f"No benchmark: {error}.") from error


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("benchmark-circuits")
