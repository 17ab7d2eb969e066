"""Probes: accuracy by step and site beside the controls; transfer between steps; frequencies; few dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, legend_below, make_figure
from interp.probing.controls import ARMS
from interp.probing.rows import site_label

if TYPE_CHECKING:
    from interp.probing.circular import CircularProbe
    from interp.probing.grid import ProbeGrid
    from interp.probing.sparse import SparseProbe
    from interp.probing.transfer import ProbeTransfer

Floats = NDArray[np.float64]
_ACCURACY: Final = Scale("accuracy", signed=False)
_ACCURACY_OR_ANGLE: Final = Scale("accuracy,<br>or angle", signed=False)
_DIFFERENCE: Final = Scale("difference<br>of accuracies")
_POWER: Final = Scale("power", signed=False)


def probe_figure(grid: ProbeGrid, width: int = 1000) -> go.Figure:
    """Step x site: accuracy, selectivity, and the four controls; hatched: nothing was measured.

    Accuracies are on one scale from 0 to 1; selectivity, which can be negative, has its own.
    """
    majority = np.broadcast_to(grid.majority_mean[:, None], grid.mean.shape)
    shown = {
        "accuracy": grid.mean,
        "selectivity": grid.selectivity,
        **{_arm(arm): grid.of(arm) for arm in ARMS[1:]},
        "control: majority class": majority,
    }
    counted = [grid.n_rows[row] for row in range(len(grid.steps)) if not np.isnan(grid.mean[row]).all()]
    rows = f"{min(counted):,} to {max(counted):,}" if min(counted) < max(counted) else f"{max(counted):,}"
    reading = (
        f"{_title(grid.target, grid.status, grid.role)}: {grid.kind} probe at every step (row) and site (column), "
        f"accuracy on graphs it was not fitted to ({grid.accuracy.shape[-1]} folds; every step has {rows} tokens "
        "with a label). In the control task every name has a random label; selectivity is accuracy minus accuracy "
        "on it. Hatched: too few graphs, or one class."
    )
    panels = [
        _grid_panel(
            title,
            values,
            grid,
            lambda r, c: _grid_hover(grid, r, c),
            _DIFFERENCE if title == "selectivity" else None,
        )
        for title, values in shown.items()
    ]
    return draw(panels, f"What can be read where: {grid.target}", reading, _ACCURACY, False, width)


def _arm(arm: str) -> str:
    """The title of a control's panel."""
    return arm if arm.startswith("control") else f"control: {arm}"


def code_length_figure(grid: ProbeGrid, width: int = 1000) -> go.Figure:
    """Step x site: log2 of the compression by the online code, of the labels and of the controls.

    Raises:
        ProbeError: the grid has no code lengths.
    """
    shown = {("labels" if arm == "target" else _arm(arm)): np.log2(grid.compression(arm)) for arm in ARMS}

    def hover(row: int, column: int) -> str:
        lines = [f"<b>step {grid.steps[row]}, {grid.sites[column]}</b>"]
        lines += [f"{title}: {2 ** values[row, column]:.3f}" for title, values in shown.items()]
        return "<br>".join([*lines, f"uniform code: {grid.uniform_bits[row]:.1f} bits"])

    reading = (
        f"{_title(grid.target, grid.status, grid.role)}: compression is bits of the uniform code over bits of the "
        "online code of the labels. 0: the activations say nothing; 2: a quarter of the bits is enough."
    )
    panels = [_grid_panel(title, values, grid, hover) for title, values in shown.items()]
    return draw(
        panels, f"Description length of {grid.target}", reading, Scale("log2 of<br>compression"), False, width
    )


def transfer_figure(result: ProbeTransfer, width: int = 1000) -> go.Figure:
    """Step i (row) x step j (column): accuracy of the probe fitted at i, tested at j; its controls; the angle."""
    source = ("accuracy", "control: shuffled", "control: untrained")
    shown: dict[str, Floats] = {title: result.accuracy[arm] for arm, title in enumerate(source)}
    shown["control: majority class"] = result.majority
    shown["angle / 90 degrees"] = np.degrees(result.mean_angle) / 90
    steps = tuple(str(step) for step in result.steps)
    degrees, frame = np.degrees(result.mean_angle), np.degrees(result.angles)

    def hover(i: int, j: int) -> str:
        lines = [f"<b>fitted at step {result.steps[i]}, tested at step {result.steps[j]}</b>"]
        lines.append(f"{result.n_rows[i]} rows, {result.n_rows[j]} rows")
        lines += [f"{title}: {values[i, j]:.4f}" for title, values in list(shown.items())[:-1]]
        what = "refitted on halves" if i == j else f"{frame[i, j, -1]:.1f} to {frame[i, j, 0]:.1f}"
        return "<br>".join([*lines, f"mean principal angle {degrees[i, j]:.1f} degrees ({what})"])

    panels = [
        Panel(
            title=title,
            rows=steps,
            columns=steps,
            row_title="fitted at step i",
            column_title="tested at step j",
            values=values,
            hover=_hovers(values, hover),
            sites=np.arange(values.size).reshape(values.shape),
        )
        for title, values in shown.items()
    ]
    reading = (
        f"{_title(result.target, result.status, result.role)} at {site_label(result.site)}: a {result.kind} probe "
        f"fitted at step i, tested at step j on other graphs ({result.folds} folds). Angle: mean principal angle of "
        "the two probes' subspaces, 0 the same, 1 orthogonal; on the diagonal, of two probes of half the graphs each; "
        f"random subspaces: {np.degrees(result.random.mean()) / 90:.2f}."
    )
    return draw(
        panels,
        "Does the code stay the same over steps?",
        reading,
        _ACCURACY_OR_ANGLE,
        False,
        width,
    )


def circular_figure(result: CircularProbe, width: int = 1000) -> go.Figure:
    """Frequency x step, for every site: held-out R^2 (below -1 drawn as -1), its controls, and the power."""
    panels: list[Panel] = []
    for column, site in enumerate(result.sites):
        named = {"R²": 0, "untrained": 2, "shuffled": 1}
        shown = {title: result.r2[arm, :, column] for title, arm in named.items()}
        shown["power"] = result.power[:, column]

        def hover(wave: int, row: int, column: int = column) -> str:
            r2, decoded = result.r2[:, row, column, wave], result.decoded[:, row, column]
            return (
                f"<b>step {result.steps[row]}, {result.sites[column]}, frequency {result.frequencies[wave]}</b><br>"
                f"R² {r2[0]:.4f} (shuffled {r2[1]:.4f}, untrained {r2[2]:.4f})<br>"
                f"power {result.power[row, column, wave]:.4f}; alone decodes "
                f"{result.decoded_alone[row, column, wave]:.1%}<br>all frequencies decode {decoded[0]:.1%} "
                f"(shuffled {decoded[1]:.1%}, untrained {decoded[2]:.1%})"
            )

        panels += [
            Panel(
                title=f"{site_label(site)}: {title}",
                rows=tuple(str(wave) for wave in result.frequencies),
                columns=tuple(str(step) for step in result.steps),
                row_title="frequency f",
                column_title="step",
                values=values.T.clip(min=-1),
                hover=_hovers(values.T, hover),
                sites=np.arange(values.size).reshape(values.shape),
                scale=_POWER if title == "power" else None,
            )
            for title, values in shown.items()
            if not np.isnan(values).all()
        ]
    reading = (
        f"{_title(result.target, result.status, None)}: how well cos and sin of 2πf·value/{result.modulus} are read "
        "on other graphs, by frequency and step; power: share of the mean activations' variation at that frequency. "
        "All alike: no circle is singled out."
    )
    return draw(panels, f"Circular probe of {result.target}", reading, Scale("R²"), False, width)


def sparse_figure(result: SparseProbe, width: int = 700) -> go.Figure:
    """ROC AUC against the number of dimensions, with both controls."""
    frame: Any = result.to_frame()
    lines = {
        "probe": ("roc_auc", MARK_COLOUR, "solid"),
        "random dimensions": ("roc_auc_random_dimensions", UNSOLVED_COLOUR, "solid"),
        "shuffled labels": ("roc_auc_shuffled_labels", UNSOLVED_COLOUR, "dot"),
    }
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": frame["k"].tolist(),
            "y": frame[column].tolist(),
            "text": [f"dimensions {chosen}" if name == "probe" else name for chosen in frame["dimensions"]],
            "hovertemplate": "%{text}<br>k = %{x}: AUC %{y:.3f}<extra></extra>",
            "line": {"color": colour, "dash": dash},
        }
        for name, (column, colour, dash) in lines.items()
    ]
    legend, below = legend_below(list(lines), width, 46)
    layout: dict[str, Any] = {
        "width": width,
        "height": 380 + below - 50,
        "margin": {"l": 60, "r": 12, "t": 84, "b": below},
        "legend": legend,
        "title": {
            "text": f"{result.target} {result.positive} from k dimensions",
            "x": 0.01,
            "subtitle": {
                "text": f"{result.site}, step {result.step}; on graphs that were not fitted to; 0.5 is chance"
            },
        },
        "xaxis": {"title": {"text": "dimensions k"}, "type": "log", "tickvals": frame["k"].tolist()},
        "yaxis": {"title": {"text": "area under the ROC curve"}},
    }
    return make_figure(traces, layout)


def _grid_panel(
    title: str, values: Floats, grid: ProbeGrid, hover: Callable[[int, int], str], scale: Scale | None = None
) -> Panel:
    return Panel(
        title=title,
        rows=tuple(str(step) for step in grid.steps),
        columns=tuple(site_label(site) for site in grid.sites),
        row_title="step",
        column_title="layer and site",
        values=values,
        hover=_hovers(values, hover),
        sites=np.arange(values.size).reshape(values.shape),
        scale=scale,
    )


def _grid_hover(grid: ProbeGrid, row: int, column: int) -> str:
    counts = f"{grid.n_rows[row]} rows of {grid.n_graphs[row]} graphs, {grid.n_classes[row]} classes"
    lines = [f"<b>step {grid.steps[row]}, {grid.sites[column]}</b>"]
    if np.isnan(grid.mean[row, column]):
        return "<br>".join([*lines, f"not measured: {counts}"])
    lines.append(f"accuracy {grid.mean[row, column]:.4f} (sd {grid.sd[row, column]:.4f} over folds)")
    controls = [f"{arm} {grid.of(arm)[row, column]:.4f}" for arm in ARMS[1:]]
    lines += ["; ".join(controls), f"majority class {grid.majority_mean[row]:.4f}"]
    return "<br>".join([*lines, f"selectivity {grid.selectivity[row, column]:+.4f}", counts])


def _hovers(values: Floats, hover: Callable[[int, int], str]) -> list[list[str]]:
    return [[hover(row, column) for column in range(values.shape[1])] for row in range(values.shape[0])]


def _title(target: str, status: str | None, role: str | None) -> str:
    parts: Sequence[str] = [target, f"nodes {status}" if status else "all nodes", *([role] if role else [])]
    return ", ".join(parts)
