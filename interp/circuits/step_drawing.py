"""Drawing kit of the circuits of one step: what is read at the left, components layer by layer, what is written at the
right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from interp.causal.ablation import Component
from interp.figures.template import INK

if TYPE_CHECKING:
    from interp.circuits.changes import Thing
    from models.graph import ComputationGraph

OPERAND_COLOURS: Final = ("#3457d5", "#c2571a", "#1e8769")
"""Of what belongs to the first, second and third operand."""
WRITTEN: Final = "written"
"""The place of what is written."""
ROW: Final = 46
"""Pixels of a row."""
_WIDEST: Final = 7.0
FILLS: Final = {"head": "#eceef3", "mlp": "#fff4d6", "right": "#d9f2e6", "wrong": "#fbd9de"}
"""Of a head and an MLP, and of what is written."""

Places = dict[object, tuple[float, float]]
"""Thing, component or :data:`WRITTEN` -> where it stands."""
Column = tuple[int, bool]
"""Layer, and whether it is its MLP's."""


def column_of(part: Component) -> Column:
    """The column of a component."""
    return part.layer, part.head is None


def places_of(things: Sequence[Thing], parts: Sequence[Component]) -> tuple[Places, list[Column]]:
    """Where things, components (in the order of their columns) and what is written stand; and the columns of parts."""
    columns = list(dict.fromkeys(column_of(part) for part in parts))
    places: Places = {}
    members = [list(things), *([part for part in parts if column_of(part) == column] for column in columns)]
    for x, one in enumerate([*members, [WRITTEN]]):
        for number, member in enumerate(one):
            places[member] = (x, (len(one) - 1) / 2 - number)
    return places, columns


def rows_of(places: Places) -> int:
    """Rows that the fullest column needs, 3 at least."""
    columns = [x for x, _ in places.values()]
    return max(3, *(columns.count(x) for x in columns))


def axes_of(columns: Sequence[Column], rows: int) -> dict[str, Any]:
    """Axes whose labels name the columns."""
    end = len(columns) + 1
    names = ["read", *("MLP" if mlp else "heads" for _, mlp in columns), WRITTEN]
    below = ["", *(f"<br>layer {layer}" for layer, _ in columns), ""]
    return {
        "showlegend": False,
        "xaxis": {
            "range": [-0.6, end + 0.6],
            "tickvals": list(range(end + 1)),
            "ticktext": [name + under for name, under in zip(names, below, strict=True)],
            "tickangle": 0,
            "showgrid": False,
            "side": "bottom",
        },
        "yaxis": {"range": [-rows / 2, rows / 2], "visible": False},
    }


def thing_name(graph: ComputationGraph, node: int, thing: Thing) -> str:
    """What a thing is, and whose."""
    if thing.operand is None:
        return thing.kind
    return f"{thing.kind} of {graph.nodes[graph.nodes[node].operands[thing.operand]].name}"


def line(
    start: tuple[float, float], end: tuple[float, float], thing: Thing, effect: float, dashed: bool
) -> dict[str, Any]:
    """A curve that leaves and arrives horizontally, in the colour of a thing and as wide as an effect (0 to 1)."""
    (x, y), (to, up) = start, end
    share = [place / 12 for place in range(13)]
    eased = [part * part * (3 - 2 * part) for part in share]
    colour = INK if thing.operand is None else OPERAND_COLOURS[thing.operand % len(OPERAND_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x + part * (to - x) for part in share],
        "y": [y + part * (up - y) for part in eased],
        "line": {
            "color": colour,
            "width": 0.8 + _WIDEST * min(effect, 1.0),
            "dash": "dash" if dashed else "solid",
        },
        "opacity": 0.55,
        "hoverinfo": "skip",
    }


def hovers(
    points: Sequence[tuple[tuple[float, float], tuple[float, float]]], texts: list[str]
) -> dict[str, Any]:
    """Invisible points half-way along lines, with what they say."""
    return {
        "type": "scatter",
        "name": "effects",
        "mode": "markers",
        "x": [(start[0] + end[0]) / 2 for start, end in points],
        "y": [(start[1] + end[1]) / 2 for start, end in points],
        "marker": {"size": 16, "opacity": 0},
        "hovertext": texts,
        "hoverinfo": "text",
    }


def discs(
    places: Mapping[object, tuple[float, float]],
    things: Sequence[Thing],
    parts: Sequence[Component],
    named: Callable[[Thing], str],
    label: str,
    right: bool,
) -> list[dict[str, Any]]:
    """The marks: squares of things, circles of components, and a square of what is written, green where it is right."""
    groups: list[tuple[Sequence[Any], list[str], Sequence[str], str]] = [
        (
            things,
            [named(thing).replace(" of ", "<br>") for thing in things],
            ["#ffffff"] * len(things),
            "square",
        ),
        (
            parts,
            ["MLP" if part.head is None else f"{part.layer}.{part.head}" for part in parts],
            [FILLS["mlp" if part.head is None else "head"] for part in parts],
            "circle",
        ),
        ([WRITTEN], [label], [FILLS["right" if right else "wrong"]], "square"),
    ]
    traces: list[dict[str, Any]] = []
    for members, texts, fills, symbol in groups:
        spots = [places[member] for member in members]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "hoverinfo": "text",
                "x": [x for x, _ in spots],
                "y": [y for _, y in spots],
                "text": texts,
                "hovertext": [text.replace("<br>", " ") for text in texts],
                "textfont": {"size": 11, "color": INK},
                "marker": {
                    "symbol": symbol,
                    "size": 38,
                    "color": fills,
                    "opacity": 1,
                    "line": {"color": "#a9adb8", "width": 1},
                },
            }
        )
    return traces
