"""The benchmark of methods as a figure: AUROC by method, a chart per model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts
from interp.figures.template import MARK_COLOUR

if TYPE_CHECKING:
    from interp.circuits.benchmark import MethodBenchmark


def benchmark_figure(result: MethodBenchmark, width: int = 1000) -> go.Figure:
    """A ring a seed, by method; precision at the true size as a diamond, which fits into the ring."""
    frame: Any = result.to_frame()
    labels = {"auroc": "AUROC", "precision": "precision at the true size"}
    looks = {
        "auroc": {"color": MARK_COLOUR, "size": 13, "symbol": "circle-open", "line": {"width": 2}},
        "precision": {"color": "#e1862d", "size": 7, "symbol": "diamond"},
    }
    charts: list[Chart] = []
    for number, (name, (every, some)) in enumerate(result.n_edges.items()):
        own = frame[frame["model"] == name]
        traces: list[dict[str, Any]] = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "legendgroup": label,
                "showlegend": number == 0,
                "x": own["method"].tolist(),
                "y": own[column].tolist(),
                "text": own["seed"].tolist(),
                "marker": looks[column],
                "hovertemplate": f"%{{x}}, seed %{{text}}: {label} %{{y:.3f}}<extra></extra>",
            }
            for column, label in labels.items()
        ]
        charts.append(
            Chart(
                title=f"{name}: {some} of {every} edges can matter",
                x_title="method",
                y_title="",
                traces=traces,
                x_axis={"type": "category"},
                y_axis={"range": [-0.04, 1.06]},
            )
        )
    reading = (
        "Which edges can matter is derived from the weights, and methods are judged by the order of their scores. A "
        "mark is a seed, with pairs of its own; AUROC is 0.5 by chance."
    )
    return draw_charts(charts, "Methods that score edges, on known circuits", reading, 2, width)
