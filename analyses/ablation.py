"""Tied against per-step ablation of heads and MLPs on many graphs: `python -m analyses.ablation --help`.

Every component is off at every step, and at one step at a time (`interp.causal.ablation`). `--out` receives
`ablation.csv`, `.parquet`, `.json`, `.html`, `.png`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from analyses.studies import tell, used_options, write_files

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.causal.ablation import Ablation, Component
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


@dataclass(frozen=True)
class AblationStudy:
    """What ablations do to `model` (its name)."""

    model: str
    result: Ablation

    def to_frame(self) -> pd.DataFrame:
        """`interp.Ablation.to_frame`."""
        return self.result.to_frame()

    def figure(self) -> go.Figure:
        """`interp.figures.ablation`."""
        return self.result.figure()

    def records(self) -> list[dict[str, Any]]:
        """A record a component: the change of right nodes and solved graphs at the end, off at every step; the largest
        loss of right nodes at the end, off at one step; how many steps a loss lasts at most (None: to the end).
        """
        result = self.result
        records: list[dict[str, Any]] = []
        for row, component in enumerate(result.components):
            lasting = [int(steps) for steps in result.damaged_for[row]]
            alone = result.nodes_effect[row, 1:, -1]
            records.append(
                {
                    "component": str(component),
                    "tied_nodes": float(result.nodes_effect[row, 0, -1]),
                    "tied_graphs": float(result.solved_effect[row, 0, -1]),
                    "one_step_nodes": float(alone.min()) if len(alone) else 0.0,
                    "damaged_for": None if -1 in lasting else max(lasting, default=0),
                }
            )
        return records

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was run, accuracy without ablation, and `records`."""
        result = self.result
        return {
            "model": self.model,
            "method": result.method,
            "graphs": [graph.to_text() for graph in result.graphs],
            "n_steps": result.n_steps,
            "at_steps": list(result.at_steps),
            "nodes_without": float(result.nodes_without[-1]),
            "graphs_without": float(result.solved_without[-1]),
            "components": self.records(),
        }

    def table(self) -> Table:
        """A rich table of `records`."""
        from rich.table import Table

        title = f"{self.model}: {self.result.method} ablation, change of accuracy"
        table = Table(title=title, title_justify="left")
        columns = ("component", "nodes, tied", "graphs, tied", "nodes, one step", "steps damaged")
        for column in columns:
            table.add_column(column, justify="left" if column == "component" else "right")
        for record in self.records():
            lasting = "to the end" if record["damaged_for"] is None else str(record["damaged_for"])
            shares = [
                f"{100 * record[name]:+.1f} %" for name in ("tied_nodes", "tied_graphs", "one_step_nodes")
            ]
            table.add_row(record["component"], *shares, lasting)
        return table

    def verdict(self) -> str:
        """One sentence: how many components matter at all, and how many of them heal."""
        records = self.records()
        tied = [record for record in records if record["tied_nodes"] < 0]
        heal = sum(record["damaged_for"] is not None for record in tied)
        return (
            f"Off at every step, {len(tied)} of {len(records)} components cost right nodes; "
            f"off at one step, the runs are whole again with {heal} of these, whichever step it is."
        )


def study_ablation(
    graphs: Sequence[ComputationGraph],
    which: Sequence[Component] | None = None,
    method: str = "zero",
    model: str = "compiled",
    at_steps: Sequence[int] | None = None,
    n_steps: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    backend: str = "loky",
) -> AblationStudy:
    """Ablate components of the model of a name or path, one component an item of `analyses.sweeps`.

    Other arguments as for `interp.ablate`.

    Raises:
        InputError: no graph, or a component, method, step or backend that cannot be used.
    """
    import numpy as np

    from analyses.sweeps import sweep_graphs
    from interp.causal.ablation import components

    wanted = list(components(load_model(model)) if which is None else which)
    if not wanted:
        raise InputError("There is nothing to ablate: give at least one component.")
    task = partial(ablation_of, graphs=graphs, method=method, at_steps=at_steps, n_steps=n_steps, seed=seed)
    try:
        parts = list(sweep_graphs(task, wanted, model, jobs, backend))
    except ValueError as error:
        raise InputError(str(error)) from error
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("nodes", "solved", "lost", "damaged_for")
    }
    return AblationStudy(model, replace(parts[0], components=tuple(wanted), **joined))


def ablation_of(
    model: RecurrentTransformer,
    component: Component,
    graphs: Sequence[ComputationGraph],
    method: str,
    at_steps: Sequence[int] | None,
    n_steps: int | None,
    seed: int,
) -> Ablation:
    """One component."""
    from interp.causal.ablation import ablate

    return ablate(model, graphs, [component], method, at_steps, n_steps, seed)


def _components(text: str | None) -> list[Component] | None:
    """ "0.3,mlp1" as head 3 of layer 0 and the MLP of layer 1; None stands for all."""
    from interp.causal.ablation import Component

    if text is None:
        return None
    found: list[Component] = []
    for part in text.split(","):
        layer, _, head = part.strip().lower().partition(".")
        is_mlp = layer.startswith("mlp") and not head
        number = layer.removeprefix("mlp") if is_mlp else layer
        if not number.isdigit() or not (is_mlp or head.isdigit()):
            raise InputError(f"--components has {part!r}: give LAYER.HEAD (0.3) or mlpLAYER (mlp1).")
        found.append(Component(int(number), None if is_mlp else int(head)))
    return found


@reports_bad_input
def ablation_command(
    context: typer.Context,
    text: GraphArgument = None,
    graph: GraphOption = None,
    graphs_file: GraphsFileOption = None,
    n_nodes: NNodesOption = None,
    n_graphs: Annotated[
        int,
        typer.Option("--n-graphs", callback=at_least(1), help="Sampled graphs, of seed, seed + 1, ..."),
    ] = 1,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    model: ModelOption = "compiled",
    components: Annotated[
        str | None,
        typer.Option("--components", help="Such as 0.3,mlp1.  [default: every head and every MLP]"),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="zero, mean or resample.")] = "zero",
    steps: StepsOption = None,
    jobs: JobsOption = 1,
    backend: BackendOption = "loky",
    json_file: JsonOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Take out heads and MLPs at every step, and at one step at a time, and see what is lost and what heals."""
    source = graph_source(context)
    outputs = Outputs("ablation", json_file, out)
    outputs.check()
    which = _components(components)
    loaded = load_model(model)
    if source.n_nodes is None and n_graphs > 1:
        raise InputError(f"--n-graphs {n_graphs} draws graphs, so it needs --n-nodes.")
    drawn = source.many(loaded, n_graphs)
    study = study_ablation(drawn, which, method, model, n_steps=steps, seed=seed, jobs=jobs, backend=backend)
    written = write_files(outputs, "ablate", study, used_options(context))
    tell(study, written, quiet)


def main() -> None:
    """Entry point of `python -m analyses.ablation`."""
    run_alone(ablation_command)


if __name__ == "__main__":
    main()
