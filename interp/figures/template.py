"""What all figures share: one plotly template, one colour per value symbol, one per step.

Values are categorical: neighbouring numbers get unrelated colours, never a gradient. Steps are ordered, so theirs run
from dark to light. Red is kept for what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from plotly.colors import sample_colorscale  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from models.vocabulary import FactoredVocabulary

VALUE_COLOURS: Final = (
    "#4c78c8", "#1ee187", "#f0b42d", "#d23ca5", "#5a781e", "#ffa587", "#1ee1e1", "#f0b4ff", "#b4e15a", "#874b1e",
    "#963c5a", "#1e8769", "#784bc3", "#1ec3ff", "#c3c387", "#e1692d", "#ff6996", "#1e6987", "#a5872d", "#784b87",
    "#1e962d", "#f087ff", "#e1a5b4",
)  # fmt: skip
"""One colour per value 0..22, each at least 28 CIELAB units from all others, from EMPTY, N/A and the red of errors."""

EMPTY_COLOUR: Final = "#eceef3"
N_A_COLOUR: Final = "#8c8c8c"
WRONG_COLOUR: Final = "#e0002a"
UNSOLVED_COLOUR: Final = "#a9adb8"
EDGE_COLOUR: Final = "#d5d8e0"
MARK_COLOUR: Final = "#3457d5"
INK: Final = "#1c2030"

TEMPLATE: Final = go.layout.Template(
    layout={
        "font": {"family": "Source Sans Pro, Helvetica, Arial, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "colorway": list(VALUE_COLOURS),
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": UNSOLVED_COLOUR,
            "font": {"color": INK},
            "align": "left",
        },
        "hovermode": "closest",
        "margin": {"l": 60, "r": 12, "t": 40, "b": 50},
        "xaxis": {"gridcolor": "#eef0f4", "zeroline": False, "ticks": "", "automargin": False},
        "yaxis": {"gridcolor": "#eef0f4", "zeroline": False, "ticks": "", "automargin": False},
    }
)


def make_figure(traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> go.Figure:
    """A figure from plain plotly data, with the common template."""
    return go.Figure(data=list(traces), layout={"template": TEMPLATE, **layout})


def title_of(title: str, reading: str) -> dict[str, Any]:
    """The ``title`` of a layout, at the top left, ``reading`` (lines parted by ``<br>``) as a sentence under it."""
    return {
        "text": title,
        "x": 0.01,
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 12},
        "subtitle": {"text": reading, "font": {"size": 12, "color": INK}},
    }


def value_signs(vocabulary: FactoredVocabulary) -> list[str]:
    """What stands in a cell for each symbol of the value factor: the number, a dash for N/A, nothing for EMPTY."""
    return [*(str(value) for value in range(vocabulary.modulus)), "–", ""]


def value_colours(modulus: int) -> list[str]:
    """One colour per symbol of the value factor, in the order of their ids: 0..modulus-1, N/A, EMPTY.

    Beyond 23 values colours come again; numbers in the cells still tell them apart.
    """
    values = [VALUE_COLOURS[value % len(VALUE_COLOURS)] for value in range(modulus)]
    return [*values, N_A_COLOUR, EMPTY_COLOUR]


def discrete_scale(colours: list[str]) -> list[list[float | str]]:
    """A plotly colour scale that is constant around every id: use it with ``zmin=-0.5, zmax=len(colours) - 0.5``."""
    n = len(colours)
    return [[edge / n, colour] for k, colour in enumerate(colours) for edge in (k, k + 1)]


def step_colours(n_steps: int) -> list[str]:
    """A colour per step, dark to light, so that order can be seen."""
    places = [0.04 + 0.9 * step / max(n_steps - 1, 1) for step in range(n_steps)]
    sampled = cast("list[str]", sample_colorscale("Viridis", places))
    return [_hex(colour) for colour in sampled]


def state_label(state: int) -> str:
    """What a state is called by the step that wrote it: ``start`` for state 0, ``0`` for state 1, and so on."""
    return "start" if state == 0 else str(state - 1)


def text_colour(background: str) -> str:
    """Black or white, whichever reads better on a colour given as #rrggbb (WCAG relative luminance)."""
    channels = [int(background[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if (luminance + 0.05) / 0.062 > 1.05 / (luminance + 0.05) else "#ffffff"


def _hex(colour: str) -> str:
    red, green, blue = (round(float(part)) for part in colour[4:-1].split(","))
    return f"#{red:02x}{green:02x}{blue:02x}"
