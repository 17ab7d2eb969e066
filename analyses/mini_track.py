"""The miniature track: six methods, three seeds each, trained from scratch and tested by one command in an evening.

    recurlens train --preset mini [--out runs/mini] [--minutes 6] [--resume]
    python -m analyses.generalisation --track mini [--runs runs/mini]

Each seed has first stages of its own (`models.training.mini.STAGES`), from whose weights its methods begin; their
minutes are counted in. A finished run is evaluated at once, and its `evaluation.json` says that it is finished:
`--resume` goes on with what is not. (The task and the models: `models.training.mini`.)

Training ends at 16 nodes here and at 32 in the paper, so that a size stands beside the paper's at twice as many nodes:
the same multiple of what training has shown. As in `analyses.equal_budget`, the fraction of graphs solved is that at
the step at which most are, and a pair of methods that are alike in the paper is no pair.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.export import writing
from analyses.inputs import InputError
from analyses.tables import table_of_fields
from models.files import write_text
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
    from rich.table import Table

    from interp.figures.generalisation import Curve

EVALUATION = "evaluation.json"
BUNDLED = Path(__file__).parent / "data" / "mini_track.json"
"""Results of the runs that README reports."""
SEEDS = (0, 1, 2)
TEST_SIZES = tuple(range(8, 65, 8))
TEST_GRAPHS, TEST_SEED = 256, 1000
TRAINED_UP_TO = 16
"""Nodes of the largest graphs in training."""
MINI_SIZES = (8, 16, 32, 64)
"""Sizes of the table."""
PAPER_NODES = 2
"""Nodes in the paper's graphs for one here."""


@one_line
@dataclass(frozen=True)
class Run:
    """One finished run: fractions of graphs fully solved by size (settled, and at the best step)."""

    method: str
    seed: int
    minutes: float
    n_nodes: tuple[int, ...]
    fully_solved: tuple[float, ...]
    solved_best: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """A method at a size over its seeds: mean, lowest, highest fraction fully solved, and the 95 % interval of the mean
    (Student's t over seeds; nan for one seed)."""

    method: str
    n_nodes: int
    seeds: int
    mean: float
    lowest: float
    highest: float
    low: float
    high: float


@one_line
@dataclass(frozen=True)
class Track:
    """All finished runs."""

    runs: tuple[Run, ...]

    @property
    def methods(self) -> list[str]:
        """Methods with a run, in the paper's order."""
        from models.training.presets import METHODS

        return [method for method in reversed(METHODS) if any(run.method == method for run in self.runs)]

    def scores(self, method: str, n_nodes: int) -> list[float]:
        """Fraction fully solved at the best step of one size, a number for each seed."""
        return [
            run.solved_best[run.n_nodes.index(n_nodes)]
            for run in self.runs
            if run.method == method and n_nodes in run.n_nodes
        ]

    def cells(self) -> list[Cell]:
        """The table, method by method."""
        return [
            _cell(method, n_nodes, self.scores(method, n_nodes))
            for method in self.methods
            for n_nodes in sorted({size for run in self.runs for size in run.n_nodes})
            if self.scores(method, n_nodes)
        ]

    def to_frame(self) -> pd.DataFrame:
        """`cells` as a tidy table."""
        import pandas as pd

        return pd.DataFrame([asdict(cell) for cell in self.cells()])

    def order(self, n_nodes: int, paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
        """Pairs (better in the paper, worse in the paper, verdict) at one size.

        `paper`: method -> fraction fully solved in the paper (`paper_at`). A pair holds where every seed of the better
        one solves more than every seed of the other, is reversed where every seed solves less, and is open otherwise.
        """
        scores = {method: self.scores(method, n_nodes) for method in paper}
        return pairs_by_verdict({method: found for method, found in scores.items() if found}, paper)

    def sentence(self, n_nodes: int, paper: Mapping[str, float]) -> str:
        """How many of the paper's pairs hold at one size."""
        pairs = self.order(n_nodes, paper)
        counts = {
            verdict: [f"{upper} over {lower}" for upper, lower, found in pairs if found == verdict]
            for verdict in ("holds", "reversed", "open")
        }
        named = {verdict: f" ({', '.join(found)})" if found else "" for verdict, found in counts.items()}
        return (
            f"{n_nodes} nodes: {len(counts['holds'])} of {len(pairs)} pairs that differ in the paper at "
            f"{PAPER_NODES * n_nodes} nodes hold for all seeds, {len(counts['reversed'])} reversed{named['reversed']}, "
            f"{len(counts['open'])} open{named['open']}."
        )

    def curves(self) -> list[Curve]:
        """A curve for each method: the mean over its seeds, from the lowest to the highest."""
        from interp.figures.generalisation import Curve

        found: list[Curve] = []
        for method in self.methods:
            cells = [cell for cell in self.cells() if cell.method == method]
            minutes = max(run.minutes for run in self.runs if run.method == method)
            found.append(
                Curve(
                    method,
                    f"{method}, {max(cell.seeds for cell in cells)} seeds",
                    [cell.n_nodes for cell in cells],
                    [cell.mean for cell in cells],
                    [cell.lowest for cell in cells],
                    [cell.highest for cell in cells],
                    minutes,
                )
            )
        return found

    def figure(self, paper: Sequence[Curve]) -> go.Figure:
        """`curves`, beside the paper's at the same multiple of the largest training size."""
        from interp.figures.generalisation import Curve, generalisation_figure

        most = max(size for run in self.runs for size in run.n_nodes)
        beside: list[Curve] = []
        for curve in paper:
            points = {
                size // PAPER_NODES: solved
                for size, solved in zip(curve.n_nodes, curve.fully_solved, strict=True)
                if size <= PAPER_NODES * most
            }
            beside.append(Curve(curve.method, curve.name, [*points], [*points.values()]))
        return generalisation_figure(self.curves(), beside, TRAINED_UP_TO)

    def wide(self, sizes: Sequence[int]) -> pd.DataFrame:
        """The table as text, a row for each method: mean over seeds, with the lowest and the highest, size by size."""
        import pandas as pd

        cells = {(cell.method, cell.n_nodes): cell for cell in self.cells()}
        records: list[dict[str, str]] = []
        for method in self.methods:
            shown = {n_nodes: cells.get((method, n_nodes)) for n_nodes in sizes}
            seeds = max((cell.seeds for cell in shown.values() if cell), default=0)
            record = {"method": method, "seeds": str(seeds)}
            for n_nodes, cell in shown.items():
                of_seeds = f"{cell.mean:.1%} ({cell.lowest:.1%} to {cell.highest:.1%})" if cell else ""
                record[f"{n_nodes} nodes"] = of_seeds
            records.append(record)
        return pd.DataFrame.from_records(records)

    def table(self, sizes: Sequence[int]) -> Table:
        """`wide` as a rich table."""
        title = "Graphs fully solved at the best step, mean over seeds (lowest to highest)"
        return table_of_fields(title, self.wide(sizes).to_dict("records"), ("method",))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"runs": [asdict(run) for run in self.runs]}


def read_track(folder: Path | None = None) -> Track:
    """The finished runs below a folder, or those whose results are bundled.

    Raises InputError where there are none.
    """
    if folder is None:
        data = json.loads(BUNDLED.read_text())
        return Track(tuple(run_from(record) for record in data["runs"]))
    found = tuple(finished_run(path.parent) for path in sorted(folder.glob(f"*/{EVALUATION}")))
    if not found:
        raise InputError(
            f"{folder} holds no finished run: train with `recurlens train --preset mini --out {folder}`."
        )
    return Track(found)


def paper_at(n_nodes: int, paper: Sequence[Curve]) -> dict[str, float]:
    """Method -> fraction of graphs fully solved in the paper at the same multiple of the largest training size."""
    size = PAPER_NODES * n_nodes
    return {
        curve.method: curve.fully_solved[list(curve.n_nodes).index(size)]
        for curve in paper
        if size in curve.n_nodes
    }


def train_track(
    out: Path,
    minutes: float | None = None,
    seeds: Sequence[int] = SEEDS,
    resume: bool = False,
    quiet: bool = False,
    methods: Sequence[str] | None = None,
    sizes: Sequence[int] = TEST_SIZES,
    graphs: int = TEST_GRAPHS,
    **changes: Any,
) -> Path:
    """Train and evaluate every method and seed that is not finished, one after the other; returns `out`.

    minutes: budget of each method, the stages before it counted in. changes: other fields of `TrainingConfig`.

    Raises InputError as `analyses.train.train` does.
    """
    from models.training.mini import BEFORE, MINUTES, STAGES
    from models.training.presets import METHODS

    budget = minutes or MINUTES
    settings: dict[str, Any] = {"clock": "processor", **changes}
    for seed in seeds:
        wanted = tuple(methods or METHODS)
        first = {stage for method in wanted for stage in BEFORE.get(method, ())}
        for method in (*(stage for stage in STAGES if stage in first), *wanted):
            train_run(out, f"{method}-{seed}", method, seed, budget, resume, quiet, sizes, graphs, **settings)
    return out


def train_run(
    out: Path,
    name: str,
    method: str,
    seed: int,
    budget: float,
    resume: bool = False,
    quiet: bool = False,
    sizes: Sequence[int] = TEST_SIZES,
    graphs: int = TEST_GRAPHS,
    **settings: Any,
) -> None:
    """Train one method or first stage in `out / name`, from the stage `out / <stage>-<seed>` before it, and evaluate it
    (a stage is not evaluated). budget: minutes of a method, its stages counted in."""
    from analyses.train import train
    from models.training.mini import BEFORE, STAGES
    from models.training.trainer import CHECKPOINT

    folder = out / name
    if resume and (folder / EVALUATION).exists():
        return
    stages = BEFORE.get(method, ())
    begun: dict[str, Any] = {"start": str(out / f"{stages[-1]}-{seed}")} if stages else {}
    train(
        method,
        "mini",
        minutes=budget * (STAGES.get(method) or 1 - sum(STAGES[stage] for stage in stages)),
        seed=seed,
        out=folder,
        resume=resume and (folder / CHECKPOINT).exists(),
        quiet=quiet,
        **settings,
        **begun,
    )
    if method not in STAGES:
        _evaluate(folder, sizes, graphs)


def _evaluate(folder: Path, sizes: Sequence[int], graphs: int) -> None:
    from analyses.evaluate import evaluate, sample_sizes
    from models.loading import load
    from models.training.mini import LEAVES, MAX_OPERANDS

    model = load(folder)
    drawn = sample_sizes(model, sizes, graphs, ("ADD",), TEST_SEED, LEAVES, MAX_OPERANDS)
    result = evaluate(model, drawn, name=folder.name)
    with writing():
        write_text(folder / EVALUATION, json.dumps(result.to_dict(), indent=2) + "\n")


def finished_run(folder: Path) -> Run:
    """What a finished run's files say; minutes of the stages before it, which lie beside it, are counted in."""
    training = json.loads((folder / "training.json").read_text())["training"]
    sizes = json.loads((folder / EVALUATION).read_text())["sizes"]
    return Run(
        method=training["method"],
        seed=training["seed"],
        minutes=training["minutes"] + _before(training, folder.parent),
        n_nodes=tuple(size["n_nodes"] for size in sizes),
        fully_solved=tuple(size["fully_solved"] for size in sizes),
        solved_best=tuple(size["solved_best"] for size in sizes),
    )


def _before(training: dict[str, Any], out: Path) -> float:
    """Minutes of the stages that a run began with."""
    if training.get("start") is None:
        return 0.0
    path = out / Path(training["start"]).name / "training.json"
    before = json.loads(path.read_text())["training"]
    return before["minutes"] + _before(before, out)


def run_from(record: dict[str, Any]) -> Run:
    """A run from plain JSON values."""
    sizes, solved, best = (tuple(record[name]) for name in ("n_nodes", "fully_solved", "solved_best"))
    return Run(record["method"], record["seed"], record["minutes"], sizes, solved, best)


def _cell(method: str, n_nodes: int, scores: list[float]) -> Cell:
    from scipy.stats import t

    mean = statistics.fmean(scores)
    half = math.nan
    if len(scores) > 1:
        half = float(t.ppf(0.975, len(scores) - 1)) * statistics.stdev(scores) / math.sqrt(len(scores))
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Cell(method, n_nodes, len(scores), mean, min(scores), max(scores), low, high)


def pairs_by_verdict(
    scores: Mapping[str, Sequence[float]], paper: Mapping[str, float]
) -> list[tuple[str, str, str]]:
    """Pairs (better in the paper, worse in the paper, verdict) of methods that differ there.

    scores: method -> what each of its runs solves. A pair holds where every run of the better method solves more than
    every run of the other, is reversed where every run solves less, and is open otherwise.
    """
    return [
        (upper, lower, _verdict(scores[upper], scores[lower]))
        for upper, lower in permutations(scores, 2)
        if paper[upper] > paper[lower]
    ]


def _verdict(upper: Sequence[float], lower: Sequence[float]) -> str:
    if min(upper) > max(lower):
        return "holds"
    return "reversed" if max(upper) < min(lower) else "open"
