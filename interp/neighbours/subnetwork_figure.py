"""Subnetworks by pressure, the smallest beside random ones, and its heads beside what each is worth alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR
from interp.neighbours.lines import line

if TYPE_CHECKING:
    from interp.neighbours.subnetwork import Subnetwork


def subnetwork_figure(found: Subnetwork, width: int = 1000) -> go.Figure:
    """What is written by sets of every size; by random ones; and without one head alone."""
    kind = "MLPs" if found.whole_mlps else "neurons"
    sizes = [one.count(heads=found.whole_mlps) for one in found.curve]
    curve = [
        line("other steps", sizes, [one.written for one in found.curve], MARK_COLOUR, form=".1%"),
        line("steps it was found on", sizes, [one.own for one in found.curve], "#7f9bea", "dot", form=".1%"),
    ]
    written = [
        _marks("the smallest", ["found"], [found.found.written], MARK_COLOUR, "diamond"),
        _marks("all units", ["all"], [found.full], INK, "x-thin-open"),
        _marks("random", ["random"] * len(found.random), found.random.tolist(), UNSOLVED_COLOUR),
    ]
    if len(found.other_neurons):
        other = found.other_neurons.tolist()
        name = "its heads, neurons of equal energy"
        written.append(_marks(name, ["energy"] * len(other), other, "#e1862d"))
    names = [f"{layer}.{head}" for layer in range(len(found.alone)) for head in range(found.alone.shape[1])]
    alone, inside = found.alone.ravel().tolist(), found.found.heads()
    heads = [
        {
            "type": "bar",
            "name": label,
            "x": [name for name in names if (name in inside) is on],
            "y": [lost for name, lost in zip(names, alone, strict=True) if (name in inside) is on],
            "marker": {"color": colour},
            "hovertemplate": "without %{x}: %{y:.1%}<extra></extra>",
        }
        for label, on, colour in (("head of it", True, MARK_COLOUR), ("another head", False, UNSOLVED_COLOUR))
    ]
    axis = {"type": "category", "categoryorder": "array", "categoryarray": names, "tickangle": -90}
    charts = [
        Chart(
            "by pressure",
            f"{'heads' if found.whole_mlps else kind} that are left",
            "due values",
            curve,
            {"rangemode": "tozero"},
            share_axis(),
        ),
        Chart(
            "of this size", "units that are left", "due values", written, {"type": "category"}, share_axis()
        ),
        Chart("without one head", "head", "due values", heads, axis, share_axis()),
    ]
    reading = (
        f"The share of due values that one step writes with all but a few heads and {kind} at zero. Left: by how hard "
        "the search was pressed. Middle: the smallest set that suffices, and others of its size. Right: all units but "
        "one head; heads that matter alone should be heads of the set."
    )
    return draw_charts(charts, "What one step needs", reading, 3, width)


def _marks(
    name: str, x: list[str], y: list[float], colour: str, symbol: str = "circle-open"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "marker": {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
        "hovertemplate": f"{name}: %{{y:.1%}}<extra></extra>",
        "cliponaxis": False,
    }
