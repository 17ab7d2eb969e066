"""Accuracy by graph size: how many graphs a model solves fully, and how many nodes it gets right.

A graph is fully solved when every node shows its true value at the end of the run; node accuracy counts nodes, over
all graphs of a size. Both are against the symbolic oracle (Altabaa et al. 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analyses.inputs import PAPER_LEAVES, PAPER_OPERANDS, bad_input, load_model, n_tokens, sample_graph
from analyses.tables import table_of_rows
from interp.statistics.shares import wilson_interval
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from analyses.correction import Correction
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

BATCH = 64
"""Graphs of one `model.run`, which itself bounds the memory of a step."""


@one_line
@dataclass(frozen=True)
class SizeResult:
    """The graphs of one size.

    `graphs`: how many; `fully_solved`: fraction of graphs, with its 95 % Wilson interval `fully_solved_low`,
    `fully_solved_high`; `node_accuracy`: fraction of their nodes; `solved_by_step`: fraction of graphs whose nodes all
    show their true values after step 0, 1, ..., up to the last step any graph of the size took; `best_step`: the first
    step at which most are, and `solved_best` that fraction; `solved_at_depth`: fraction of graphs that are right
    after as many steps as the graph has levels, when a perfect model is done (None for methods that fix the number of
    steps or write text);
    `mean_steps`, `max_steps`: steps that changed the state, over graphs; the bound on steps where it never came to
    rest, which is so for `unsettled` graphs; where the method fixes the number of steps (`recurrent`, `feedforward`)
    that number. A step of a `chain-of-thought` model is one equation written out with its value, up to its first
    mistake (`models.solving`), so its `node_accuracy` counts the nodes before that. `mean_levels`: 1 + the depth of the
    deepest node, over graphs, which is the number of steps a model needs that computes one level of the graph in each.
    """

    n_nodes: int
    graphs: int
    fully_solved: float
    fully_solved_low: float
    fully_solved_high: float
    node_accuracy: float
    solved_by_step: tuple[float, ...]
    solved_at_depth: float | None
    best_step: int
    solved_best: float
    mean_steps: float
    max_steps: int
    mean_levels: float
    unsettled: int


@one_line
@dataclass(frozen=True)
class Evaluation:
    """Accuracy of one model by size, in ascending `n_nodes`; the fractions of the whole weigh every graph (or node)
    the same."""

    model: str
    sizes: tuple[SizeResult, ...]

    @property
    def graphs(self) -> int:
        """How many graphs were run."""
        return sum(size.graphs for size in self.sizes)

    @property
    def fully_solved(self) -> float:
        """Fraction of all graphs."""
        return sum(size.fully_solved * size.graphs for size in self.sizes) / self.graphs

    @property
    def node_accuracy(self) -> float:
        """Fraction of all nodes."""
        nodes = [size.graphs * size.n_nodes for size in self.sizes]
        right = [size.node_accuracy * count for size, count in zip(self.sizes, nodes, strict=True)]
        return sum(right) / sum(nodes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "graphs": self.graphs,
            "fully_solved": self.fully_solved,
            "node_accuracy": self.node_accuracy,
            "sizes": list(self.rows()),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record per size, the fields of `SizeResult`."""
        for size in self.sizes:
            yield asdict(size)

    def to_frame(self) -> pd.DataFrame:
        """`rows` as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows()))

    def verdict(self) -> str:
        """One sentence: how many graphs match the symbolic oracle."""
        solved = sum(round(size.fully_solved * size.graphs) for size in self.sizes)
        return f"{solved} of {self.graphs} graphs fully solved ({self.node_accuracy:.2%} of the nodes)."

    def table(self) -> Table:
        """A rich table, a row for each size."""
        header = "nodes | graphs | fully solved | 95 % interval | node accuracy | at depth + 1 | best step"
        header += " | mean steps | max steps | mean levels"
        cells = "{n_nodes} | {graphs} | {fully_solved:.1%} | {fully_solved_low:.1%} - {fully_solved_high:.1%}"
        cells += " | {node_accuracy:.2%} | {solved_at_depth:.1%} | {solved_best:.1%} ({best_step})"
        cells += " | {mean_steps:.1f} | {max_steps}{note} | {mean_levels:.1f}"
        rows = (
            row | {"note": f" ({row['unsettled']} unsettled)" if row["unsettled"] else ""}
            for row in self.rows()
        )
        return table_of_rows(self.model, header, cells, rows)


def sample_sizes(
    model: RecurrentTransformer,
    sizes: Sequence[int],
    graphs: int,
    ops: Sequence[str],
    seed: int,
    leaves: int = PAPER_LEAVES,
    max_operands: int = PAPER_OPERANDS,
) -> list[ComputationGraph]:
    """`graphs` graphs of every size; graph i of a size depends on (seed, size, i) alone, not on the other sizes.

    `leaves`, `max_operands`: of each graph; the paper's, unless given.
    """
    import numpy as np

    return [
        sample_graph(
            model,
            n_nodes,
            ops,
            int(np.random.SeedSequence([seed, n_nodes, i]).generate_state(1)[0]),
            leaves,
            max_operands,
        )
        for n_nodes in sizes
        for i in range(graphs)
    ]


def batches(graphs: Sequence[ComputationGraph]) -> Iterator[list[int]]:
    """Indices of `graphs` in batches of at most BATCH, of one size and of similar length, so that little is padding.

    One size, because the bound on the steps of a run is that of the largest graph in it.
    """
    order = sorted(range(len(graphs)), key=lambda i: (len(graphs[i]), n_tokens(graphs[i])))
    for _, group in groupby(order, key=lambda i: len(graphs[i])):
        indices = list(group)
        for start in range(0, len(indices), BATCH):
            yield indices[start : start + BATCH]


def evaluate(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    n_steps: int | None = None,
    name: str = "",
) -> Evaluation:
    """Run `model` on `graphs` and count what it solves, by size.

    `n_steps`: steps of every run; None solves each graph as the model's method does (`models.solving`). `name` labels
    the result. Raises ValueError for an empty list.
    """
    from models.solving import fixed_steps, solve

    if not graphs:
        raise ValueError("There is nothing to evaluate: the list of graphs is empty.")
    fixed = n_steps is None and fixed_steps(model.cfg) is not None
    outcomes: dict[int, list[_Outcome]] = {}
    for batch in batches(graphs):
        run = solve(model, [graphs[index] for index in batch], n_steps)
        right = run.solved.sum(-1).tolist()
        wrong = ~(run.right[1:] | (run.encoded.rhs < 0)).all(-1)
        for row, index in enumerate(batch):
            settled = not fixed and int(run.fixed_point[row]) >= 0
            outcome = _Outcome(
                right=right[row],
                solved=tuple((~wrong[:, row]).tolist()),
                steps=int(run.fixed_point[row]) + 1 if settled else run.bound,
                levels=max(graphs[index].depths_by_node) + 1,
                unsettled=not fixed and not settled,
            )
            outcomes.setdefault(len(graphs[index]), []).append(outcome)
    by_level = not fixed and not model.cfg.writes_text and fixed_steps(model.cfg) is None
    sizes = tuple(_summary(n_nodes, outcomes[n_nodes], by_level) for n_nodes in sorted(outcomes))
    return Evaluation(model=name, sizes=sizes)


def study_evaluation(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    corrupt: float | None = None,
    at_step: int | None = None,
    n_steps: int | None = None,
    seed: int = 0,
) -> Evaluation | Correction:
    """`evaluate` with the model of a name or path, or with `corrupt` `analyses.correction.measure_correction`.

    Raises InputError for graphs, a share or steps that cannot be used.
    """
    loaded = load_model(model)
    with bad_input():
        if corrupt is None:
            return evaluate(loaded, graphs, n_steps, model)
        from analyses.correction import measure_correction

        return measure_correction(loaded, graphs, corrupt, at_step, seed, model)


@dataclass(frozen=True)
class _Outcome:
    right: int
    solved: tuple[bool, ...]
    steps: int
    levels: int
    unsettled: bool


def _summary(n_nodes: int, outcomes: Sequence[_Outcome], by_level: bool) -> SizeResult:
    count = len(outcomes)
    solved = sum(outcome.right == n_nodes for outcome in outcomes)
    low, high = wilson_interval(solved, count)
    longest = max(len(outcome.solved) for outcome in outcomes)
    # A run that ended earlier had settled, so its last state stands for all later ones.
    curves = [outcome.solved + outcome.solved[-1:] * (longest - len(outcome.solved)) for outcome in outcomes]
    by_step = tuple(sum(step) / count for step in zip(*curves, strict=True))
    on_time = sum(outcome.solved[min(outcome.levels, len(outcome.solved)) - 1] for outcome in outcomes)
    best = max(by_step)
    return SizeResult(
        n_nodes=n_nodes,
        graphs=count,
        fully_solved=solved / count,
        fully_solved_low=low,
        fully_solved_high=high,
        node_accuracy=sum(outcome.right for outcome in outcomes) / (count * n_nodes),
        solved_by_step=by_step,
        solved_at_depth=on_time / count if by_level else None,
        best_step=by_step.index(best),
        solved_best=best,
        mean_steps=sum(outcome.steps for outcome in outcomes) / count,
        max_steps=max(outcome.steps for outcome in outcomes),
        mean_levels=sum(outcome.levels for outcome in outcomes) / count,
        unsettled=sum(outcome.unsettled for outcome in outcomes),
    )
