"""Traces that the figures of this folder have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def line(
    name: str,
    x: Sequence[Any],
    y: Sequence[float],
    colour: str,
    dash: str = "solid",
    shown: bool = True,
    mode: str = "lines+markers",
    group: str = "",
    form: str = ".3g",
) -> dict[str, Any]:
    """A line with small marks; hover says its name and both numbers. group: entry of the legend that it belongs to."""
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "legendgroup": group or name,
        "showlegend": shown,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"size": 5, "color": colour},
        "hovertemplate": f"{name}<br>%{{x}}: %{{y:{form}}}<extra></extra>",
    }


def between(
    x: Sequence[Any], low: Sequence[float], high: Sequence[float], colour: str, group: str
) -> dict[str, Any]:
    """The area between two lines, in a pale colour; it belongs to the legend's entry `group`. colour: #rrggbb."""
    return {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": group,
        "showlegend": False,
        "x": [*x, *reversed(list(x))],
        "y": [*high, *reversed(list(low))],
        "fill": "toself",
        "fillcolor": f"rgba({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))}, 0.15)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
