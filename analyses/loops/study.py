"""What every analysis of a looped model returns: a table, a sentence, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyses.studies import records
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table


@one_line
@dataclass(frozen=True)
class LoopStudy:
    """What was found in a looped model.

    Attributes:
        model: its name. title: of the table.
        frame: all that was measured. summary: what is printed.
        said: the result in a sentence or two.
        drawn: figures by name, the first is that of the study.
        data: plain JSON values that are in neither table.
        more: further tables by name.
    """

    model: str
    title: str
    frame: pd.DataFrame
    summary: pd.DataFrame
    said: str
    drawn: Mapping[str, go.Figure]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_frame(self) -> pd.DataFrame:
        """All that was measured."""
        return self.frame

    def frames(self) -> dict[str, pd.DataFrame]:
        """Further tables."""
        return {"summary": self.summary, **self.more}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the summary, the verdict, and what is in no table."""
        return {"model": self.model, "verdict": self.said, **self.data, "rows": records(self.summary)}

    def table(self) -> Table:
        """The summary as a rich table."""
        words = [name for name in self.summary.columns if self.summary[name].dtype.kind not in "iuf"]
        table = table_of(self.title, map(str, self.summary.columns), words)
        for row in self.summary.itertuples(index=False):
            table.add_row(*map(_cell, row))
        return table

    def verdict(self) -> str:
        """The result."""
        return self.said

    def figure(self) -> go.Figure:
        """The first of the figures."""
        return next(iter(self.drawn.values()))

    def figures(self) -> dict[str, go.Figure]:
        """By name."""
        return dict(self.drawn)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
