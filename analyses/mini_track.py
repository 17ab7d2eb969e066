"""The miniature track: six methods, three seeds each, trained from scratch and tested by one command in an evening.

    recurlens train --preset mini [--out runs/mini] [--minutes 8] [--resume]
    python -m analyses.generalisation --track mini [--runs runs/mini]

Each seed has first stages of its own (`models.training.mini.STAGES`), from whose weights its methods begin; their
minutes are counted in. A finished run is evaluated at once, and its `evaluation.json` says that it is finished:
`--resume` goes on with what is not. Sizes beyond 16 nodes are out of distribution. (The task and the models:
`models.training.mini`.)
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.export import writing
from analyses.inputs import InputError
from analyses.tables import table_of
from models.files import write_text
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

EVALUATION = "evaluation.json"
BUNDLED = Path(__file__).parent / "data" / "mini_track.json"
"""Results of the runs that README reports."""
SEEDS = (0, 1, 2)
TEST_SIZES = tuple(range(8, 65, 8))
TEST_GRAPHS, TEST_SEED = 256, 1000


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
        """Fraction fully solved at one size, a number for each seed."""
        return [
            run.fully_solved[run.n_nodes.index(n_nodes)]
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

    def order(self, n_nodes: int, paper: Sequence[str]) -> list[tuple[str, str, str]]:
        """Pairs (better in the paper, worse in the paper, verdict) at one size.

        `paper`: methods, best first. A pair holds where every seed of the better one solves more than every seed of the
        other, is reversed where every seed solves less, and is open otherwise.
        """
        known = [method for method in paper if self.scores(method, n_nodes)]
        return [
            (upper, lower, _verdict(self.scores(upper, n_nodes), self.scores(lower, n_nodes)))
            for index, upper in enumerate(known)
            for lower in known[index + 1 :]
        ]

    def sentence(self, n_nodes: int, paper: Sequence[str]) -> str:
        """How many of the paper's pairs hold at one size."""
        pairs = self.order(n_nodes, paper)
        counts = {
            verdict: [f"{upper} over {lower}" for upper, lower, found in pairs if found == verdict]
            for verdict in ("holds", "reversed", "open")
        }
        named = f" ({', '.join(counts['reversed'])})" if counts["reversed"] else ""
        return (
            f"{n_nodes} nodes: {len(counts['holds'])} of {len(pairs)} of the paper's pairs hold for all seeds, "
            f"{len(counts['reversed'])} reversed{named}, {len(counts['open'])} open."
        )

    def table(self, sizes: Sequence[int]) -> Table:
        """A rich table: mean over seeds, with the lowest and the highest."""
        columns = ("method", "seeds", *(f"{n_nodes} nodes" for n_nodes in sizes))
        table = table_of("Graphs fully solved, mean over seeds (lowest to highest)", columns, ("method",))
        cells = {(cell.method, cell.n_nodes): cell for cell in self.cells()}
        for method in self.methods:
            shown = [cells.get((method, n_nodes)) for n_nodes in sizes]
            table.add_row(
                method,
                str(max((cell.seeds for cell in shown if cell), default=0)),
                *(f"{c.mean:.1%} ({c.lowest:.1%} to {c.highest:.1%})" if c else "" for c in shown),
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"runs": [asdict(run) for run in self.runs]}


def read_track(folder: Path | None = None) -> Track:
    """The finished runs below a folder, or those whose results are bundled.

    Raises InputError where there are none.
    """
    if folder is None:
        data = json.loads(BUNDLED.read_text())
        return Track(tuple(_run(record) for record in data["runs"]))
    found = tuple(_finished(path.parent) for path in sorted(folder.glob(f"*/{EVALUATION}")))
    if not found:
        raise InputError(
            f"{folder} holds no finished run: train with `recurlens train --preset mini --out {folder}`."
        )
    return Track(found)


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
    from analyses.train import train
    from models.training.mini import BEFORE, MINUTES, STAGES
    from models.training.presets import METHODS
    from models.training.trainer import CHECKPOINT

    budget = minutes or MINUTES
    settings: dict[str, Any] = {"clock": "processor", **changes}
    for seed in seeds:
        wanted = tuple(methods or METHODS)
        first = {stage for method in wanted for stage in BEFORE.get(method, ())}
        for method in (*(stage for stage in STAGES if stage in first), *wanted):
            folder = out / f"{method}-{seed}"
            if resume and (folder / EVALUATION).exists():
                continue
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
    return out


def _evaluate(folder: Path, sizes: Sequence[int], graphs: int) -> None:
    from analyses.evaluate import evaluate, sample_sizes
    from models.loading import load
    from models.training.mini import LEAVES, MAX_OPERANDS

    model = load(folder)
    drawn = sample_sizes(model, sizes, graphs, ("ADD",), TEST_SEED, LEAVES, MAX_OPERANDS)
    result = evaluate(model, drawn, name=folder.name)
    with writing():
        write_text(folder / EVALUATION, json.dumps(result.to_dict(), indent=2) + "\n")


def _finished(folder: Path) -> Run:
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


def _run(record: dict[str, Any]) -> Run:
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


def _verdict(upper: list[float], lower: list[float]) -> str:
    if min(upper) > max(lower):
        return "holds"
    return "reversed" if max(upper) < min(lower) else "open"
