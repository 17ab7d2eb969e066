"""Clusters of weights beside shuffled ones, what they match, and what is lost without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR

if TYPE_CHECKING:
    from interp.neighbours.modularity import Modularity


def modularity_figure(found: Modularity, width: int = 1000) -> go.Figure:
    """Squared weights inside clusters; labels that clusters match; answers without a cluster."""
    names = [f"{one.matrix}<br>{one.layer}" for one in found.matrices]
    weights = [
        _marks("as trained", names, [one.share for one in found.matrices], MARK_COLOUR, "diamond"),
        _marks(
            "control: shuffled, or random",
            [name for name, one in zip(names, found.matrices, strict=True) for _ in one.shuffled],
            [share for one in found.matrices for share in one.shuffled.tolist()],
            UNSOLVED_COLOUR,
        ),
        _marks("untrained", names, [one.untrained for one in found.matrices], INK, "x-thin-open"),
    ]
    labels = list(found.matches)
    matches = [
        _marks(
            "as trained", labels, [found.matches[name][0] for name in labels], MARK_COLOUR, "diamond", False
        ),
        _marks(
            "control: shuffled, or random",
            labels,
            [found.matches[name][1] for name in labels],
            UNSOLVED_COLOUR,
            shown=False,
        ),
    ]
    clusters = [f"{number} ({one.neurons})" for number, one in enumerate(found.ablated)]
    lost = [
        _marks(
            "as trained", clusters, [one.accuracy for one in found.ablated], MARK_COLOUR, "diamond", False
        ),
        _marks(
            "control: shuffled, or random",
            [name for name, one in zip(clusters, found.ablated, strict=True) for _ in one.equal_number],
            [share for one in found.ablated for share in one.equal_number],
            UNSOLVED_COLOUR,
            shown=False,
        ),
        _marks(
            "random, of equal energy",
            [name for name, one in zip(clusters, found.ablated, strict=True) for _ in one.equal_energy],
            [share for one in found.ablated for share in one.equal_energy],
            "#e1862d",
        ),
    ]
    words = {"type": "category"}
    most = max(0.2, *(one for pair in found.matches.values() for one in pair))
    charts = [
        Chart("inside clusters", "matrix and layer", "squared weights", weights, words, share_axis()),
        Chart(
            "clusters match", "label of neurons", "adjusted Rand index", matches, words, {"range": [-0.05, 1.1 * most]}
        ),
        Chart("without a cluster", "cluster (neurons)", "answered right", lost, words, share_axis()),
    ]  # fmt: skip
    reading = (
        f"Rows and columns of MLP weights in {found.k} clusters. Left: more than shuffled weights would be modular. "
        f"Middle: neurons of layer {found.layer} by what they do; the grey mark is the best of shuffled labels. "
        "Right: a cluster that is a module costs more than its controls."
    )
    return draw_charts(charts, "Is the MLP made of modules?", reading, 3, width)


def _marks(
    name: str,
    x: Sequence[str],
    y: Sequence[float],
    colour: str,
    symbol: str = "circle-open",
    shown: bool = True,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "showlegend": shown,
        "x": list(x),
        "y": list(y),
        "marker": {
            "symbol": symbol,
            "size": 10 if symbol != "circle-open" else 6,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        "hovertemplate": f"{name}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
        "cliponaxis": False,
    }
