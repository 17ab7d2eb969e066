"""The paper's headline figure for our own models: fraction of graphs fully solved, by size.

    python -m analyses.generalisation [--out DIR]

Our curves come from the `evaluation.json` beside each bundled checkpoint, which `recurlens evaluate --json` wrote
(its card has the command); the paper's six from `analyses/data`. The two are never mixed in one curve. Six of ours
have the same budget of processor time; the table of the ablation compares those (`analyses.equal_budget`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.figures.generalisation import Curve, generalisation_figure
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
    """One curve per bundled checkpoint that has been evaluated, in alphabetical order."""
    curves: list[Curve] = []
    for path in sorted(zoo.glob(f"*/{EVALUATION}")):
        settings = path.parent / "training.json"
        training = json.loads(settings.read_text())["training"] if settings.is_file() else {}
        curves.append(evaluation_curve(path.parent.name, json.loads(path.read_text()), training))
    return curves


def solved_by_step(name: str, zoo: Path = ZOO) -> dict[int, list[float]]:
    """Nodes in the graph -> fraction of graphs fully solved after step 0, 1, ...; empty where nothing was measured."""
    path = zoo / name / EVALUATION
    if not path.is_file():
        return {}
    return {size["n_nodes"]: size["solved_by_step"] for size in json.loads(path.read_text())["sizes"]}


def evaluation_curve(name: str, evaluation: dict[str, Any], training: dict[str, Any] | None = None) -> Curve:
    """The curve in what `recurlens evaluate --json` wrote, with method and budget from the settings of the training.

    A model of other operations than the paper's ADD is a method of its own.
    """
    training = training or {}
    sizes = evaluation["sizes"]
    return Curve(
        method=training["method"] if training.get("ops") == ["ADD"] else name,
        name=name,
        minutes=training.get("minutes"),
        n_nodes=[size["n_nodes"] for size in sizes],
        fully_solved=[size["fully_solved"] for size in sizes],
        low=[size["fully_solved_low"] for size in sizes],
        high=[size["fully_solved_high"] for size in sizes],
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


def main(
    out: Annotated[Path, typer.Option(help="Folder for generalisation.html, .csv and ablation.csv.")] = Path(
        "."
    ),
) -> None:
    """Write the figure and the tables; print the ablation at equal budget."""
    from analyses.equal_budget import BUDGET, equal_budget
    from analyses.options import wide_console

    ours, paper = our_curves(), paper_curves()
    ablation = equal_budget(paper)
    out.mkdir(parents=True, exist_ok=True)
    to_frame(ours, paper).to_csv(out / "generalisation.csv", index=False)
    ablation.to_frame().to_csv(out / "ablation.csv", index=False)
    figure = generalisation_figure(ours, paper, BUDGET)
    figure.write_html(out / "generalisation.html", include_plotlyjs=True)
    wide_console().print(ablation.table())
    for line in ablation.sentences():
        typer.echo(line)
    written = ", ".join(
        str(out / name) for name in ("generalisation.html", "generalisation.csv", "ablation.csv")
    )
    typer.echo(f"Wrote {written} ({len(ours)} models of ours)")


if __name__ == "__main__":
    typer.run(main)
