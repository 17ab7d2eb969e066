"""How a sum is made: streams, frequencies, an ideal network, and the margins of all triples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, WRONG_COLOUR

if TYPE_CHECKING:
    from interp.neighbours.addition import Addition


def addition_figure(found: Addition, width: int = 1000) -> go.Figure:
    """Interchanged streams and the ideal network beside their controls; energy by frequency; margins."""
    streams, ideal = found.streams, found.ideal
    graphs = max(ideal.graphs, 1)
    operands = [f"operand {number + 1}" for number in range(len(streams.moved))]
    moved = _bars(operands, streams.moved, streams.control)
    tried = ["pairs", "triples", "graphs"]
    waves = _bars(
        tried,
        (ideal.pairs, ideal.triples, ideal.solved / graphs),
        (ideal.shuffled_pairs, ideal.shuffled_triples, ideal.solved_shuffled / graphs),
        shown=False,
    )
    energy = [
        {
            "type": "bar",
            "x": list(range(1, len(found.energy) + 1)),
            "y": found.energy.tolist(),
            "showlegend": False,
            "marker": {"color": MARK_COLOUR},
            "hovertemplate": "frequency %{x}: %{y:.1%} of the energy<extra></extra>",
        }
    ]
    flat = found.margins.ravel()
    low, high = float(flat.min()), float(flat.max())
    counts: list[int] = np.histogram(flat, 40, (low, high))[0].tolist()
    middles = [low + (place + 0.5) * (high - low) / 40 for place in range(40)]
    margins: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": middles,
            "y": counts,
            "showlegend": False,
            "marker": {"color": [WRONG_COLOUR if middle <= 0 else MARK_COLOUR for middle in middles]},
            "hovertemplate": "margin %{x:.2f}: %{y} triples<extra></extra>",
        }
    ]
    words: dict[str, Any] = {"type": "category"}
    charts = [
        Chart("one stream replaced", "operand", "moved alone", moved, words, share_axis()),
        Chart("one wave per operand", "ideal network on", "right", waves, words, share_axis()),
        Chart("energy of neurons", "own frequency", "share", energy, {"dtick": 1}, {"tickformat": ".0%"}),
        Chart("all triples", "margin", "triples", margins, {}, {"type": "log", "dtick": 1}),
    ]
    reading = (
        f"All tuples of operands of {found.operations[0]}, in layer {found.layer}. Top: what one operand adds to the "
        "residual stream before the MLP, replaced by another value's; every neuron's input reduced to one wave an "
        f"operand, also in {ideal.graphs} graphs. Margin: right logit less the largest other; red is wrong."
    )
    return draw_charts(charts, "How a sum is made, and when it fails", reading, 2, width)


def _bars(
    x: list[str], found: tuple[float, ...], control: tuple[float, ...], shown: bool = True
) -> list[dict[str, Any]]:
    return [
        {
            "type": "bar",
            "name": name,
            "legendgroup": name,
            "showlegend": shown,
            "x": x,
            "y": list(values),
            "marker": {"color": colour},
            "hovertemplate": f"{name}<br>%{{x}}: %{{y:.1%}}<extra></extra>",
        }
        for name, values, colour in (
            ("as found", found, MARK_COLOUR),
            ("control: shuffled", control, UNSOLVED_COLOUR),
        )
    ]
