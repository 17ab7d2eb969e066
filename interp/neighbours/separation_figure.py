"""Heads in the plane of what they look at, with a scrubber over training; and how far their kinds are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.captioned import captioned
from interp.figures.charts import Chart, draw_charts, share_axis
from interp.figures.template import EDGE_COLOUR, INK, MARK_COLOUR, UNSOLVED_COLOUR, make_figure
from interp.mechanism.variances import PLACES
from interp.neighbours.lines import line

if TYPE_CHECKING:
    from interp.neighbours.separation import HeadSeparation

_KINDS: Final = {
    "name": ("name heads", MARK_COLOUR),
    "lookup": ("lookup heads", "#e1692d"),
    "other": ("other heads", UNSOLVED_COLOUR),
}
"""Kind -> what it is called, and its colour."""


def plane_figure(found: HeadSeparation, width: int = 1000) -> go.Figure:
    """The last moment, and a slider that leads to every other."""
    labels = [_moment(found, number) for number in range(len(found.moments))]
    frames = [
        go.Frame(name=str(number), data=_traces(found, number), traces=[0, 1, 2, 3])
        for number in range(len(labels))
    ]
    steps: list[dict[str, Any]] = [
        {
            "label": label,
            "method": "animate",
            "args": [
                [str(number)],
                {
                    "mode": "immediate",
                    "frame": {"duration": 0, "redraw": False},
                    "transition": {"duration": 200},
                },
            ],
        }
        for number, label in enumerate(labels)
    ]
    reading = (
        "Left: a head is a mark, by how much it looks at an operand's name and at the place where an operand's value "
        "stands. Right: embeddings of the values, in the plane of the two largest principal components of the last "
        "moment, in which they "
        f"hold {found.held[-1]:.0%} of the variance. Move the slider through training."
    )
    layout = captioned("Name and lookup heads separate", reading, width, 380, right=20, bottom=150)
    most = 1.08 * float(np.abs(found.values).max() or 1.0)
    framed: dict[str, Any] = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    share, component = framed | {"range": [-0.05, 1.05]}, framed | {"range": [-most, most]}
    layout |= {
        "xaxis": share | {"domain": [0, 0.46], "title": _title("looks at a name")},
        "yaxis": share | {"anchor": "x", "title": _title("looks a value up")},
        "xaxis2": component | {"domain": [0.56, 1], "anchor": "y2", "title": _title("component 1")},
        "yaxis2": component | {"anchor": "x2", "title": _title("component 2")},
        "legend": {"x": 0.3, "y": 0.98, "xanchor": "center", "bgcolor": "rgba(255, 255, 255, 0.7)"},
        "sliders": [
            {
                "steps": steps,
                "active": len(steps) - 1,
                "currentvalue": {"prefix": "training step: ", "font": {"size": 13, "color": INK}},
                "pad": {"t": 58},
                "font": {"size": 1, "color": "#ffffff"},
            }
        ],
    }  # fmt: skip
    figure: Any = make_figure(_traces(found, len(labels) - 1), layout)
    figure.frames = frames
    return figure


def separation_figure(found: HeadSeparation, width: int = 1000) -> go.Figure:
    """Separation of the kinds over training, and the best head of every operand."""
    trained = found.moments > 0
    steps = found.moments[trained].tolist()
    best = found.mass.max((3, 4))[trained]
    colours = {"name": ("#7f9bea", "#4c78c8", "#1f36a0"), "value": ("#ffb27f", "#e1692d", "#8a3d00")}
    heads = [
        line(f"{kind}, {place}", steps, best[:, k, p].tolist(), colours[kind][p])
        for k, kind in enumerate(colours)
        for p, place in enumerate(PLACES)
    ]
    apart = [line("separation", steps, found.separation[trained].tolist(), INK)]
    axis = {"type": "log", "dtick": 1}
    note = "" if steps else "no snapshots"
    charts = [
        Chart("kinds of heads", "training step", "separation", apart, axis, {"range": [-0.55, 1.05]}, note),
        Chart("the best head", "training step", "attention", heads, axis, share_axis(), note),
    ]
    reading = (
        "Left: half the difference in (looks values up - looks at names) between lookup heads and name heads; 1 where "
        "each looks at one thing alone. Right: for each operand the head that looks at its name most, and the one that "
        "looks its value up most."
    )
    return draw_charts(charts, "When heads part", reading, 2, width)


def _traces(found: HeadSeparation, moment: int) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for kind, (name, colour) in _KINDS.items():
        places = np.argwhere(found.kind == kind)
        x, y = (found.plane[moment, axis][found.kind == kind].tolist() for axis in (0, 1))
        labels = [f"{layer}.{head}" for layer, head in places.tolist()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": x,
                "y": y,
                "text": labels,
                "marker": {"size": 12, "color": colour, "opacity": 0.8},
                "hovertemplate": "head %{text}<br>names %{x:.2f}, values %{y:.2f}<extra></extra>",
                "cliponaxis": False,
            }
        )
    values = found.values[moment]
    traces.append(
        {
            "type": "scatter",
            "mode": "text",
            "x": values[:, 0].tolist(),
            "y": values[:, 1].tolist(),
            "text": [str(value) for value in range(len(values))],
            "xaxis": "x2",
            "yaxis": "y2",
            "showlegend": False,
            "hovertemplate": "value %{text}<extra></extra>",
        }
    )
    return traces


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 6, "font": {"size": 12}}


def _moment(found: HeadSeparation, number: int) -> str:
    step = int(found.moments[number])
    return str(step) if step > 0 else "untrained" if number == 0 else "as trained"
