"""What a study writes beside its numbers: the table as parquet, the figure as HTML and PNG, and the run as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

CONFIG_NAME = "config.yaml"


def write_study(
    folder: Path, name: str, frame: pd.DataFrame, figure: go.Figure, command: str, options: Mapping[str, Any]
) -> tuple[list[Path], str | None]:
    """Write NAME.parquet, NAME.html, NAME.png and config.yaml; returns the paths, and why there is no PNG, if so.

    `options` (name -> value, None left out) become the config that `recurlens COMMAND --config` repeats the run from.
    Raises InputError where the folder cannot be written.
    """
    paths = [folder / f"{name}.parquet", folder / f"{name}.html", folder / CONFIG_NAME]
    try:
        frame.to_parquet(paths[0], index=False)
        figure.write_html(paths[1], include_plotlyjs=True)
        paths[2].write_text(config_text(command, options), encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write into {folder}: {(error.strerror or str(error)).lower()}.") from error
    image = folder / f"{name}.png"
    problem = write_png(figure, image)
    return ([*paths, image], None) if problem is None else (paths, problem)


def write_png(figure: go.Figure, path: Path) -> str | None:
    """Write the figure at twice its size in pixels; where that is not possible, why not."""
    try:
        figure.write_image(path, scale=2)
    except (
        Exception
    ) as error:  # kaleido and the browser behind it fail in many ways; none may cost the results.
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"{first.strip()} (a PNG needs the package kaleido, and Chrome or Chromium)"
    return None


def config_text(command: str, options: Mapping[str, Any]) -> str:
    """A YAML file for `--config`: every option that was used, and in comments the versions it was used with."""
    import yaml

    versions = ", ".join(f"{package} {version(package)}" for package in ("recurlens", "torch", "numpy"))
    used = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    text = yaml.safe_dump(used, sort_keys=False, allow_unicode=True, width=1000)
    return f"# recurlens {command} --config {CONFIG_NAME}    repeats this run\n# {versions}\n{text}"
