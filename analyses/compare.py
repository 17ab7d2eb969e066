"""Compare two runs, step by step and node by node: `python -m analyses.compare --help`.

Each side is a model and a graph, and may be edited: a symbol overwritten, or a head taken off (`analyses.edits`). What
is not said of the second side is as on the first. Graphs with the same nodes are compared node by node; of others it is
told what each run came to. `--out` receives `compare.csv` (a line per state and node), `.parquet`, `.json`, `.html`,
`.png`, and `config.yaml`, from which `--config` repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from analyses.edits import parse_edit
from analyses.inputs import GraphSource, InputError, bad_input, check_fits, load_model
from analyses.tables import table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.causal.run_difference import RunDifference
    from models.graph import ComputationGraph
    from models.trajectory import Trajectory

FIRST, SECOND = "first", "second"


@dataclass(frozen=True)
class Side:
    """One of the two: a model by its name, an edit as text ("" for none), and the run that came of it."""

    model: str
    edit: str
    run: Trajectory

    @property
    def graph(self) -> ComputationGraph:
        """Its graph."""
        return self.run.encoded.graphs[0]

    def told(self) -> str:
        """What it came to, as the end of a sentence."""
        edited = f" with {self.edit}" if self.edit else ""
        right, last = int(self.run.right[-1].sum()), int(self.run.fixed_point[0])
        end = f"settled after step {last}" if last >= 0 else f"had not settled after {self.run.n_steps} steps"
        return f"{self.model}{edited} has {right} of {len(self.graph)} nodes right and {end}"


@one_line
@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides; their difference, where their graphs have the same nodes."""

    first: Side
    second: Side

    @cached_property
    def difference(self) -> RunDifference | None:
        """None where the graphs have other nodes."""
        from interp.causal.run_difference import run_difference, same_nodes

        runs = self.first.run, self.second.run
        return run_difference(*runs) if same_nodes(*runs) else None

    def to_frame(self) -> pd.DataFrame:
        """A row per state and node: the step that wrote it (-1: the text), what both show, and where they differ; of
        graphs with other nodes a row per side, state and node.
        """
        import pandas as pd

        from models.factors import FACTORS

        found = self.difference
        rows: list[dict[str, Any]] = []
        if found is None:
            for name, side in ((FIRST, self.first), (SECOND, self.second)):
                symbols = side.run.vocabulary.symbols("value")
                for state, line in enumerate(side.run.values[:, 0].tolist()):
                    rows += [
                        {"side": name, "step": state - 1, "node": node.name, "value": symbols[code]}
                        for node, code in zip(side.graph.nodes, line, strict=True)
                    ]
            return pd.DataFrame(rows)
        symbols = found.first.vocabulary.symbols("value")
        for state in range(found.values.shape[1]):
            for index, node in enumerate(self.first.graph.nodes):
                shown = [
                    symbols[code] if code >= 0 else "?" for code in found.values[:, state, index].tolist()
                ]
                differs = {
                    f"{factor}_differs": bool(found.differs[place, state, index])
                    for place, factor in enumerate(FACTORS)
                }
                rows.append(
                    {"step": state - 1, "node": node.name, FIRST: shown[0], SECOND: shown[1], **differs}
                )
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.difference
        sides = {
            name: {
                "model": side.model,
                "graph": side.graph.to_text(),
                "edit": side.edit,
                "nodes_right": int(side.run.right[-1].sum()),
                "n_steps": side.run.n_steps,
                "fixed_point": int(side.run.fixed_point[0]),
            }
            for name, side in ((FIRST, self.first), (SECOND, self.second))
        }
        if found is None:
            return {**sides, "same_nodes": False}
        begin = found.first_state
        names = [node.name for node in self.first.graph.nodes]
        return {
            **sides,
            "same_nodes": True,
            "first_step": None if begin is None else begin - 1,
            "first_nodes": [] if begin is None else [names[node] for node in found.nodes(begin)],
            "differing": [names[node] for node in found.differs.any(0).any(0).nonzero().flatten().tolist()],
            "differing_at_end": [names[node] for node in found.nodes(-1)],
        }

    def table(self) -> Table:
        """A rich table: a row per state in which nodes differ, or a row per side."""
        found = self.difference
        if found is None:
            rows = [
                {"side": name, "told": side.told()}
                for name, side in ((FIRST, self.first), (SECOND, self.second))
            ]
            return table_of_rows("Two runs", "side | came to", "{side} | {told}", rows, "side | came to")
        names = [node.name for node in self.first.graph.nodes]
        rows = [
            {
                "step": "start" if state == 0 else str(state - 1),
                "nodes": ", ".join(names[node] for node in nodes),
            }
            for state in range(found.values.shape[1])
            if (nodes := found.nodes(state))
        ]
        return table_of_rows("Nodes that differ", "step | nodes", "{step} | {nodes}", rows, "step | nodes")

    def verdict(self) -> str:
        """The first step that differs, where, and how it ends; in a sentence or two."""
        found = self.difference
        ends = f"The first, {self.first.told()}; the second, {self.second.told()}."
        if found is None:
            return f"The graphs have other nodes, so there is no comparing node by node. {ends}"
        begin = found.first_state
        if begin is None:
            return f"Both runs are the same in every state. {ends}"
        names = [node.name for node in self.first.graph.nodes]
        nodes = found.nodes(begin)
        listed = ", ".join(names[node] for node in nodes[:4]) + (
            f" and {len(nodes) - 4} more" if nodes[4:] else ""
        )
        when = "before step 0, in the text" if begin == 0 else f"after step {begin - 1}"
        ever, last = int(found.differs.any(0).any(0).sum()), len(found.nodes(-1))
        return (
            f"The runs differ first {when}, at {listed}; {ever} of {len(names)} nodes differ at some time, and "
            f"{last or 'none'} in the last state that is compared. {ends}"
        )

    def figure(self) -> go.Figure:
        """The first of the figures."""
        return next(iter(self.figures().values()))

    def figures(self) -> dict[str, go.Figure]:
        """Where every factor differs, and both runs; by name."""
        from interp.causal.run_difference_figure import run_difference_figure
        from interp.figures.trajectory import trajectory_figure
        from models.factors import FACTORS

        found = self.difference
        figures: dict[str, go.Figure] = {}
        if found is not None:
            for factor in ("value", *(name for name in FACTORS if name != "value")):
                figures[factor] = run_difference_figure(found, factor)
        for name, side in ((FIRST, self.first), (SECOND, self.second)):
            figures[name] = trajectory_figure(side.run)
        return figures


def study_compare(
    graph: ComputationGraph,
    model: str = "compiled",
    other: str | None = None,
    edit: str | None = None,
    other_edit: str | None = None,
    other_graph: str | None = None,
    other_nodes: int | None = None,
    other_seed: int | None = None,
    n_steps: int | None = None,
) -> Comparison:
    """Run both sides and compare them.

    graph, model, edit: of the first side. other: model of the second; other_graph: its equations; other_nodes,
    other_seed: of a graph that is sampled for it, with as many nodes as the first, and of seed 0, unless said
    otherwise. edits: as `analyses.edits` has them. n_steps: of both runs; default: until they settle.

    Raises:
        InputError: a model, graph, edit or number that cannot be used.
    """
    from models.recurrent import RecurrentTransformer

    if other_graph is not None and (other_nodes, other_seed) != (None, None):
        raise InputError(
            "A second graph was given and is to be sampled, too: give its text, or nodes and seed."
        )
    sides: list[Side] = []
    for name, text in ((model, edit), (model if other is None else other, other_edit)):
        loaded = load_model(name)
        if not isinstance(loaded, RecurrentTransformer) or loaded.cfg.writes_text:
            raise InputError(f"{name} has no states to compare: it writes its solution as text.")
        own = graph
        if sides and other_graph is not None:
            (own,) = GraphSource(text=other_graph).graphs(loaded)
        elif sides and (other_nodes, other_seed) != (None, None):
            size = len(graph) if other_nodes is None else other_nodes
            ops = tuple(graph.ops) or ("ADD",)
            (own,) = GraphSource(n_nodes=size, seed=other_seed or 0, ops=ops).graphs(loaded)
        check_fits(own, loaded)
        with bad_input():
            run = loaded.run(own, n_steps)
            if text:
                run = parse_edit(text).applied(loaded, run).whole()
        sides.append(Side(name, text or "", run))
    return Comparison(*sides)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("compare")
