"""The same figure on a dark page.

What is white on paper becomes dark, ink becomes light, and scales that run from white to a dark colour run from dark to
a light one. Colours that say what something is stay; where they would hardly be seen there they become lighter.
"""

from __future__ import annotations

from typing import Any, Final, cast

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.template import EDGE_COLOUR, EMPTY_COLOUR, INK, contrast, mixed

DARK_PAPER: Final = "#14171f"
DARK_INK: Final = "#e8eaf1"
_DARK: Final = {
    "#ffffff": DARK_PAPER,
    "white": DARK_PAPER,
    INK: DARK_INK,
    EMPTY_COLOUR: "#2a2f3d",
    EDGE_COLOUR: "#4a5060",
    "#eef0f4": "#262a36",
    "#f4f5f8": "#1d212b",
    "#c3c8d4": "#5a6172",
    "#6b7080": "#a3a9b8",
    # scales from white to blue and from white to brown, and fills with ink on them
    "#e3e9fb": "#222b4a",
    "#d8e1fa": "#253257",
    "#c9d5f7": "#2b3f7d",
    "#b9c7f2": "#34416e",
    "#b9c6f2": "#34416e",
    "#7f9bea": "#4a69c9",
    "#3f5fc9": "#7f9bea",
    "#1f36a0": "#b9c8ff",
    "#8a3d00": "#ffb27a",
    "#f0b42d": "#8f6a10",
    # fills with ink on them: of an MLP, of what is right and of what is wrong
    "#fff4d6": "#54481f",
    "#d9f2e6": "#1f4a39",
    "#fbd9de": "#5c2731",
}
"""Colour on white paper -> colour on dark paper."""
_SEEN: Final = 3.0
"""Contrast with the paper that lines and points need (WCAG 2.2, 1.4.11)."""


def dark(figure: go.Figure) -> go.Figure:
    """A copy of the figure for a dark page."""
    spec = cast("Any", figure).to_plotly_json()
    # What plotly checked already needs no second check, which takes longer than the change.
    return go.Figure(_darkened(spec, ""), skip_invalid=True)


def on_dark(colour: str, drawn: bool = False) -> str:
    """What a colour is on dark paper; drawn: whether it is of a line, a point or a bar, which has to be seen there."""
    known = _DARK.get(colour.lower())
    if known is not None or not drawn or len(colour) != 7 or colour[0] != "#":
        return known or colour
    share = 0.0
    while contrast(mixed(colour, "#ffffff", share), DARK_PAPER) < _SEEN:
        share += 0.1
    return mixed(colour, "#ffffff", share)


def _darkened(part: Any, name: str, drawn: bool = False) -> Any:
    """A part of a figure, where `name` is what it is called there."""
    if isinstance(part, str):
        return on_dark(part, drawn) if part[:1] == "#" or part == "white" else part
    if isinstance(part, dict):
        inside = name in ("line", "marker")
        members = cast("dict[str, Any]", part)
        return {key: _darkened(value, key, inside and key == "color") for key, value in members.items()}
    if isinstance(part, list | tuple) and name not in ("text", "hovertext", "customdata", "x", "y", "z"):
        return [_darkened(value, name, drawn) for value in cast("list[Any]", part)]
    return cast("Any", part)
