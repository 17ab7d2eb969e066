"""Six methods at one equal budget: does the paper's order hold for our models?

Rows are the bundled checkpoints trained on ADD for `BUDGET` minutes of processor time, one of each method; what they
score comes from the `evaluation.json` beside each. For every pair of methods that differ in the paper at a size (its
figure gives no intervals, so any difference counts), the order *holds* where the better one's 95 % Wilson interval
lies above the other's, is *reversed* where it lies below, and is *open* where the two overlap.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interp.figures.generalisation import Curve
from models.loading import ZOO

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

BUDGET = 20.0
"""Minutes of processor time on one thread (`recurlens train --clock processor`), the same for each method."""
SIZES = (8, 32, 64, 128)
NODES_AT = 32
"""Size at which the table also gives the fraction of nodes that are right."""

Verdict = Literal["holds", "reversed", "open"]


@dataclass(frozen=True)
class Score:
    """Fraction of graphs of one size fully solved by one of our models, its 95 % interval, and the paper's value."""

    method: str
    n_nodes: int
    graphs: int
    fully_solved: float
    low: float
    high: float
    node_accuracy: float
    paper: float


@dataclass(frozen=True)
class Comparison:
    """Two methods at one size: `upper` is the better one in the paper; `verdict` says what our intervals say."""

    n_nodes: int
    upper: str
    lower: str
    verdict: Verdict


@dataclass(frozen=True)
class Ablation:
    """The table: `scores` method by method in the paper's order, each in order of size."""

    scores: tuple[Score, ...]

    @property
    def methods(self) -> list[str]:
        """Methods in the table, the paper's best first."""
        return list(dict.fromkeys(score.method for score in self.scores))

    def at(self, n_nodes: int) -> dict[str, Score]:
        """Method -> its score at one size."""
        return {score.method: score for score in self.scores if score.n_nodes == n_nodes}

    def comparisons(self, n_nodes: int) -> list[Comparison]:
        """Every pair of methods that differ in the paper at this size."""
        return [
            Comparison(n_nodes, upper.method, lower.method, _verdict(upper, lower))
            for upper, lower in permutations(self.at(n_nodes).values(), 2)
            if upper.paper > lower.paper
        ]

    def sentence(self, n_nodes: int) -> str:
        """Whether the paper's order holds at this size, and for which pairs."""
        pairs = self.comparisons(n_nodes)
        by_verdict = {
            verdict: [f"{pair.upper} over {pair.lower}" for pair in pairs if pair.verdict == verdict]
            for verdict in ("holds", "reversed", "open")
        }
        reversed_ones, open_ones = by_verdict["reversed"], by_verdict["open"]
        state = "does not hold" if reversed_ones else "is not decided" if open_ones else "holds"
        counts = [
            f"{len(by_verdict['holds'])} of {len(pairs)} pairs hold{_listed(by_verdict['holds'])}",
            *([f"{len(reversed_ones)} reversed{_listed(reversed_ones)}"] if reversed_ones else []),
            *([f"{len(open_ones)} open"] if open_ones else []),
        ]
        return f"{n_nodes} nodes: the paper's order {state}; {', '.join(counts)}."

    def sentences(self) -> list[str]:
        """`sentence` for every size."""
        return [self.sentence(n_nodes) for n_nodes in SIZES]

    def to_frame(self) -> pd.DataFrame:
        """A tidy table, a row for each method and size: the fields of `Score`."""
        import pandas as pd

        return pd.DataFrame([asdict(score) for score in self.scores])

    def wide(self) -> pd.DataFrame:
        """The table as text, a row for each method: ours with its interval, and the paper's, size by size."""
        import pandas as pd

        records: list[dict[str, str]] = []
        for method in self.methods:
            record = {"method": method, f"nodes right at {NODES_AT}": ""}
            for n_nodes in SIZES:
                score = self.at(n_nodes)[method]
                record[f"{n_nodes} nodes"] = (
                    f"{score.fully_solved:.1%} ({100 * score.low:.1f} to {100 * score.high:.1f})"
                )
                record[f"paper, {n_nodes}"] = f"{score.paper:.1%}"
                if n_nodes == NODES_AT:
                    record[f"nodes right at {NODES_AT}"] = f"{score.node_accuracy:.1%}"
            records.append(record)
        return pd.DataFrame.from_records(records)

    def table(self) -> Table:
        """`wide` as a rich table."""
        from rich.table import Table

        frame = self.wide()
        table = Table(title=f"Graphs fully solved, {BUDGET:g} minutes each", title_justify="left")
        for column in frame.columns:
            table.add_column(column, justify="left" if column == "method" else "right")
        for row in frame.itertuples(index=False):
            table.add_row(*row)
        return table


def equal_budget(paper: Sequence[Curve], zoo: Path = ZOO) -> Ablation:
    """The models of `zoo` with the equal budget beside the paper's curves; methods without one are left out."""
    trained = {method: folder for folder in sorted(zoo.iterdir()) if (method := _method(folder)) is not None}
    ranked = sorted(paper, key=lambda curve: [-_at(curve, n_nodes) for n_nodes in reversed(SIZES)])
    scores: list[Score] = []
    for curve in ranked:
        if curve.method not in trained:
            continue
        evaluation = json.loads((trained[curve.method] / "evaluation.json").read_text())
        measured = {size["n_nodes"]: size for size in evaluation["sizes"]}
        for n_nodes in SIZES:
            size = measured[n_nodes]
            scores.append(
                Score(
                    method=curve.method,
                    n_nodes=n_nodes,
                    graphs=size["graphs"],
                    fully_solved=size["fully_solved"],
                    low=size["fully_solved_low"],
                    high=size["fully_solved_high"],
                    node_accuracy=size["node_accuracy"],
                    paper=_at(curve, n_nodes),
                )
            )
    return Ablation(tuple(scores))


def _method(folder: Path) -> str | None:
    """The method of a checkpoint that was evaluated and has the equal budget on ADD, else None."""
    if not (folder / "evaluation.json").is_file() or not (folder / "training.json").is_file():
        return None
    settings = json.loads((folder / "training.json").read_text())["training"]
    same = (
        settings["minutes"] == BUDGET and settings.get("clock") == "processor" and settings["ops"] == ["ADD"]
    )
    return settings["method"] if same else None


def _at(curve: Curve, n_nodes: int) -> float:
    return curve.fully_solved[list(curve.n_nodes).index(n_nodes)]


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _verdict(upper: Score, lower: Score) -> Verdict:
    if upper.low > lower.high:
        return "holds"
    return "reversed" if upper.high < lower.low else "open"
