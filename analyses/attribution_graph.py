"""How one node's value came about, as a graph: `python -m analyses.attribution_graph --help`.

Nodes are codes of the states, and the heads and MLPs between them (`interp.circuits.attribution_graph`). `--out`
receives `attribution_graph.csv`, `.parquet`, `.json`, `.html`, `.png` and `config.yaml`; the JSON
holds the graph in the schema of circuit-tracer and Neuronpedia under `graph`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, load_model
from analyses.studies import StudyOf, plain, records
from analyses.tables import table_of
from interp.statistics.counted import counted
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.circuits.attribution_graph import AttributionGraph
    from interp.circuits.path_deletion import PathDeletion
    from models.graph import ComputationGraph


@one_line
@dataclass(frozen=True)
class GraphStudy(StudyOf):
    """An attribution graph, and what became of the value without its top path; the same of further runs."""

    result: AttributionGraph
    deletion: PathDeletion
    further: tuple[PathDeletion, ...] = ()

    @property
    def deletions(self) -> tuple[PathDeletion, ...]:
        """Of all runs."""
        return (self.deletion, *self.further)

    @property
    def changed(self) -> float:
        """Share of runs whose value changes without the top path."""
        return sum(one.changed for one in self.deletions) / len(self.deletions)

    @property
    def changed_at_random(self) -> float:
        """Share of random paths anywhere, over all runs, without which it does."""
        return sum(one.changed_at_random for one in self.deletions) / len(self.deletions)

    @property
    def changed_apart(self) -> float:
        """The same of those apart from what the value is computed from, over all runs that have any; else nan."""
        shares = [one.changed_apart for one in self.deletions if not math.isnan(one.changed_apart)]
        return sum(shares) / len(shares) if shares else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.result
        target = found.target
        return {
            "model": self.model,
            "target": {
                "node": found.run.graph.nodes[target.equation].name,
                "state": target.step,
                "value": found.symbol(target),
            },
            "nodes": len(found.nodes),
            "links": len(found.links),
            "unpruned": list(found.unpruned),
            "completeness": plain({"between": found.between, "inside": found.inside}),
            "additive": plain({"text": found.additive, "syntax_too": found.additive_syntax}),
            "top_path": [self._named(node) for node in found.top_path],
            "deletion": {
                "components": len(self.deletion.components),
                "changed": self.deletion.changed,
                "changed_at_random": self.deletion.changed_at_random,
                "changed_apart": plain(self.deletion.changed_apart),
                "draws": self.deletion.draws,
            },
            "runs": {
                "n": len(self.deletions),
                "changed": self.changed,
                "changed_at_random": self.changed_at_random,
                "changed_apart": plain(self.changed_apart),
            },
            "rows": records(self.to_frame()),
            "graph": plain(found.to_json()),
        }

    def _named(self, node: Any) -> str:
        where = self.result.run.graph.nodes[node.equation].name
        said = self.result.symbol(node)
        return f"{node.step}: {where} {node.name}" + (f" = {said}" if said else "")

    def figures(self) -> dict[str, go.Figure]:
        """That of the result."""
        return {"attribution_graph": self.figure()}

    def table(self) -> Table:
        """A rich table, a row per element of the top path."""
        columns = ("step", "equation", "element", "symbols", "influence")
        table = table_of(f"{self.model}: the top path", columns, left=columns[1:4])
        for node in self.result.top_path:
            where = self.result.run.graph.nodes[node.equation].name
            influence = f"{self.result.influence.get(node, 0.0):.3f}"
            table.add_row(str(node.step), where, node.name, self.result.symbol(node), influence)
        return table

    def verdict(self) -> str:
        """How complete the graph is, and whether its top path is needed."""
        found = self.result
        name = found.run.graph.nodes[found.target.equation].name
        one = self.deletion
        runs = (
            f" Over {len(self.deletions)} runs the value changes without the top path in {self.changed:.1%}; "
            f"{_at_random(self.changed_apart, self.changed_at_random)}."
            if self.further
            else ""
        )
        return (
            f"{name} = {found.symbol(found.target)} in state {found.target.step}: the graph keeps {len(found.nodes)} "
            f"of {found.unpruned[0]} elements (codes, heads and MLPs). Completeness between steps is "
            f"{found.between:.3f}: the share of a whole state's effect on a code that the codes with an "
            f"edge to it have together. Completeness inside a step is {found.inside:.2f}: how far the effects of "
            "single edges add up to those of all together, 1 where they do. What has no edge to a code should not "
            f"matter: with all such names, operations and values replaced, {found.additive:.1%} of codes keep their "
            f"symbols; with such syntax replaced too, {found.additive_syntax:.1%}. The top path: without its "
            f"{counted(len(one.components), 'head or MLP', 'heads and MLPs')} the value "
            f"{'changes' if one.changed else 'stays'}. Control, as many removed at random, {one.draws} draws of each "
            f"kind: {_at_random(one.changed_apart, one.changed_at_random)}.{runs}"
        )


def _at_random(apart: float, anywhere: float) -> str:
    control = (
        "no draw leaves alone all that it is computed from"
        if math.isnan(apart)
        else f"removed apart from all that it is computed from, the value changes in {apart:.1%}"
    )
    return f"{control}; removed anywhere, it changes in {anywhere:.1%}"


def study_attribution_graph(
    graph: ComputationGraph,
    model: str = "compiled",
    node: str | None = None,
    draws: int = 4,
    node_share: float = 0.8,
    edge_share: float = 0.98,
    random_paths: int = 20,
    runs: int = 1,
    seed: int = 0,
) -> GraphStudy:
    """Explain a node's value (None: of the last of the deepest).

    draws, node_share, edge_share: as for `interp.attribution_graph`. random_paths: that are deleted for control.
    runs: of how many the top path is deleted: of this one, and of sampled graphs of its size, of seed + 1, ...

    Raises:
        InputError: a model without a discrete state, an unknown node, or a number outside its range.
    """
    from interp.circuits.attribution_graph import attribution_graph
    from interp.circuits.path_deletion import delete_top_path
    from models.graph import ComputationGraph

    loaded = load_model(model)
    ops = sorted(graph.ops) or ["ADD"]

    def explained(one: ComputationGraph, node: str | None) -> AttributionGraph:
        return attribution_graph(loaded, one, node, draws, seed, node_share, edge_share)

    try:
        found = explained(graph, node)
        deletion = delete_top_path(found, random_paths, seed)
        further = tuple(
            delete_top_path(
                explained(ComputationGraph.sample(len(graph), ops, seed=seed + number), None),
                random_paths,
                seed + number,
            )
            for number in range(1, runs)
        )
        return GraphStudy(model, found, deletion, further)
    except ValueError as error:
        raise InputError(f"No attribution graph: {error}.") from error


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("attribution-graph")
