"""Coefficients by part beside what a part is worth, over step and temperature, over training; and directions needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR, step_colours
from interp.neighbours.degeneracy import FACTORS, WHOLE
from interp.neighbours.lines import line

if TYPE_CHECKING:
    from interp.neighbours.degeneracy import Degeneracy

_MLP: Final = "#e1692d"
_BASES: Final = {
    "interaction": ("interaction basis", "solid"),
    "principal": ("principal components", "dash"),
    "random": ("random directions", "dot"),
}


def degeneracy_figure(found: Degeneracy, width: int = 1000) -> go.Figure:
    """Heads and MLPs; the plateau; snapshots of training; directions of the residual stream."""
    names = list(found.cost)
    traces = [
        _bars(label, [name for name in names if name.startswith("mlp") is mlps], found, colour)
        for label, mlps, colour in (("head", False, MARK_COLOUR), ("MLP", True, _MLP))
    ]
    by_cost = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "legendgroup": label,
            "showlegend": False,
            "x": [max(found.cost[name], 1e-6) for name in chosen],
            "y": [max(float(found.parts[name].mean()), 1e-6) for name in chosen],
            "text": chosen,
            "marker": {"size": 8, "color": colour},
            "hovertemplate": "%{text}: %{y:.3g}, without it %{x:.2g} nats more<extra></extra>",
        }
        for label, colour, chosen in (
            ("head", MARK_COLOUR, [name for name in names if not name.startswith("mlp")]),
            ("MLP", _MLP, [name for name in names if name.startswith("mlp")]),
        )
    ]
    axis = {"type": "category", "categoryorder": "array", "categoryarray": names, "tickangle": -90}
    charts = [
        Chart("heads and MLPs", "part", "coefficient", traces, axis, {"rangemode": "tozero"}),
        Chart(
            "beside what each is worth",
            "nats more without it (at least 1e-6)",
            "coefficient",
            by_cost,
            {"type": "log", "dtick": 2, "exponentformat": "power", "tickfont": {"size": 10}},
            {"type": "log", "dtick": 1, "exponentformat": "power", "tickfont": {"size": 10}},
        ),
        _plateau(found),
        _training(found),
        *_directions(found),
    ]
    reading = (
        f"Local learning coefficients of the loss of {found.n_steps} single steps. Top: of one part alone, and what "
        "the loss rises by without it; of all weights at other steps and temperatures, where a plateau is flat. "
        "Below: over training, marks where heads come to look at what they look at; and due values written with the "
        "first directions of a basis alone."
    )
    return draw_charts(charts, "How degenerate is the loss of a step?", reading, 3, width)


def _bars(label: str, names: list[str], found: Degeneracy, colour: str) -> dict[str, Any]:
    values = [found.parts[name] for name in names]
    means = [float(one.mean()) for one in values]
    return {
        "type": "bar",
        "name": label,
        "legendgroup": label,
        "x": names,
        "y": means,
        "error_y": {
            "array": [float(one.max()) - mean for one, mean in zip(values, means, strict=True)],
            "arrayminus": [mean - float(one.min()) for one, mean in zip(values, means, strict=True)],
            "thickness": 1,
        },
        "marker": {"color": colour},
        "hovertemplate": "%{x}: %{y:.3g}<extra></extra>",
    }


def _plateau(found: Degeneracy) -> Chart:
    grid = found.grid
    colours = step_colours(len(FACTORS))
    traces = [
        line(f"n beta x {factor:g}", [f"x {one:g}" for one in FACTORS], grid[row].tolist(), colours[row])
        for row, factor in enumerate(FACTORS)
    ] if grid is not None else []  # fmt: skip
    note = "" if grid is not None else "not asked for"
    return Chart(WHOLE, "step", "coefficient", traces, {"type": "category"}, {"rangemode": "tozero"}, note)


def _training(found: Degeneracy) -> Chart:
    over = found.over
    if over is None:
        return Chart(
            "over training",
            "training step",
            "coefficient",
            [],
            {"type": "log", "dtick": 1},
            {},
            "no snapshots",
        )
    steps = over.steps.tolist()
    heads = {head: role for role, head in over.heads.items()}
    traces = [line(WHOLE, steps, over.values[WHOLE].tolist(), INK)]
    for head, role in heads.items():
        colour = MARK_COLOUR if role.startswith("name") else "#7f9bea"
        kind = "heads of names" if role.startswith("name") else "heads of values"
        first = kind not in {trace.get("name") for trace in traces}
        traces.append(
            line(kind, steps, over.values[head].tolist(), colour, shown=first) | {"text": [head] * len(steps)}
        )
        at = over.onsets[role]
        if np.isfinite(at):
            level = float(np.interp(at, over.steps, over.values[head]))
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "showlegend": False,
                    "x": [at],
                    "y": [level],
                    "marker": {"symbol": "diamond-open", "size": 9, "color": colour, "line": {"width": 2}},
                    "hovertemplate": f"head {head} looks at {role}: step %{{x:.0f}}<extra></extra>",
                }
            )
    traces += [
        line("MLPs", steps, values.tolist(), _MLP, shown=name == "mlp0")
        for name, values in over.values.items()
        if name.startswith("mlp")
    ]
    return Chart("over training", "training step", "coefficient", traces, {"type": "log", "dtick": 1}, {})


def _directions(found: Degeneracy) -> list[Chart]:
    charts: list[Chart] = []
    for number, basis in enumerate(found.bases[-2:]):
        traces = [
            line(
                _BASES[name][0],
                basis.kept.tolist(),
                written.tolist(),
                UNSOLVED_COLOUR if name == "random" else INK if name == "principal" else "#d23ca5",
                _BASES[name][1],
                shown=number == 0,
                form=".1%",
            )
            for name, written in basis.written.items()
        ]
        title = f"after layer {basis.layer}"
        charts.append(
            Chart(
                title, "directions put back", "due values", traces, {"type": "log", "dtick": 1}, share_axis()
            )
        )
    return charts
