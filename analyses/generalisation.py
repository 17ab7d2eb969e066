"""The paper's headline figure for our own models: fraction of graphs fully solved, by size.

    python -m analyses.generalisation [--out DIR]
    python -m analyses.generalisation --track mini [--runs DIR] [--out DIR]

Our curves come from the `evaluation.json` beside each bundled checkpoint, which `recurlens evaluate --json` wrote
(its card has the command); the paper's six from `analyses/data`. The two are never mixed in one curve. The table of
the ablation compares those of one model of each method that fit their training sizes (`analyses.equal_budget`).
`--track mini` compares the six methods on the small task instead, three seeds each (`analyses.mini_track`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyses.equal_budget import best_share, equal_budget, total_minutes
from analyses.export import Outputs, writing
from analyses.inputs import InputError
from analyses.options import run_alone, wide_console
from analyses.terminal import reports_bad_input
from interp.figures.generalisation import Curve, generalisation_figure
from interp.statistics.shares import wilson_interval
from models.files import write_text
from models.graph_errors import clip
from models.loading import ZOO

if TYPE_CHECKING:
    import pandas as pd

PAPER = Path(__file__).parent / "data" / "paper_ood_fully_solved.csv"
EVALUATION = "evaluation.json"


def paper_curves(path: Path = PAPER) -> list[Curve]:
    """The six curves of the paper's figure, in the file's order."""
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            points = rows.setdefault((row["method"], row["model"]), [])
            points.append((int(row["n_nodes"]), float(row["fully_solved"])))
    return [
        Curve(method, name, [n for n, _ in points], [y for _, y in points])
        for (method, name), points in rows.items()
    ]


def our_curves(zoo: Path = ZOO) -> list[Curve]:
    """One curve per bundled checkpoint that has been evaluated, in alphabetical order. First stages, which are to solve
    nothing, are left out.
    """
    from models.training.methods import TRAINING_METHODS

    stages = {name for name, method in TRAINING_METHODS.items() if method.stage}
    curves: list[Curve] = []
    for path in sorted(zoo.glob(f"*/{EVALUATION}")):
        settings = path.parent / "training.json"
        run = json.loads(settings.read_text()) if settings.is_file() else {"training": {}}
        if run["training"].get("method") not in stages:
            curves.append(evaluation_curve(path.parent.name, json.loads(path.read_text()), run))
    return curves


def solved_by_step(name: str, zoo: Path = ZOO) -> dict[int, list[float]]:
    """Nodes in the graph -> fraction of graphs fully solved after step 0, 1, ...; empty where nothing was measured."""
    path = zoo / name / EVALUATION
    if not path.is_file():
        return {}
    return {size["n_nodes"]: size["solved_by_step"] for size in json.loads(path.read_text())["sizes"]}


def evaluation_curve(name: str, evaluation: dict[str, Any], settings: dict[str, Any] | None = None) -> Curve:
    """The curve in what `recurlens evaluate --json` wrote, with method and budget from what `training.json` holds.

    A model of other operations than the paper's ADD is a method of its own. The fraction is that at the step at which
    most graphs of a size are solved.
    """
    settings = settings or {"training": {}}
    training = settings["training"]
    sizes = evaluation["sizes"]
    shares = [best_share(size) for size in sizes]
    bounds = [
        wilson_interval(round(share * size["graphs"]), size["graphs"])
        for share, size in zip(shares, sizes, strict=True)
    ]
    return Curve(
        method=training["method"] if training.get("ops") == ["ADD"] else name,
        name=name,
        minutes=total_minutes(settings),
        n_nodes=[size["n_nodes"] for size in sizes],
        fully_solved=shares,
        low=[low for low, _ in bounds],
        high=[high for _, high in bounds],
    )


def to_frame(ours: Sequence[Curve], paper: Sequence[Curve]) -> pd.DataFrame:
    """A tidy table: source ("ours" or "paper"), method, model, minutes, n_nodes, fully_solved, low, high (if known)."""
    import pandas as pd

    records: list[dict[str, Any]] = []
    for source, curves in (("ours", ours), ("paper", paper)):
        for curve in curves:
            for index, (n_nodes, solved) in enumerate(zip(curve.n_nodes, curve.fully_solved, strict=True)):
                records.append(
                    {
                        "source": source,
                        "method": curve.method,
                        "model": curve.name,
                        "minutes": curve.minutes,
                        "n_nodes": n_nodes,
                        "fully_solved": solved,
                        "low": curve.low[index] if curve.low else None,
                        "high": curve.high[index] if curve.high else None,
                    }
                )
    return pd.DataFrame.from_records(records)


@reports_bad_input
def main(
    out: Annotated[Path, typer.Option(help="Folder for generalisation.html, .csv and ablation.csv.")] = Path(
        "."
    ),
    track: Annotated[str | None, typer.Option(help="mini: the six methods on the small task.")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="With --track: folder of the runs (default: the bundled results).")
    ] = None,
) -> None:
    """Write the figure and the tables; print the ablation."""
    if track is not None:
        _mini(track, runs, out)
        return
    if runs is not None:
        raise InputError("--runs says where the runs of a track are, so it needs --track mini.")
    from analyses.export import write_html

    Outputs("generalisation", folder=out).check()
    ours, paper = our_curves(), paper_curves()
    ablation = equal_budget(paper)
    figure = generalisation_figure(ours, paper)
    with writing():
        write_text(out / "generalisation.csv", to_frame(ours, paper).to_csv(index=False))
        write_text(out / "ablation.csv", ablation.to_frame().to_csv(index=False))
        write_html(figure, out / "generalisation.html")
    wide_console().print(ablation.table())
    for line in ablation.sentences():
        typer.echo(line)
    written = ", ".join(
        str(out / name) for name in ("generalisation.html", "generalisation.csv", "ablation.csv")
    )
    typer.echo(f"Wrote {written} ({len(ours)} models of ours)")


def _mini(track: str, runs: Path | None, out: Path) -> None:
    """Print and write the miniature track."""
    from analyses.export import write_html
    from analyses.mini_track import MINI_SIZES, paper_at, read_track

    if track != "mini":
        raise InputError(f"There is no track {clip(track)!r}: allowed is mini.")
    outputs = Outputs("mini-track", folder=out)
    outputs.check()
    found, paper = read_track(runs), paper_curves()
    wide_console().print(found.table(MINI_SIZES))
    for n_nodes in MINI_SIZES:
        typer.echo(found.sentence(n_nodes, paper_at(n_nodes, paper)))
    with writing():
        write_text(out / "mini-track.csv", found.to_frame().to_csv(index=False))
        write_text(out / "mini-track.json", json.dumps(found.to_dict(), indent=2) + "\n")
        write_html(found.figure(paper), out / "mini-track.html")
    written = ", ".join(str(out / f"mini-track.{kind}") for kind in ("csv", "json", "html"))
    typer.echo(f"Wrote {written}")


if __name__ == "__main__":
    run_alone(main)
