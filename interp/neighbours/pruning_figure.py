"""Neurons pruned in several orders, and how periodic they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR
from interp.neighbours.lines import between, line

if TYPE_CHECKING:
    from interp.neighbours.pruning import Floats, NeuronPruning

_ORDERS: Final = {
    "lowest": ("lowest IPR first", MARK_COLOUR, "solid"),
    "equal energy": ("the same at equal energy", "#e1862d", "solid"),
    "random": ("random", UNSOLVED_COLOUR, "solid"),
    "weakest": ("weakest first", INK, "dot"),
    "highest": ("highest IPR first", "#d23ca5", "solid"),
}
"""Order -> its name, colour and dash."""
_UNTRAINED: Final = "#c9b28a"


def pruning_figure(found: NeuronPruning, width: int = 1000) -> go.Figure:
    """Accuracy over the share that is pruned; IPR of neurons beside untrained ones."""
    lines: list[dict[str, Any]] = []
    shares = found.shares.tolist()
    for order, accuracy in found.accuracy.items():
        name, colour, dash = _ORDERS[order]
        if len(accuracy) > 1:
            low, high = accuracy.min(0).tolist(), accuracy.max(0).tolist()
            lines.append(between(shares, low, high, colour, name))
        lines.append(line(name, shares, accuracy.mean(0).tolist(), colour, dash, form=".1%"))
    bins = {"start": 0, "end": 1.0001, "size": 0.05}
    bars = [
        {
            "type": "histogram",
            "name": name,
            "x": values.tolist(),
            "xbins": bins,
            "histnorm": "probability",
            "marker": {"color": colour},
            "opacity": 0.7,
            "hovertemplate": f"{name}<br>IPR %{{x}}: %{{y:.1%}} of neurons<extra></extra>",
        }
        for name, values, colour in (
            ("trained", found.of_neurons, "#7f9bea"),
            ("untrained", found.of_untrained, _UNTRAINED),
        )
    ]
    charts = [
        Chart("answers", "neurons pruned", "pairs answered right", lines, share_axis(), share_axis()),
        Chart(
            "periodicity",
            "IPR of tuning curves",
            "neurons",
            bars,
            {"range": [0, 1.02]},
            {"tickformat": ".0%", "rangemode": "tozero"},
        ),
    ]
    frequencies = (found.values - 1) // 2
    reading = (
        f"Neurons of layer {found.layer}, set to their means one after the other, over all pairs of operands. IPR: 1 a "
        f"single wave, {2 / (frequencies + 1):.2f} noise, {1 / frequencies:.2f} one value. Bands are draws. Where blue "
        "lies above orange, waves count for more than strength."
    )
    if found.noise is not None:
        reading += f" Below, {found.noise.tuples} pairs whose label in training was wrong."
        charts += [
            Chart(
                "memorised",
                "neurons pruned",
                "answered as labelled",
                _means(found, found.noise.memorised),
                share_axis(),
                share_axis(),
            ),
            Chart(
                "restored",
                "neurons pruned",
                "answered right",
                _means(found, found.noise.restored),
                share_axis(),
                share_axis(),
            ),
        ]
    figure: Any = draw_charts(charts, "Do periodic neurons carry the sum?", reading, 2, width)
    return figure.update_layout(barmode="overlay")


def _means(found: NeuronPruning, shares: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """A line an order, its entry in the legend that of the first chart."""
    return [
        line(
            _ORDERS[order][0],
            found.shares.tolist(),
            one.mean(0).tolist(),
            *_ORDERS[order][1:],
            shown=False,
            form=".1%",
        )
        for order, one in shares.items()
    ]
