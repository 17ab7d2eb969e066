"""What sets of heads solve alone: the set asked about beside random ones of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.sufficiency import named
from interp.figures.charts import Chart, draw_charts
from interp.figures.template import UNSOLVED_COLOUR, step_colours

if TYPE_CHECKING:
    from interp.causal.sufficiency import Sufficiency


def sufficiency_figure(result: Sufficiency, width: int = 1000) -> go.Figure:
    """A point a graph and set: share of the graph's nodes that end right; random sets by how many heads they share."""
    traces: list[dict[str, Any]] = []
    for random, name, colour in (
        (True, "random sets", UNSOLVED_COLOUR),
        (False, "the set asked about", step_colours(1)[0]),
    ):
        points = [
            (len(set(heads) & set(result.heads)), float(share), named(heads))
            for index, heads in enumerate(result.sets)
            if (index > 0) == random
            for share in result.nodes[index]
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [point[0] for point in points],
                "y": [point[1] for point in points],
                "text": [point[2] for point in points],
                "marker": {"color": colour, "size": 8, "opacity": 0.6},
                "hovertemplate": "kept: %{text}<br>%{y:.1%} of a graph's nodes right<extra></extra>",
            }
        )
    chart = Chart(
        title=f"{len(result.heads)} heads kept",
        x_title="heads in common with the set asked about",
        y_title="share of a graph's nodes right",
        traces=traces,
        x_axis={"dtick": 1, "range": [-0.5, len(result.heads) + 0.5]},
        y_axis={"range": [-0.03, 1.05]},
    )
    reading = (
        f"All other heads are replaced ({result.method}) at every step, MLPs are kept. A point is one of "
        f"{len(result.graphs)} graphs with one set of heads; at 1 it is solved. With every head "
        f"{result.solved_without:.1%} of the graphs are solved."
    )
    return draw_charts([chart], "Which heads suffice", reading, 1, width)
