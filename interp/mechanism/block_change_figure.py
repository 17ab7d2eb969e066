"""Relative change of the residual stream by block and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.data.labels import STATUSES
from interp.figures.charts import Chart, draw_charts, log_axis, step_axis
from interp.mechanism.block_change import COMPONENTS
from interp.state_dynamics.dynamics_figure import MODEL_COLOURS

if TYPE_CHECKING:
    from interp.mechanism.block_change import BlockChange

Floats32 = NDArray[np.float32]
_TITLES: Final = ("waiting for operands", "computed in this step", "done before")
"""Of the statuses."""
_FLOOR: Final = 1e-3
"""Changes below it are drawn at 0."""


def block_change_figure(result: BlockChange, width: int = 1000) -> go.Figure:
    """A chart for every status; a line for every attention block (dotted) and MLP, mean over nodes."""
    parts = {
        status: {step: found for step in range(result.n_steps) if len(found := result.of(status, step))}
        for status in STATUSES
    }
    top = max([1.0, *(float(part.mean(0).max()) for steps in parts.values() for part in steps.values())])
    charts: list[Chart] = []
    for number, (status, title) in enumerate(zip(STATUSES, _TITLES, strict=True)):
        traces = [
            _line(parts[status], layer, component, shown=number == 0)
            for layer, component in np.ndindex(*result.ratio.shape[2:])
        ]
        y_title = "mean relative change" if number == 0 else ""
        charts.append(
            Chart(title, "step", y_title, traces, step_axis(result.n_steps - 1), log_axis(_FLOOR, top))
        )
    return draw_charts(
        charts,
        "How much every block changes the residual stream",
        "||x_after - x_before|| / ||x_before|| at right-hand sides, mean over nodes: 0 leaves it as it is, 1 adds as "
        "much as was there. Dotted: attention, solid: MLP; numbers are layers.",
        per_line=3,
        width=width,
    )


def _line(parts: Mapping[int, Floats32], layer: int, component: int, shown: bool) -> dict[str, Any]:
    """One block's; parts: step -> [node, layer, component]."""
    name = f"{layer} {tuple(COMPONENTS)[component]}"
    values = [part[:, layer, component] for part in parts.values()]
    told = [(float(v.mean()), float(np.median(v)), float(np.quantile(v, 0.9)), len(v)) for v in values]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "showlegend": shown,
        "x": list(parts),
        "y": [max(float(v.mean()), _FLOOR) for v in values],
        "customdata": told,
        "hovertemplate": f"<b>{name}</b>, step %{{x}}<br>mean %{{customdata[0]:.3f}}, median "
        "%{customdata[1]:.3f}, 90th percentile %{customdata[2]:.3f}<br>%{customdata[3]} nodes<extra></extra>",
        "line": {
            "color": MODEL_COLOURS[layer % len(MODEL_COLOURS)],
            "dash": "solid" if name.endswith("mlp") else "dot",
        },
        "marker": {"size": 6},
    }
