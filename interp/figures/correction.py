"""Error correction: how many corrupted values are right again, one, two and three steps later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts
from interp.figures.template import UNSOLVED_COLOUR, step_colours


@dataclass(frozen=True)
class Healing:
    """Of the graphs of one size; shares 1, 2, ... steps after the corruption.

    clean: of the corrupted values whose operands were left alone. every: of all corrupted values.
    """

    n_nodes: int
    clean: Sequence[float]
    every: Sequence[float]


def correction_figure(
    moments: Mapping[str, tuple[Sequence[Healing], Sequence[Healing]]], fraction: float, width: int = 1000
) -> go.Figure:
    """Share right by steps after the corruption, a chart for every moment of it, a line for every size.

    Args:
        moments: what a chart is called -> the model's results, and those of an untrained one.
        fraction: of the known values that were corrupted.
    """
    charts = [
        Chart(
            title=title,
            x_title="steps after the corruption",
            y_title="share of values that are right",
            traces=[
                *_traces(model, step_colours(len(model)), "", first=number == 0),
                *_traces(untrained, [UNSOLVED_COLOUR] * len(untrained), "untrained, ", first=number == 0),
            ],
            x_axis={"tickvals": [1, 2, 3], "range": [0.8, 3.2]},
            y_axis={"range": [-0.03, 1.05]},
        )
        for number, (title, (model, untrained)) in enumerate(moments.items())
    ]
    reading = (
        f"{fraction:.0%} of the values shown are replaced by random other ones. Solid: values whose operands were left "
        "alone, which one step can mend; they can be wrong again later, while mistakes further back arrive. Dashed: "
        "all corrupted values."
    )
    return draw_charts(charts, "Corrupted values come right again", reading, len(charts), width)


def _traces(
    results: Sequence[Healing], colours: Sequence[str], prefix: str, first: bool
) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": list(range(1, len(shares) + 1)),
            "y": list(shares),
            "name": f"{prefix}{result.n_nodes} nodes{'' if solid else ', all'}",
            "legendgroup": f"{prefix}{result.n_nodes}{solid}",
            "showlegend": first,
            "line": {"color": colour, "width": 2, "dash": "solid" if solid else "dash"},
            "marker": {"size": 6},
            "hovertemplate": "%{y:.1%} right %{x} step(s) later<extra>%{fullData.name}</extra>",
        }
        for result, colour in zip(results, colours, strict=True)
        for solid, shares in ((True, result.clean), (False, result.every))
    ]  # fmt: skip
