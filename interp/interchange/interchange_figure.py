"""Interchange accuracy: variable by place and by step x depth; and aligned subspaces beside their controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis, step_axis, with_intervals
from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR
from interp.statistics.shares import Share

if TYPE_CHECKING:
    from interp.interchange.accuracy import InterchangeGrid
    from interp.interchange.das import Alignment

_METHOD_COLOURS: Final = {
    "tied": MARK_COLOUR,
    "per step": "#7f9bea",
    "arbitrary": "#e1862d",
    "untrained": "#8a3d00",
    "placebo": "#8c8c8c",
    "random": UNSOLVED_COLOUR,
}


def grid_figure(grid: InterchangeGrid, width: int = 1000) -> go.Figure:
    """Place x variable over all steps; and step x depth of every variable, at the place where it is moved best."""
    short = [place.removeprefix("blocks.").replace(".hook_resid_", " ") for place in grid.places]
    shares = [[grid.share(variable, place) for variable in grid.variables] for place in grid.places]
    panels = [_panel("all steps", short, grid.variables, "layer, point", "variable", shares)]
    frame: Any = grid.frame
    steps, depths = (sorted(frame[name].unique().tolist()) for name in ("step", "depth"))
    for variable in grid.variables:
        best = max(grid.places, key=lambda place: grid.share(variable, place).value)
        cells = [[grid.share(variable, best, step=step, depth=depth) for depth in depths] for step in steps]
        title = f"{variable}, {short[grid.places.index(best)]}"
        panels.append(
            _panel(title, [str(s) for s in steps], [str(d) for d in depths], "step", "depth", cells)
        )
    n_pairs = int(frame["pairs"].sum() / max(len(grid.places), 1))
    reading = (
        "Share of pairs after which the model writes what the algorithm writes with the variable swapped; only pairs "
        f"in which ignoring the swap would be wrong ({n_pairs} in all). Above: the residual stream at a node's "
        "right-hand side, in the order of the forward pass. Below: by step and depth, at the best place. Hatched: "
        "no pair."
    )
    return draw(
        panels, "Interchange accuracy", reading, Scale("IIA", signed=False), selectable=False, width=width
    )


def _panel(
    title: str, rows: Any, columns: Any, row_title: str, column_title: str, shares: list[list[Share]]
) -> Panel:
    values = np.array([[share.value for share in line] for line in shares])
    hover = [
        [
            f"<b>{row_title} {row}, {column_title} {column}</b><br>{share}"
            for column, share in zip(columns, line, strict=True)
        ]
        for row, line in zip(rows, shares, strict=True)
    ]
    sites = np.full(values.shape, -1)
    return Panel(title, tuple(rows), tuple(columns), row_title, column_title, values, hover, sites)


def alignment_figure(found: Alignment, width: int = 1000) -> go.Figure:
    """IIA of the tied basis and its controls by variable; per step beside tied; what a probe reads."""
    variables = list(found.variables)
    bars = [
        _bar(method, variables, [found.share(variable, method) for variable in variables], colour)
        for method, colour in _METHOD_COLOURS.items()
        if method != "per step"
    ]
    frame: Any = found.frame
    steps = sorted(frame["step"].unique().tolist())
    lines: list[dict[str, Any]] = []
    for method, dash in (("tied", "solid"), ("per step", "dot")):
        for number, variable in enumerate(variables):
            shares = [found.share(variable, method, step) for step in steps]
            hover = [
                f"<b>{variable}, {method}, step {s}</b><br>{share}"
                for s, share in zip(steps, shares, strict=True)
            ]
            lines.append(
                with_intervals(
                    f"{variable}, {method}", steps, [share.point for share in shares], hover,
                    _LINES[number % len(_LINES)], dash=dash, shown=False,
                )
            )  # fmt: skip
    read = [found.read(variable) for variable in variables]
    probes = [
        _bar("probe", variables, [right for right, _ in read], "#1e8769"),
        _bar("commonest value", variables, [commonest for _, commonest in read], "#d5d8e0"),
    ]
    category = {"type": "category"}
    charts = [
        Chart(
            "moved by interchange",
            "variable",
            "share moved (IIA), held-out graphs",
            bars,
            category,
            share_axis(),
        ),
        Chart("read by a linear probe", "variable", "right, held-out graphs", probes, category, share_axis()),
        Chart(
            "tied and per step (dotted)",
            "step",
            "share moved (IIA), held-out graphs",
            lines,
            step_axis(max(steps)),
            share_axis(),
        ),
    ]
    words = "; ".join(f"{variable}: {found.verdict_of(variable)}" for variable in variables)
    reading = (
        "Subspaces fitted so that swapping them makes the model write what the algorithm writes with the variable "
        f"swapped (interchange intervention accuracy, IIA), asked about graphs of another shape. {words}."
    )
    return draw_charts(charts, "Aligned subspaces", reading, 2, width)


_LINES: Final = (MARK_COLOUR, "#e1862d", "#1e8769", "#963c5a", "#5a781e", "#784bc3", "#1ea5b4", "#8c8c8c")


def _bar(name: str, variables: list[str], shares: list[Share], colour: str) -> dict[str, Any]:
    points = [share.point for share in shares]
    return {
        "type": "bar",
        "name": name,
        "legendgroup": name,
        "x": variables,
        "y": [value for value, _, _ in points],
        "error_y": {
            "array": [high - value for value, _, high in points],
            "arrayminus": [value - low for value, low, _ in points],
            "thickness": 1,
            "width": 2,
        },
        "marker": {"color": colour},
        "hovertext": [
            f"<b>{variable}, {name}</b><br>{share}" for variable, share in zip(variables, shares, strict=True)
        ],
        "hoverinfo": "text",
    }
