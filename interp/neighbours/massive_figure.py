"""Largest over median activation by step, layer and snapshot; answers without the largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis, step_axis
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, step_colours
from interp.neighbours.lines import line

if TYPE_CHECKING:
    from interp.neighbours.massive import MassiveActivations


def massive_figure(found: MassiveActivations, width: int = 1000) -> go.Figure:
    """By step and layer beside untrained weights; over training; what is written without the dimension."""
    n_steps, n_layers = found.own.ratio.shape
    at = list(range(n_steps))
    ratios: list[dict[str, Any]] = []
    for layer, colour in enumerate(step_colours(n_layers)):
        own, other = found.own.ratio[:, layer].tolist(), found.untrained.ratio[:, layer].tolist()
        ratios.append(line(f"layer {layer}", at, own, colour))
        ratios.append(line(f"layer {layer}, untrained", at, other, colour, "dot"))
    known = bool(np.isfinite(found.own.ratio).any())
    charts = [
        Chart(
            "largest over median",
            "step",
            "ratio",
            ratios,
            step_axis(n_steps - 1),
            {"rangemode": "tozero"},
            "" if known else "not defined: the median is 0",
        ),
        _training(found),
        Chart(
            "written without it",
            "in every step",
            "due values",
            [
                {
                    "type": "bar",
                    "name": name,
                    "x": ["at zero", "at its mean"],
                    "y": values,
                    "marker": {"color": colour},
                    "hovertemplate": f"{name}<br>%{{x}}: %{{y:.1%}}<extra></extra>",
                }
                for name, values, colour in (
                    ("largest dimension", [found.zeroed, found.at_mean], MARK_COLOUR),
                    (
                        "another",
                        [float(found.others_zeroed.mean()), float(found.others_at_mean.mean())],
                        UNSOLVED_COLOUR,
                    ),
                )
            ],
            {"type": "category"},
            share_axis(),
        ),
    ]
    reading = (
        "The largest magnitude of the residual stream after a layer over the median one; massive is 1000 and more. "
        f"Right: dimension {found.dimension} after layer {found.layer}, the largest, at zero or at its mean in every "
        "step; another: mean of those drawn."
    )
    return draw_charts(charts, "Massive activations", reading, 3, width)


def _training(found: MassiveActivations) -> Chart:
    growth = found.growth
    traces: list[dict[str, Any]] = []
    if growth is not None:
        steps = growth.steps.tolist()
        traces.append(line("any layer", steps, growth.ratio.tolist(), MARK_COLOUR, mode="markers"))
        if np.isfinite(growth.fitted).all():
            traces.append(line("five parameters", steps, growth.fitted.tolist(), "#e1862d", mode="lines"))
    note = "" if growth is not None else "no snapshots"
    return Chart(
        "over training", "training step", "largest ratio", traces, {"type": "log", "dtick": 1}, {}, note
    )
