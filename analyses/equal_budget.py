"""The paper's methods side by side: does its order hold for our models?

Rows are bundled checkpoints trained on ADD with budgets of processor time, from seed 0 and the preset's initialisation,
one of each method: that with the longest budget.
Minutes count the first stage that a method begins with. What they score comes from the `evaluation.json` beside each,
at the step at which most graphs of a size are right, which does most for a model that loses what it had
(`continuous`); what is left when a run has settled stands beside it.

A method *fits* if it solves at least `FITS` of the graphs of `FIT_AT` nodes, a size in its training; one that does not
says nothing about generalisation. A model that learned to correct from the paper's corruption (5 % of batches, half of
their new values) instead of random states has a row of its own, `CORRUPTION`, beside the same curve of the paper; it is
no seventh method, so no pair. For every pair of methods that fit and differ in the paper at a size (its figure
gives no intervals, so any difference counts), the order *holds* where the better one's 95 % Wilson interval lies above
the other's, is *reversed* where it lies below, and is *open* where the two overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses.tables import table_of_fields
from interp.figures.generalisation import Curve
from interp.statistics.shares import wilson_interval
from models.loading import ZOO
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

MOST_MINUTES = 140.0
"""Of processor time on one thread (`recurlens train --clock processor`), all stages that a method begins with counted
in: models that were trained for longer are left out."""
FITS, FIT_AT = 0.95, 8
SIZES = (8, 32, 64, 128)
NODES_AT = 32
"""Size at which the table also gives the fraction of nodes that are right."""

CORRUPTION = "paper's corruption"
"""The row of `discrete-corrected` trained with `--supervision paper`."""

Verdict = Literal["holds", "reversed", "open"]


@dataclass(frozen=True)
class Score:
    """Fraction of graphs of one size fully solved by one of our models, and the paper's value.

    solved: at the best step, with its 95 % interval `low`, `high`. settled, node_accuracy: graphs and nodes right when
    the run has come to rest.
    """

    method: str
    minutes: float
    n_nodes: int
    graphs: int
    solved: float
    low: float
    high: float
    settled: float
    node_accuracy: float
    paper: float


@one_line
@dataclass(frozen=True)
class Comparison:
    """Two methods at one size: `upper` is the better one in the paper; `verdict` says what our intervals say.

    longer: whether ours of `upper` was trained for more minutes than that of `lower`.
    """

    n_nodes: int
    upper: str
    lower: str
    verdict: Verdict
    longer: bool = False


@one_line
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

    @property
    def fitting(self) -> list[str]:
        """Methods that fit, the paper's best first."""
        return [method for method, score in self.at(FIT_AT).items() if score.solved >= FITS]

    def comparisons(self, n_nodes: int) -> list[Comparison]:
        """Every pair of methods that fit and differ in the paper at this size."""
        known = [
            score
            for method, score in self.at(n_nodes).items()
            if method in self.fitting and method != CORRUPTION
        ]
        return [
            Comparison(
                n_nodes, upper.method, lower.method, _verdict(upper, lower), upper.minutes > lower.minutes
            )
            for upper, lower in permutations(known, 2)
            if upper.paper > lower.paper
        ]

    def fit(self) -> str:
        """Which methods fit, and how far the others are from it."""
        left_out = [
            f"{score.method} ({score.solved:.1%} after {score.minutes:g} minutes)"
            for score in self.at(FIT_AT).values()
            if score.method not in self.fitting
        ]
        others = f"; did not fit, and are not compared: {', '.join(left_out)}" if left_out else ""
        fitting = ", ".join(self.fitting) or "none"
        return f"Of graphs of {FIT_AT} nodes at least {FITS:.0%} are solved by {fitting}{others}."

    def sentence(self, n_nodes: int) -> str:
        """Whether the paper's order holds at this size, and for which pairs."""
        pairs = self.comparisons(n_nodes)
        if not pairs:
            return f"{n_nodes} nodes: no two methods that fit differ in the paper."
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
        longer = sum(pair.longer for pair in pairs if pair.verdict == "holds")
        if longer:
            counts.append(f"in {longer} of those that hold the better one was trained for more minutes")
        return f"{n_nodes} nodes: the paper's order {state}; {', '.join(counts)}."

    def sentences(self) -> list[str]:
        """`fit`, and `sentence` for every size."""
        return [self.fit(), *map(self.sentence, SIZES)]

    def to_frame(self) -> pd.DataFrame:
        """A tidy table, a row for each method and size: the fields of `Score`."""
        import pandas as pd

        return pd.DataFrame([asdict(score) for score in self.scores])

    def wide(self) -> pd.DataFrame:
        """The table as text, a row for each method: ours with its interval, and the paper's, size by size."""
        import pandas as pd

        records: list[dict[str, str]] = []
        for method in self.methods:
            scores = {n_nodes: self.at(n_nodes)[method] for n_nodes in SIZES}
            record = {
                "method": method,
                "minutes": f"{scores[NODES_AT].minutes:g}",
                f"nodes right at {NODES_AT}": f"{scores[NODES_AT].node_accuracy:.1%}",
            }
            for n_nodes, score in scores.items():
                settled = "" if score.settled == score.solved else f", settled {score.settled:.1%}"
                record[f"{n_nodes} nodes"] = (
                    f"{score.solved:.1%} ({100 * score.low:.1f} to {100 * score.high:.1f}){settled}"
                )
                record[f"paper, {n_nodes}"] = f"{score.paper:.1%}"
            records.append(record)
        return pd.DataFrame.from_records(records)

    def table(self) -> Table:
        """`wide` as a rich table."""
        rows = self.wide().to_dict("records")
        return table_of_fields("Graphs fully solved, at the best step", rows, ("method",))


def equal_budget(paper: Sequence[Curve], zoo: Path = ZOO) -> Ablation:
    """One model of `zoo` for each method beside the paper's curves; methods without one are left out."""
    trained = _longest(zoo)
    ranked = sorted(paper, key=lambda curve: [-_at(curve, n_nodes) for n_nodes in reversed(SIZES)])
    scores: list[Score] = []
    rows = [(curve.method, curve) for curve in ranked]
    rows[1:1] = [(CORRUPTION, curve) for curve in ranked if curve.method == "discrete-corrected"]
    for method, curve in rows:
        if method not in trained:
            continue
        minutes, folder = trained[method]
        evaluation = json.loads((folder / "evaluation.json").read_text())
        measured = {size["n_nodes"]: size for size in evaluation["sizes"]}
        for n_nodes in SIZES:
            size = measured[n_nodes]
            solved = best_share(size)
            low, high = wilson_interval(round(solved * size["graphs"]), size["graphs"])
            scores.append(
                Score(
                    method=method,
                    minutes=minutes,
                    n_nodes=n_nodes,
                    graphs=size["graphs"],
                    solved=solved,
                    low=low,
                    high=high,
                    settled=size["fully_solved"],
                    node_accuracy=size["node_accuracy"],
                    paper=_at(curve, n_nodes),
                )
            )
    return Ablation(tuple(scores))


def best_share(size: Mapping[str, Any]) -> float:
    """Of one size in an `evaluation.json`, the fraction of graphs solved at the step at which most are."""
    return max(size["fully_solved"], size.get("solved_best", 0.0))


def total_minutes(settings: Mapping[str, Any], zoo: Path = ZOO) -> float | None:
    """A run's budget in minutes with that of what it began with; None where it has none.

    settings: what `training.json` holds. What the run began with is a bundled checkpoint, or has its minutes in
    `minutes_before` (`analyses.bundle`).
    """
    training = settings["training"]
    minutes, start = training.get("minutes"), training.get("start")
    if minutes is None or not start:
        return minutes
    if "minutes_before" in settings:
        return minutes + settings["minutes_before"]
    before = zoo / start / "training.json"
    if not before.is_file():
        return minutes
    return minutes + (total_minutes(json.loads(before.read_text()), zoo) or 0.0)


def _longest(zoo: Path) -> dict[str, tuple[float, Path]]:
    """Row -> minutes and folder of the checkpoint that was evaluated and has the largest budget of processor time on
    ADD, up to `MOST_MINUTES`."""
    found: dict[str, tuple[float, Path]] = {}
    for folder in sorted(zoo.iterdir()):
        if not (folder / "evaluation.json").is_file() or not (folder / "training.json").is_file():
            continue
        settings = json.loads((folder / "training.json").read_text())
        training, minutes = settings["training"], total_minutes(settings, zoo)
        if minutes is None or training.get("clock") != "processor" or training["ops"] != ["ADD"]:
            continue
        if minutes > MOST_MINUTES or training["seed"] != 0 or not training["born_distances"]:
            continue
        row = CORRUPTION if training.get("supervision") == "paper" else training["method"]
        if minutes > found.get(row, (0.0, folder))[0]:
            found[row] = (minutes, folder)
    return found


def _at(curve: Curve, n_nodes: int) -> float:
    return curve.fully_solved[list(curve.n_nodes).index(n_nodes)]


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _verdict(upper: Score, lower: Score) -> Verdict:
    if upper.low > lower.high:
        return "holds"
    return "reversed" if upper.high < lower.low else "open"
