"""Cross-step patching: source step x target step, as measured and as the graph predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale

if TYPE_CHECKING:
    from interp.causal.cross_step import CrossStep


def cross_step_figure(results: Sequence[CrossStep], width: int = 1000) -> go.Figure:
    """Two heatmaps on one scale, measured and predicted; only the first where there is no prediction.

    Row i, column j: what the site held at step i of the clean run was put in at step j of the corrupt run. Colour: the
    normalised metric, 0 as at the end of the corrupt run, 1 as at the end of the clean run; of several pairs the mean
    over those whose two runs differ in the metric.

    Raises:
        ValueError: no result, or matrices of different size.
    """
    if not results or len({result.n_steps for result in results}) > 1:
        sizes = [result.n_steps for result in results]
        raise ValueError(f"matrices have {sizes} steps; allowed is at least one, all of one size")
    first = results[0]
    site = first.sites[0]
    where = site.name if site.layer is None else f"{site.name} of layer {site.layer}"
    where += "" if site.head is None else f", head {site.head}"
    places = f"{len(first.sites)} positions" if len(first.sites) > 1 else f"position {site.pos}"
    if site.pos == "all" or len({len(result.sites) for result in results}) > 1:
        places = "all positions" if site.pos == "all" else "several positions"
    lag = "in the same step" if first.lag == 0 else f"{first.lag} step{'s' * (first.lag != 1)} later"
    read = "at the end of the run" if first.lag is None else lag
    what = "" if len(results) == 1 else f" Mean over {len(results)} pairs."
    reading = (
        f"Step i of the clean run put in at step j of the corrupt run: {where}, {places}; {first.metric} read {read}. "
        f"0: as the corrupt run ends. 1: as the clean run ends.{what}"
    )
    panels = [_panel("measured", [result.normalised for result in results], results)]
    predicted = [result.predicted for result in results if result.predicted is not None]
    if predicted:
        panels.append(_panel("predicted by the graph's depths", predicted, results))
    if first.whole:
        reading += " A whole state determines what follows: this checks the engine and is no evidence."
    if said := [result for result in results if result.evidence.any()]:
        matched = np.mean([result.matched() for result in said])
        nothing = np.mean([result.matched_by_nothing() for result in said])
        reading += f" Where an effect is predicted: {matched:.1%} of cells as predicted ({nothing:.1%} by no effect)."
    unit = f"normalised<br>{first.metric}"
    return draw(panels, f"Cross-step patching of {where}", reading, Scale(unit), False, width)


def _panel(title: str, matrices: Sequence[NDArray[np.float64]], results: Sequence[CrossStep]) -> Panel:
    kept = [matrix for matrix in matrices if not np.isnan(matrix).any()]
    values = np.mean(kept, axis=0) if kept else matrices[0]
    steps = tuple(str(step) for step in range(len(values)))
    return Panel(
        title=title,
        rows=steps,
        columns=steps,
        row_title="taken at step i",
        column_title="put in at step j",
        values=values,
        hover=[[_hover(i, j, results) for j in range(len(values))] for i in range(len(values))],
        sites=np.arange(values.size).reshape(values.shape),
    )


def _hover(i: int, j: int, results: Sequence[CrossStep]) -> str:
    lines = [f"<b>step {i} put in at step {j}</b>"]
    for result in results[:5]:
        predicted = "" if result.predicted is None else f", predicted {result.predicted[i, j]:.4f}"
        lines.append(
            f"{result.metric} {result.raw[i, j]:.6g} (clean {result.clean:.6g}, corrupt {result.corrupt:.6g}), "
            f"normalised {result.normalised[i, j]:.4f}{predicted}"
        )
    return "<br>".join([*lines, f"and {len(results) - 5} pairs"] if len(results) > 5 else lines)
