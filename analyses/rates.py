"""Three learning rates for every method, on the miniature track: does the order rest on the rates?

    python -m analyses.rates [--runs runs/rates]
    python -m analyses.rates --train runs/rates [--minutes 6] [--resume]

The rates of the presets come from single pilots. Here every method is trained at half of its rate, at it and at twice
it, from the same first stages (which keep their own rate), one seed, the same minutes; everything else is that of
`--preset mini` (`analyses.mini_track`). The order is asked of all choices: a pair holds where the better method of the
paper solves more at its worst rate than the other at its best.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyses.export import writing
from analyses.inputs import InputError
from analyses.mini_track import (
    EVALUATION,
    MINI_SIZES,
    TEST_GRAPHS,
    TEST_SIZES,
    TRAINED_UP_TO,
    Run,
    finished_run,
    pairs_by_verdict,
    paper_at,
    run_from,
    train_run,
)
from analyses.options import run_alone, wide_console
from analyses.tables import table_of_fields
from analyses.terminal import reports_bad_input
from models.files import write_text
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

BUNDLED = Path(__file__).parent / "data" / "mini_rates.json"
FACTORS = (0.5, 1.0, 2.0)
"""Of the preset's rate of a method."""
SEED = 0


@dataclass(frozen=True)
class Pilot:
    """A finished run at `factor` times the preset's rate, which makes `learning_rate`."""

    factor: float
    learning_rate: float
    run: Run

    def solved(self, n_nodes: int) -> float:
        """Fraction of graphs of one size fully solved at the best step."""
        return self.run.solved_best[self.run.n_nodes.index(n_nodes)]


@one_line
@dataclass(frozen=True)
class Rates:
    """All finished runs."""

    pilots: tuple[Pilot, ...]

    @property
    def methods(self) -> list[str]:
        """Methods with a run, in the paper's order."""
        from models.training.presets import METHODS

        known = {pilot.run.method for pilot in self.pilots}
        return [method for method in reversed(METHODS) if method in known]

    def of(self, method: str) -> list[Pilot]:
        """A method's runs, slowest first."""
        found = (pilot for pilot in self.pilots if pilot.run.method == method)
        return sorted(found, key=lambda pilot: pilot.learning_rate)

    def best(self, method: str, n_nodes: int) -> Pilot:
        """The run of a method that solves most at one size; of several the slowest."""
        return max(self.of(method), key=lambda pilot: pilot.solved(n_nodes))

    def order(self, n_nodes: int, paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
        """Pairs (better in the paper, worse in the paper, verdict) at one size, over all choices of a rate each.

        paper: method -> fraction fully solved in the paper.
        """
        scores = {
            method: [pilot.solved(n_nodes) for pilot in self.of(method)]
            for method in self.methods
            if method in paper
        }
        return pairs_by_verdict(scores, paper)

    def sentence(self, n_nodes: int, paper: Mapping[str, float]) -> str:
        """How many of the paper's pairs hold whatever the rates."""
        pairs = self.order(n_nodes, paper)
        held = sum(verdict == "holds" for _, _, verdict in pairs)
        rest = [f"{upper} over {lower} {verdict}" for upper, lower, verdict in pairs if verdict != "holds"]
        named = f" ({', '.join(rest)})" if rest else ""
        return (
            f"{n_nodes} nodes: {held} of {len(pairs)} pairs hold at every choice of a rate for each{named}."
        )

    def choice(self, n_nodes: int) -> str:
        """Which rate solves most at one size, method by method."""
        best = [(method, self.best(method, n_nodes)) for method in self.methods]
        named = ", ".join(f"{method} {one.learning_rate:g} (x{one.factor:g})" for method, one in best)
        return f"Most graphs of {n_nodes} nodes are solved with: {named}."

    def to_frame(self) -> pd.DataFrame:
        """A row for each run and size: method, factor, learning_rate, n_nodes, solved (at the best step), settled."""
        import pandas as pd

        return pd.DataFrame.from_records(
            [
                {
                    "method": method,
                    "factor": pilot.factor,
                    "learning_rate": pilot.learning_rate,
                    "n_nodes": n_nodes,
                    "solved": pilot.solved(n_nodes),
                    "settled": settled,
                }
                for method in self.methods
                for pilot in self.of(method)
                for n_nodes, settled in zip(pilot.run.n_nodes, pilot.run.fully_solved, strict=True)
            ]
        )

    def wide(self) -> pd.DataFrame:
        """The table as text, a row for each run."""
        import pandas as pd

        sizes = [size for size in MINI_SIZES if all(size in pilot.run.n_nodes for pilot in self.pilots)]
        return pd.DataFrame.from_records(
            [
                {"method": method, "rate": f"{pilot.learning_rate:g}"}
                | {f"{size} nodes": f"{pilot.solved(size):.1%}" for size in sizes}
                for method in self.methods
                for pilot in self.of(method)
            ]
        )

    def table(self) -> Table:
        """`wide` as a rich table."""
        title = "Graphs fully solved at the best step, by learning rate (one seed)"
        return table_of_fields(title, self.wide().to_dict("records"), ("method",))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"pilots": [asdict(pilot) for pilot in self.pilots]}


def train_rates(
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    quiet: bool = False,
    methods: tuple[str, ...] | None = None,
    sizes: tuple[int, ...] = TEST_SIZES,
    graphs: int = TEST_GRAPHS,
) -> Path:
    """Train and evaluate every method at every rate that is not finished, after the first stages; returns `out`.

    Raises InputError as `analyses.train.train` does.
    """
    from models.training.mini import BEFORE, MINUTES, STAGES
    from models.training.presets import METHODS, training_config

    budget = minutes or MINUTES
    wanted = methods or METHODS
    first = {stage for method in wanted for stage in BEFORE.get(method, ())}
    for stage in (stage for stage in STAGES if stage in first):
        train_run(out, f"{stage}-{SEED}", stage, SEED, budget, resume, quiet, clock="processor")
    for method in wanted:
        rate = training_config(method, "mini").learning_rate
        for factor in FACTORS:
            train_run(
                out,
                f"{method}-x{factor:g}",
                method,
                SEED,
                budget,
                resume,
                quiet,
                sizes,
                graphs,
                clock="processor",
                learning_rate=factor * rate,
            )
    return out


def read_rates(folder: Path | None = None) -> Rates:
    """The finished runs below a folder, or those whose results are bundled.

    Raises InputError where there are none.
    """
    if folder is None:
        data = json.loads(BUNDLED.read_text())
        return Rates(
            tuple(
                Pilot(record["factor"], record["learning_rate"], run_from(record["run"]))
                for record in data["pilots"]
            )
        )
    found = tuple(_pilot(path.parent) for path in sorted(folder.glob(f"*-x*/{EVALUATION}")))
    if not found:
        raise InputError(
            f"{folder} holds no finished run: train with `python -m analyses.rates --train {folder}`."
        )
    return Rates(found)


def _pilot(folder: Path) -> Pilot:
    from models.training.presets import training_config

    rate = json.loads((folder / "training.json").read_text())["training"]["learning_rate"]
    run = finished_run(folder)
    return Pilot(rate / training_config(run.method, "mini").learning_rate, rate, run)


@reports_bad_input
def main(
    train: Annotated[Path | None, typer.Option(help="Train the runs in this folder first.")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of finished runs (default: the bundled results).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="With --train: of each method, stages included.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="With --train: go on with what is not finished.")] = False,
    threads: Annotated[int, typer.Option(help="With --train: of torch.")] = 1,
    quiet: Annotated[bool, typer.Option(help="With --train: no progress.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the results as JSON here.")] = None,
) -> None:
    """Print the table of rates and what of the paper's order rests on them."""
    from analyses.generalisation import paper_curves

    if train is not None:
        import torch

        torch.set_num_threads(threads)
        runs = train_rates(train, minutes, resume, quiet)
    found, paper = read_rates(runs), paper_curves()
    wide_console().print(found.table())
    typer.echo(found.choice(TRAINED_UP_TO))
    for n_nodes in MINI_SIZES:
        typer.echo(found.sentence(n_nodes, paper_at(n_nodes, paper)))
    if out is not None:
        with writing():
            write_text(out, json.dumps(found.to_dict(), indent=2) + "\n")


if __name__ == "__main__":
    run_alone(main)
