"""What the studies of one script each have in common: which options repeat them, and the files they write."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from analyses.options import repeated_graphs

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

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
