"""Watch a model solve graphs: the value every node shows after every step, beside the symbolic oracle.

Column t of a table is what step t wrote, so a model that computes one level of the graph a step solves a node of
depth d in column d. The state before step 0 has no column: there every value is still EMPTY.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import bad_input, load_model
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from models.graph import ComputationGraph
    from models.network import Network
    from models.trajectory import Trajectory

EMPTY = "EMPTY"
# Cells are marked by colour, and by a sign for readers of plain text.
_SIGNS = {"empty": "·", "solved": "✓", "wrong": "✗"}
_ASCII_SIGNS = {"empty": ".", "solved": "+", "wrong": "!"}
# Longer equations are folded before steps are moved to another table.
_EQUATION_WIDTH = 24


@one_line
@dataclass(frozen=True)
class Solution:
    """The run of `model` (its name) on some graphs, to be shown node by node.

    `n_steps`: the number of steps asked for, or that the method fixes; None where each run went on until its state
    stopped changing.
    """

    model: str
    run: Trajectory
    n_steps: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: `Trajectory.to_dict`, and the name of the model."""
        return {"model": self.model} | self.run.to_dict()

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record per graph, node and step: what the step wrote (None for EMPTY or N/A) and its probability."""
        for index, record in enumerate(self.run.to_dict()["graphs"]):
            for node in record["nodes"]:
                for step, value in enumerate(node["values"][1 : _n_columns(record, self.n_steps) + 1]):
                    yield {
                        "graph": index,
                        "node": node["name"],
                        "depth": node["depth"],
                        "step": step,
                        "value": int(value) if value.isdecimal() else None,
                        "true_value": node["true_value"],
                        "correct": value == str(node["true_value"]),
                        "confidence": node["confidence"][step],
                    }

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a tidy DataFrame; `value` is a nullable integer."""
        import pandas as pd

        return pd.DataFrame(list(self.rows())).astype({"value": "Int64"})

    def report(self, width: int, ascii_only: bool = False) -> Iterator[tuple[list[Table], str]]:
        """For each graph its tables (a row per node, a column per step) and its verdict in one sentence.

        The steps are spread over as many tables as it takes to keep them at most `width` characters wide.
        """
        for record in self.run.to_dict()["graphs"]:
            n_columns = _n_columns(record, self.n_steps)
            signs = _ASCII_SIGNS if ascii_only else _SIGNS
            pieces = _pieces(record, n_columns, width)
            yield [_table(record, steps, signs) for steps in pieces], _verdict(record)

    def verdict(self) -> str:
        """One sentence on whether the ends of the runs match the symbolic oracle."""
        records = self.run.to_dict()["graphs"]
        if len(records) == 1:
            return _verdict(records[0])
        solved = sum(record["fully_solved"] for record in records)
        return f"{solved} of {len(records)} graphs match the symbolic oracle."


def solve(
    model: Network,
    graphs: Sequence[ComputationGraph],
    n_steps: int | None = None,
    name: str = "",
) -> Solution:
    """Let `model`, labelled `name`, solve `graphs` as its method does (`models.solving`), or for `n_steps` steps."""
    from models import solving

    steps = solving.fixed_steps(model.cfg) if n_steps is None else n_steps
    return Solution(model=name, run=solving.solve(model, list(graphs), steps), n_steps=steps)


def study_solution(
    graphs: Sequence[ComputationGraph], model: str = "compiled", n_steps: int | None = None
) -> Solution:
    """`solve` with the model of a name or path. Raises InputError for graphs or steps that cannot be used."""
    loaded = load_model(model)
    with bad_input():
        return solve(loaded, graphs, n_steps, model)


def _n_columns(record: Mapping[str, Any], n_steps: int | None) -> int:
    """Steps worth showing: up to the graph's own fixed point, or all where a number of steps was asked for."""
    if n_steps is None and record["fixed_point"] >= 0:
        return record["fixed_point"] + 1
    return record["n_steps"]


def _verdict(record: Mapping[str, Any]) -> str:
    if record["fixed_point"] >= 0:
        end = f"and nothing changes after step {record['fixed_point']}"
    elif record["cycle"] > 1:
        end = f"and the state repeats every {record['cycle']} steps"
    else:
        steps = "1 step" if record["n_steps"] == 1 else f"{record['n_steps']} steps"
        end = f"after {steps}, with the state still changing"
    nodes = record["nodes"]
    wrong = [node for node in nodes if node["values"][-1] != str(node["true_value"])]
    if not wrong:
        return f"Matches the symbolic oracle: all {len(nodes)} nodes are right, {end}."
    shown = [f"{node['name']} is {node['values'][-1]}, should be {node['true_value']}" for node in wrong[:3]]
    examples = "; ".join([*shown, "..."] if len(wrong) > 3 else shown)
    return (
        f"Differs from the symbolic oracle: {len(wrong)} of {len(nodes)} nodes are wrong ({examples}), {end}."
    )


def _pieces(record: Mapping[str, Any], n_columns: int, width: int) -> list[range]:
    """The steps 0..n_columns-1 in runs that fit beside the other columns; every column has 2 spaces around it."""
    names = max(len("node"), *(len(node["name"]) for node in record["nodes"]))
    equations = max(len(node["equation"]) for node in record["nodes"])
    others = (names + 2) + (min(equations, _EQUATION_WIDTH) + 2) + len("depth  ") + len("step 10  ")
    per_table = max(1, (width - others - len("step 0")) // len("✓12  "))
    return [range(start, min(start + per_table, n_columns)) for start in range(0, n_columns, per_table)]


def _table(record: Mapping[str, Any], steps: range, signs: Mapping[str, str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    caption = f"{signs['solved']} solved at this step   {signs['wrong']} wrong   {signs['empty']} EMPTY"
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("node", no_wrap=True)
    table.add_column("equation", overflow="fold")
    table.add_column("depth", justify="right", no_wrap=True)
    for step in steps:
        table.add_column(f"step {step}" if step == steps.start else str(step), justify="right", no_wrap=True)
    table.add_column("solved", justify="right", no_wrap=True)
    for node in record["nodes"]:
        solved = Text("never", "bold red") if node["solved_at"] < 0 else Text(f"step {node['solved_at']}")
        cells = [_cell(node, step, signs) for step in steps]
        table.add_row(Text(node["name"]), Text(node["equation"]), str(node["depth"]), *cells, solved)
    return table


def _cell(node: Mapping[str, Any], step: int, signs: Mapping[str, str]) -> Any:
    """What `step` wrote for a node, as a rich Text."""
    from rich.text import Text

    value = node["values"][step + 1]
    if value == EMPTY:
        return Text(signs["empty"], "dim")
    if value != str(node["true_value"]):
        return Text(signs["wrong"] + value, "bold white on red")
    if step == node["solved_at"]:
        return Text(signs["solved"] + value, "bold green")
    return Text(value, "green")
