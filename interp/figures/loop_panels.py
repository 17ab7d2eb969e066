"""Panels of numbers by step, and by position, head or step again, of any looped model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale


def loop_panels_figure(
    panels: Mapping[str, NDArray[np.floating[Any]]],
    columns: Sequence[str],
    title: str,
    reading: str,
    unit: str,
    rows: Sequence[str] = (),
    row_title: str = "step",
    column_title: str = "position",
    width: int = 1000,
) -> go.Figure:
    """A heatmap for each of ``panels``, name -> float [row, column], on one scale.

    Args:
        columns: their labels; ``rows``: default 0, 1, ...
        unit: beside the scale.
    """

    def panel(name: str, values: NDArray[np.floating[Any]]) -> Panel:
        labels = tuple(rows) or tuple(map(str, range(len(values))))
        hover = [
            [
                f"{name}<br>{row_title} {label}, {column_title} {columns[place]}<br>{value:.4g}"
                for place, value in enumerate(line)
            ]
            for label, line in zip(labels, values.tolist(), strict=True)
        ]
        sites = np.arange(values.size).reshape(values.shape)
        return Panel(
            name, labels, tuple(columns), row_title, column_title, values.astype(np.float64), hover, sites
        )

    drawn = [panel(name, values) for name, values in panels.items()]
    return draw(drawn, title, reading, Scale(unit), selectable=False, width=width)
