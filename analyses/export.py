"""The files that a command writes: its numbers as JSON and tables, its figures as HTML and PNG, and the run as YAML.

Nothing heavy is imported before it is needed: `recurlens --help` must answer at once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from analyses.inputs import InputError
from models.files import WriteError, check_file, check_folder, write_atomically, write_text
from models.printable import printable

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.console import Console

CONFIG_NAME = "config.yaml"


@dataclass(frozen=True)
class Outputs:
    """The files a command writes: a JSON file, and a folder that gets NAME.json and NAME.csv."""

    name: str
    json_file: Path | None = None
    folder: Path | None = None

    def check(self) -> None:
        """Make the folder; raises InputError where nothing could be written. Called before the work, not after it."""
        if self.folder is not None:
            try:
                check_folder(self.folder)
            except WriteError as error:
                what = "write into" if self.folder.is_dir() else "create the folder"
                raise InputError(f"Cannot {what} {self.folder}: {_lowered(error.reason)}.") from error
        if self.json_file is not None:
            with writing():
                check_file(self.json_file)

    def write(self, data: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[Path]:
        """Write `data` as JSON and `rows` (one tidy record each) as CSV; returns the paths written.

        Raises InputError where a file cannot be written; the older one is intact.
        """
        json_files = [] if self.json_file is None else [self.json_file]
        csv_files = []
        if self.folder is not None:
            json_files.append(self.folder / f"{self.name}.json")
            csv_files.append(self.folder / f"{self.name}.csv")
        with writing():
            for path in json_files:
                write_text(path, json.dumps(data, indent=2) + "\n")
            for path in csv_files:
                records = list(rows)
                table = io.StringIO(newline="")
                writer = csv.DictWriter(table, fieldnames=list(records[0]) if records else [])
                writer.writeheader()
                writer.writerows(records)
                write_text(path, table.getvalue())
        return json_files + csv_files


@contextmanager
def writing() -> Iterator[None]:
    """Where files are written or checked: what cannot be written becomes an InputError."""
    try:
        yield
    except WriteError as error:
        raise InputError(f"Cannot write {error.path}: {_lowered(error.reason)}{error.kept}.") from error


def _lowered(reason: str) -> str:
    return reason[:1].lower() + reason[1:]


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


def write_study(
    folder: Path, name: str, frame: pd.DataFrame, figure: go.Figure
) -> tuple[list[Path], str | None]:
    """Write NAME.parquet, NAME.html and NAME.png; returns the paths, and why there is no PNG, if so.

    Raises InputError where the folder cannot be written.
    """
    paths = [folder / f"{name}.parquet", folder / f"{name}.html"]
    with writing():
        write_atomically(paths[0], lambda file: frame.to_parquet(file, index=False))
        write_html(figure, paths[1])
    image = folder / f"{name}.png"
    problem = write_png(figure, image)
    return ([*paths, image], None) if problem is None else (paths, problem)


def write_config(folder: Path, command: str, options: Mapping[str, Any]) -> Path:
    """Write config.yaml, from which `recurlens COMMAND --config` repeats the run; returns its path.

    options: name -> value, None left out. Raises InputError where the folder cannot be written.
    """
    path = folder / CONFIG_NAME
    with writing():
        write_text(path, config_text(command, options))
    return path


def write_html(figure: go.Figure, path: Path) -> None:
    """Write the figure as a page that needs nothing else. Raises models.files.WriteError."""
    write_text(path, figure.to_html(include_plotlyjs=True))


def write_png(figure: go.Figure, path: Path) -> str | None:
    """Write the figure at twice its size in pixels; where it cannot be drawn, why not.

    Raises InputError where the file cannot be written.
    """
    try:
        picture = figure.to_image(format="png", scale=2)
    except (
        Exception
    ) as error:  # kaleido and the browser behind it fail in many ways; none may cost the results.
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"{first.strip()} (a PNG needs the package kaleido, and Chrome or Chromium)"
    with writing():
        write_atomically(path, lambda file: file.write(picture))
    return None


def config_text(command: str, options: Mapping[str, Any]) -> str:
    """A YAML file for `--config`: every option that was used, and in comments the versions it was used with."""
    import yaml

    versions = ", ".join(f"{package} {version(package)}" for package in ("recurlens", "torch", "numpy"))
    used = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    text = yaml.safe_dump(used, sort_keys=False, allow_unicode=True, width=1000)
    return f"# recurlens {command} --config {CONFIG_NAME}    repeats this run\n# {versions}\n{text}"
