"""The paper's headline figure for our own models: fraction of graphs fully solved, by size.

    python -m analyses.generalisation [--out DIR]

Our curves come from the `evaluation.json` beside each bundled checkpoint, which `recurlens evaluate --json` wrote
(its card has the command); the paper's six from `analyses/data`. The two are never mixed in one curve.
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
    return [
        evaluation_curve(path.parent.name, json.loads(path.read_text()))
        for path in sorted(zoo.glob(f"*/{EVALUATION}"))
    ]


def solved_by_step(name: str, zoo: Path = ZOO) -> dict[int, list[float]]:
    """Nodes in the graph -> fraction of graphs fully solved after step 0, 1, ...; empty where nothing was measured."""
    path = zoo / name / EVALUATION
    if not path.is_file():
        return {}
    return {size["n_nodes"]: size["solved_by_step"] for size in json.loads(path.read_text())["sizes"]}


def evaluation_curve(name: str, evaluation: dict[str, Any]) -> Curve:
    """The curve in what `recurlens evaluate --json` wrote."""
    sizes = evaluation["sizes"]
    return Curve(
        method=name,
        name=name,
        n_nodes=[size["n_nodes"] for size in sizes],
        fully_solved=[size["fully_solved"] for size in sizes],
        low=[size["fully_solved_low"] for size in sizes],
        high=[size["fully_solved_high"] for size in sizes],
    )


def to_frame(ours: Sequence[Curve], paper: Sequence[Curve]) -> pd.DataFrame:
    """A tidy table: source ("ours" or "paper"), method, model, n_nodes, fully_solved, low, high (if known)."""
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
                        "n_nodes": n_nodes,
                        "fully_solved": solved,
                        "low": curve.low[index] if curve.low else None,
                        "high": curve.high[index] if curve.high else None,
                    }
                )
    return pd.DataFrame.from_records(records)


def main(
    out: Annotated[Path, typer.Option(help="Folder for generalisation.html and .csv.")] = Path("."),
) -> None:
    """Write the figure and the table."""
    ours, paper = our_curves(), paper_curves()
    out.mkdir(parents=True, exist_ok=True)
    to_frame(ours, paper).to_csv(out / "generalisation.csv", index=False)
    generalisation_figure(ours, paper).write_html(out / "generalisation.html", include_plotlyjs=True)
    typer.echo(
        f"Wrote {out / 'generalisation.csv'} and {out / 'generalisation.html'} ({len(ours)} models of ours)"
    )


if __name__ == "__main__":
    typer.run(main)
