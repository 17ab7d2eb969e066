"""What a study writes beside its numbers: the table as parquet, the figure as HTML and PNG, and the run as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.inputs import writing
from models.files import write_atomically, write_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

CONFIG_NAME = "config.yaml"


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
