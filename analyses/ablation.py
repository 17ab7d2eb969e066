"""Tied against per-step ablation of heads and MLPs on many graphs: `python -m analyses.ablation --help`.

Every component is off at every step, and at one step at a time (`interp.causal.ablation`). The reverse question, with
`--keep HEADS`: do these heads suffice, with all others off at every step (`interp.causal.sufficiency`)? And with
`--by-token`: where does each head look from every kind of token, and which symbols break there without it
(`interp.causal.by_token`)? `--out` receives `ablation.csv`, `.parquet`, `.json`, `.html`, `.png`, and `config.yaml`,
from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from analyses.head_sets import ByTokenStudy, SufficiencyStudy, study_by_token, study_sufficiency
from analyses.inputs import InputError, load_model
from analyses.studies import StudyOf
from analyses.tables import table_of
from models.bounds import index_of
from models.one_line import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from analyses.sweeps import Spread
    from interp.causal.ablation import Ablation, Component
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True)
class AblationStudy(StudyOf):
    """What ablations do to `model` (its name)."""

    result: Ablation

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
        title = f"{self.model}: {self.result.method} ablation, change of accuracy"
        columns = ("component", "nodes, tied", "graphs, tied", "nodes, one step", "steps damaged")
        table = table_of(title, columns, ("component",))
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
    exact: str = "states",
    **spread: Unpack[Spread],
) -> AblationStudy:
    """Ablate components of the model of a name or path, one component an item of `analyses.sweeps`.

    Other arguments as for `interp.ablate`. spread: `analyses.sweeps.Spread`.

    Raises:
        InputError: no graph, or a component, method, step or backend that cannot be used; with `out`, an interrupted
            sweep of other settings.
    """
    import numpy as np

    from analyses.sweeps import kept_sweep
    from interp.causal.ablation import Ablation, components

    wanted = list(components(load_model(model)) if which is None else which)
    if not wanted:
        raise InputError("There is nothing to ablate: give at least one component.")
    asked: dict[str, Any] = {
        "method": method,
        "at_steps": None if at_steps is None else list(at_steps),
        "n_steps": n_steps,
        "seed": seed,
        "exact": exact,
    }
    texts = [str(component) for component in wanted]
    about = {"study": "ablation", "graphs": [graph.to_json() for graph in graphs], **asked}
    task = partial(ablation_of, graphs=graphs, **asked)
    parts = list(kept_sweep(task, wanted, model, Ablation, texts, about, **spread))
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
    exact: str,
) -> Ablation:
    """One component."""
    from interp.causal.ablation import ablate
    from interp.engine.sparse.tally import check_exactness

    mode = check_exactness(exact)
    return ablate(model, graphs, [component], method, at_steps, n_steps, seed, exact=mode)


def study_heads(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    which: Sequence[Component] | None = None,
    method: str = "zero",
    keep: Sequence[Component] | None = None,
    draws: int = 8,
    by_token: bool = False,
    n_steps: int | None = None,
    seed: int = 0,
    exact: str = "states",
    **spread: Unpack[Spread],
) -> AblationStudy | SufficiencyStudy | ByTokenStudy:
    """What `recurlens ablate` asks: with `keep` `study_sufficiency`, with `by_token` `study_by_token`, else
    `study_ablation`, which alone is spread over workers.
    """
    if keep is not None:
        return study_sufficiency(graphs, keep, method, model, draws, n_steps, seed, exact)
    if by_token:
        return study_by_token(graphs, which, method, model, n_steps, seed, exact)
    return study_ablation(graphs, which, method, model, None, n_steps, seed, exact, **spread)


def components_of(text: str | None, option: str = "--components") -> list[Component] | None:
    """ "0.3,mlp1" as head 3 of layer 0 and the MLP of layer 1; None stands for all. Raises InputError."""
    from interp.causal.ablation import Component

    if text is None:
        return None
    found: list[Component] = []
    for part in text.split(","):
        layer, _, head = part.strip().lower().partition(".")
        is_mlp = layer.startswith("mlp") and not head
        numbers = index_of(layer.removeprefix("mlp") if is_mlp else layer), index_of("0" if is_mlp else head)
        if numbers[0] is None or numbers[1] is None:
            raise InputError(f"{option} has {part!r}: give LAYER.HEAD (0.3) or mlpLAYER (mlp1).")
        found.append(Component(numbers[0], None if is_mlp else numbers[1]))
    return found


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("ablate")
