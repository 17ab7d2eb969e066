"""Training dynamics: every measure over training, the order in which they appear, and distances heads are born with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import UNSOLVED_COLOUR, legend_below, make_figure, title_of, wrapped
from interp.mechanism.onsets import half_way

if TYPE_CHECKING:
    from interp.mechanism.born_distances import BornDistances
    from interp.mechanism.onsets import TrainingDynamics

_COLOURS: Final = {
    "name": ("#7f9bea", "#4c78c8", "#1f36a0"),
    "value": ("#ffb27f", "#e1692d", "#8a3d00"),
    "right": ("#8fd6a8", "#1e962d", "#145c1e"),
    "fourier": ("#d23ca5", "#784bc3"),
    "other": ("#8c8c8c", "#874b1e", "#1ea5b4", "#1c2030"),
}
"""A hue a kind of measure."""


def training_figure(result: TrainingDynamics, width: int = 1000) -> go.Figure:
    """Measure over training step (log), a line a measure; a dot where it appears."""
    colours = _by_measure(list(result.measures))
    legend, below = legend_below([_legend(name) for name in result.measures], width, 50, 11)
    traces: list[dict[str, Any]] = []
    for name, values in result.measures.items():
        traces.append(
            {
                "type": "scatter",
                "name": _legend(name),
                "legendgroup": name,
                "x": result.steps,
                "y": values,
                "mode": "lines+markers",
                "line": {"color": colours[name], "width": 2},
                "marker": {"size": 4},
                "hovertemplate": f"{_legend(name)}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
            }
        )
        at = result.onset(name)
        if not np.isnan(at):
            traces.append(
                {
                    "type": "scatter",
                    "legendgroup": name,
                    "showlegend": False,
                    "x": [at],
                    "y": [half_way(values)],
                    "mode": "markers",
                    "marker": {"size": 11, "color": "#ffffff", "line": {"color": colours[name], "width": 3}},
                    "hovertemplate": f"{_legend(name)}<br>appears at step {at:.0f}<extra></extra>",
                }
            )
    layout: dict[str, Any] = {
        "width": width,
        "height": 540 + below,
        "margin": {"l": 64, "r": 20, "t": 100, "b": below},
        "title": title_of(
            "What is learnt when",
            wrapped(
                f"Snapshots of one training run on the same {result.graphs} graphs. A ring marks where a measure "
                "passes half of its rise for good.",
                width,
            ),
        ),
        "xaxis": {"type": "log", "title": {"text": "training step (log)"}, "dtick": 1},
        "yaxis": {"title": {"text": "share"}, "range": [-0.02, 1.03]},
        "legend": legend,
    }
    return make_figure(traces, layout)


def onset_figure(result: TrainingDynamics, width: int = 1000) -> go.Figure:
    """Measures in the order in which they appear; the bar spans the two snapshots between which each does."""
    frame = cast(Any, result.onsets())
    known = frame[frame["onset"].notna()].iloc[::-1]
    colours = _by_measure(list(result.measures))
    names = [str(name) for name in known["what"]]
    first = float(result.steps[0])
    before = [first if value is None or np.isnan(value) else float(value) for value in known["before"]]
    after = [float(value) for value in known["after"]]
    traces: list[dict[str, Any]] = []
    for name, low, high in zip(names, before, after, strict=True):
        traces.append(
            {
                "type": "scatter",
                "x": [low, high],
                "y": [name, name],
                "mode": "lines",
                "line": {"color": UNSOLVED_COLOUR, "width": 5},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    traces.append(
        {
            "type": "scatter",
            "x": list(known["onset"]),
            "y": names,
            "mode": "markers",
            "marker": {"size": 11, "color": [colours[str(name)] for name in known["measure"]]},
            "customdata": np.stack([known["lowest"], known["end"]], 1) if len(known) else None,
            "hovertemplate": "%{y}<br>appears at step %{x:.0f}; from %{customdata[0]:.2f} to %{customdata[1]:.2f}"
            "<extra></extra>",
            "showlegend": False,
        }
    )
    layout: dict[str, Any] = {
        "width": width,
        "height": 176 + 26 * len(known),
        "margin": {"l": 340, "r": 24, "t": 100, "b": 64},
        "title": title_of(
            "Which comes first",
            wrapped(
                "The first measure to appear is on top; bars span the snapshots before and after, so overlapping ones "
                "are not ordered.",
                width,
            ),
        ),
        "xaxis": {"type": "log", "title": {"text": "training step (log)"}, "dtick": "D2", "tickformat": "~s"},
        "yaxis": {"type": "category"},
    }
    return make_figure(traces, layout)


def born_figure(result: BornDistances, width: int = 1000) -> go.Figure:
    """Head x snapshot: softmax of the bias, and attention, at the distance that the head was born with."""
    heads = tuple(f"0.{head}: {head} back" for head in range(result.bias.shape[1]))
    steps = tuple(str(step) if step else "birth" for step in result.steps.tolist())
    panels: list[Panel] = []
    for title, values in (
        ("bias alone (softmax)", result.bias),
        ("attention of right-hand sides", result.attention),
    ):
        hover = [
            [
                f"<b>head 0.{head}, {'at birth' if step == 'birth' else f'step {step}'}</b><br>{title}: {share:.3f} at "
                f"distance {head}<br>largest bias at distance {result.largest[at, head]}"
                for at, (step, share) in enumerate(zip(steps, values[:, head], strict=True))
            ]
            for head in range(len(heads))
        ]
        sites = np.full(values.T.shape, -1)
        panels.append(
            Panel(title, heads, steps, "head and its distance", "training step", values.T, hover, sites)
        )
    return draw(
        panels,
        "Distances that heads are born with",
        f"Head j of the first layer starts with a bias of {result.strength:g} at distance j: which head looks how far "
        "back is given. How much of what it looks at is there, by its bias alone and on runs of graphs.",
        Scale("share", signed=False),
        selectable=False,
        width=width,
    )


def _by_measure(names: list[str]) -> dict[str, str]:
    counts = dict.fromkeys(_COLOURS, 0)
    found: dict[str, str] = {}
    for name in names:
        kind = name.partition(":")[0]
        kind = kind if kind in _COLOURS else "other"
        shades = _COLOURS[kind]
        found[name] = shades[counts[kind] % len(shades)]
        counts[kind] += 1
    return found


def _legend(name: str) -> str:
    kind, _, which = name.partition(":")
    return {
        "name": f"looks at name, {which}",
        "value": f"looks up value, {which}",
        "right": f"nodes of {which} operand{'s' * (which != '1')} right",
        "fourier": f"Fourier, {'neurons' if which == 'single' else 'residual'}",
        "previous_token_head": "previous-token head",
        "induction_head": "induction head",
        "committed": "nodes commit in time",
        "solved": "graphs solved",
    }[kind]
