"""What the studies of one script each have in common: which options repeat them, and the files they write."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from analyses.inputs import Outputs, writing
from analyses.options import repeated_graphs
from models.files import write_text
from models.printable import printable

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.console import Console

_NOT_WHAT_WAS_RUN = {"out", "json_file", "quiet", "config", "resume"}


class Result(Protocol):
    """A result that is a table and a figure."""

    def to_frame(self) -> pd.DataFrame: ...

    def figure(self) -> go.Figure: ...


@dataclass(frozen=True)
class StudyOf:
    """What was found in `model` (its name), with the table and the figure of the result."""

    model: str
    result: Result

    def to_frame(self) -> pd.DataFrame:
        """That of the result."""
        return self.result.to_frame()

    def figure(self) -> go.Figure:
        """That of the result."""
        return self.result.figure()


def plain(value: Any) -> Any:
    """A JSON value, however deep: infinite and missing numbers become None, tuples lists."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON values."""
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def used_options(context: typer.Context, only: Collection[str] | None = None) -> dict[str, Any]:
    """The options that say what was run and on which workers, under the names that --config takes, in the order of
    `--help`; GRAPH becomes --graph. only: names of those that were used, where not all were.
    """
    used = {name: value for name, value in context.params.items() if name not in _NOT_WHAT_WAS_RUN}
    used = used if only is None else {name: value for name, value in used.items() if name in only}
    text = used.pop("text", None)
    if "graph" in used:
        used["graph"] = repeated_graphs(text, used["graph"])
    if used.get("graphs_file") is not None:
        used["graphs_file"] = str(Path(used["graphs_file"]).resolve())
    return {
        param.opts[0].removeprefix("--"): used[param.name]
        for param in context.command.params
        if param.name in used
    }


def write_files(
    outputs: Outputs, command: str, study: Any, options: Mapping[str, Any], drawn: bool = True
) -> list[Path]:
    """NAME.json and .csv, .parquet, .html, .png and config.yaml into the folder asked for; says on stderr where no PNG
    can be made. Returns the paths.

    drawn: whether the study has `to_frame` and `figure`; otherwise it has `rows`, and neither parquet nor figure.
    """
    if drawn:
        frame = study.to_frame()
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    else:
        rows = study.rows()
    written = outputs.write(study.to_dict(), rows)
    folder, name = outputs.folder, outputs.name
    if folder is None:
        return written
    from analyses.export import write_config, write_study

    if drawn:
        more, problem = write_study(folder, name, study.to_frame(), study.figure())
        written += more
        if problem is not None:
            typer.echo(printable(f"No {folder / name}.png was written: {problem}"), err=True)
    return [*written, write_config(folder, command, options)]


def write_more(
    folder: Path, name: str, frames: Mapping[str, pd.DataFrame], figures: Mapping[str, go.Figure]
) -> list[Path]:
    """Further tables as NAME_TABLE.csv and figures as NAME_FIGURE.html; returns the paths.

    Raises InputError where the folder cannot be written.
    """
    from analyses.export import write_html

    written: list[Path] = []
    with writing():
        for title, frame in frames.items():
            written.append(folder / f"{name}_{title}.csv")
            write_text(written[-1], frame.to_csv(index=False))
        for title, figure in figures.items():
            written.append(folder / f"{name}_{title}.html")
            write_html(figure, written[-1])
    return written


def say_written(console: Console, paths: Iterable[Path]) -> None:
    """A line for each file."""
    for path in paths:
        console.print(f"Wrote {printable(str(path))}", soft_wrap=True)
