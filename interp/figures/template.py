"""What all figures share: one plotly template, one colour per value symbol, one per step.

Values are categorical: neighbouring numbers get unrelated colours, never a gradient. Steps are ordered, so theirs run
from dark to light. Red is kept for what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from plotly.colors import sample_colorscale  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from interp.figures.palette import apart
from models.vocabulary import FactoredVocabulary

VALUE_COLOURS: Final = (
    "#ffff00", "#ffe196", "#4bc3ff", "#0000f0", "#0f0078", "#00003c", "#0f1e00", "#004b96", "#694b4b", "#96c396",
    "#4b96ff", "#7878b4", "#0000b4", "#ffff78", "#e17800", "#693c69", "#4bc3d2", "#ffc32d", "#3c965a", "#006900",
    "#00d25a", "#f0ffd2", "#4b4bff",
)  # fmt: skip
"""One colour per value 0..22, each at least 18 CIELAB units from all others and from :data:`KEPT_FREE`, also to readers
with deuteranopia or protanopia; each is far from those before it, so that few values are even further apart. Made by
:mod:`analyses.benchmarks.colours`."""

EMPTY_COLOUR: Final = "#eceef3"
N_A_COLOUR: Final = "#8c8c8c"
WRONG_COLOUR: Final = "#e0002a"
UNSOLVED_COLOUR: Final = "#a9adb8"
EDGE_COLOUR: Final = "#d5d8e0"
MARK_COLOUR: Final = "#3457d5"
INK: Final = "#1c2030"
ON_LIGHT: Final = "#1b1f2f"
ON_DARK: Final = "#fefefe"
"""Ink on colours that say what something is: those, and so these, are the same on a dark page."""
KEPT_FREE: Final = (EMPTY_COLOUR, N_A_COLOUR, WRONG_COLOUR, INK, MARK_COLOUR)
"""Colours that mean something else, in cells and as frames of cells."""

LEAST_WIDTH: Final = 640
"""Width in pixels of a page's figures on a screen that is 1024 pixels wide; texts are broken to fit it."""
_SIDES: Final = 24
"""Pixels beside a text of a figure, left and right together."""
_LAST: Final = 0.4
"""Share of a line that the last of several has at least, where that needs no further line."""
_USUAL: Final = 556
_WIDTHS: Final = {
    letter: width
    for letters, width in {
        "'": 191, "ijl": 222, "|": 260, " ftI.,:;/![]\u00a0": 278, "r()-": 333, "ckvxyzsJ": 500, "+<=>~": 584,
        "TFZ": 611, "ABEKPSVXY&": 667, "wCDHNRU": 722, "GOQ": 778, "mM": 833, "%": 889, "W": 944, "@": 1015,
    }.items()
    for letter in letters
}  # fmt: skip
"""Widths of letters in Helvetica and Arial, in thousandths of their size; of all others :data:`_USUAL`."""

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


def make_figure(
    traces: Sequence[dict[str, Any]], layout: dict[str, Any], least_width: float = LEAST_WIDTH
) -> go.Figure:
    """A figure from plain plotly data, with the common template.

    least_width: pixels below which it cannot be read, kept in ``layout.meta``; a narrower page has to scroll.
    """
    meta = {"least_width": round(least_width)}
    axes = {name: axis | _spaced(axis) for name, axis in layout.items() if name.startswith("coloraxis")}
    data = [trace | _spaced(trace) for trace in traces]
    return go.Figure(data=data, layout={"template": TEMPLATE, "meta": meta, **layout, **axes})


def _spaced(axis: dict[str, Any]) -> dict[str, Any]:
    """The bar of a colour axis or a trace with empty lines under its title, which would touch the topmost number."""
    bar = axis.get("colorbar", {})
    text = bar.get("title", {}).get("text")
    if not text or bar.get("orientation") == "h" or "side" in bar["title"]:
        return {}
    # Of empty lines at the end plotly leaves out one.
    title = bar["title"] | {"text": f"{text}<br>\u00a0<br>\u00a0", "font": {"size": 12}}
    return {"colorbar": bar | {"title": title}}


def least_width(figure: go.Figure) -> int:
    """Width in pixels below which a figure cannot be read; 0 of one that was not made here."""
    meta: Any = cast("Any", figure).layout.meta
    return int(meta.get("least_width", 0)) if hasattr(meta, "get") else 0


def wrapped(text: str, width: float) -> str:
    """Text of 12 pixels, broken into lines that can be read where a figure of that width is drawn at its narrowest.

    Where the last line would have a word or two alone, those before it are shorter.
    """
    room = min(width, LEAST_WIDTH) - _SIDES
    return "<br>".join(line for part in text.split("<br>") for line in _lines(part.split(), room))


def _lines(words: Sequence[str], room: float) -> list[str]:
    """As few lines as hold the words, as wide as can be with at least :data:`_LAST` of that on the last."""
    lines = _filled(words, room)
    if len(lines) < 2:
        return lines
    narrower = room
    while text_width(lines[-1]) < _LAST * room and narrower > room / 2:
        narrower -= 10
        even = _filled(words, narrower)
        if len(even) > len(lines):
            break
        lines = even
    return lines


def _filled(words: Sequence[str], room: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and text_width(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def text_width(text: str, size: float = 12) -> float:
    """Pixels of a line of text in the widest of the template's fonts, by its table of widths."""
    return size / 1000 * sum(_WIDTHS.get(letter, _USUAL) for letter in text)


def legend_below(
    names: Sequence[str], width: float, below: float, size: float = 12
) -> tuple[dict[str, Any], int]:
    """A legend under a figure whose axes need ``below`` pixels, and the bottom margin that it needs with them.

    names: of all entries. width: of the figure, in pixels; at its narrowest it is that or :data:`LEAST_WIDTH`.
    """
    entry = 54 + 0.56 * size * max(map(len, names), default=0)
    lines = -(-len(names) // max(1, int((min(width, LEAST_WIDTH) - 90) / entry)))
    place = {
        "orientation": "h",
        "x": 0,
        "xref": "container",
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
    }
    return place | {"font": {"size": size}}, int(below + (size + 7) * lines + 12)


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

    Beyond 23 values each colour is the farthest from those before it, and nearer the more there are: 14 units at 31, 10
    at 64. The numbers in the cells tell them apart.

    Raises:
        ValueError: more values than there are colours.
    """
    return [*apart(VALUE_COLOURS, KEPT_FREE, modulus), N_A_COLOUR, EMPTY_COLOUR]


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
    """:data:`ON_LIGHT` or :data:`ON_DARK`, whichever reads better on a colour given as #rrggbb."""
    return max((ON_LIGHT, ON_DARK), key=lambda ink: contrast(ink, background))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours given as #rrggbb, from 1 to 21 (WCAG 2.2, relative luminance)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    """``one`` with so large a share of ``other``, both given as #rrggbb."""
    parts = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    shares = [channel / 255 for channel in _channels(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hex(colour: str) -> str:
    red, green, blue = (round(float(part)) for part in colour[4:-1].split(","))
    return f"#{red:02x}{green:02x}{blue:02x}"
