"""Drawing kit of the circuits of one step: what is read at the left, components layer by layer, what is written at the
right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
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
_LANE: Final = 0.45
"""Rows that a line needs where it goes past a column."""
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


@dataclass(frozen=True)
class Drawn:
    """Where everything stands, in columns and rows; and where lines that go past a column cross it.

    lanes: (start of a line, column) -> row. Nothing else stands there, so that no line runs behind a mark that it does
    not lead to.
    """

    places: Places
    columns: list[Column]
    lanes: dict[tuple[object, int], float]

    @property
    def rows(self) -> int:
        """Rows that the fullest column needs, 3 at least."""
        reach = [abs(y) + 0.5 for _, y in self.places.values()] + [
            abs(y) + _LANE / 2 for y in self.lanes.values()
        ]
        return max(3, ceil(2 * max(reach)))

    def path(self, start: object, end: object) -> list[tuple[float, float]]:
        """Points of a line: its start, the lanes that it takes, and its end."""
        first, last = int(self.places[start][0]), int(self.places[end][0])
        between = [(float(x), self.lanes[start, x]) for x in range(first + 1, last)]
        return [self.places[start], *between, self.places[end]]


def drawn_of(
    things: Sequence[Thing], parts: Sequence[Component], links: Collection[tuple[object, object]]
) -> Drawn:
    """Where things, components (in the order of their columns) and what is written stand.

    links: (start, end) of all lines.
    """
    columns = list(dict.fromkeys(column_of(part) for part in parts))
    inner = [[part for part in parts if column_of(part) == column] for column in columns]
    members: list[Sequence[object]] = [things, *inner, [WRITTEN]]
    at = {member: x for x, column in enumerate(members) for member in column}
    places: Places = {}
    lanes: dict[tuple[object, int], float] = {}
    heights: dict[object, float] = {}
    for x, column in enumerate(members):
        past = {start for start, end in links if at[start] < x < at[end]}
        order = _merged(column, sorted(past, key=lambda start: -heights[start]), heights, links)
        top = sum(1.0 if stands else _LANE for _, stands in order) / 2
        for one, stands in order:
            size = 1.0 if stands else _LANE
            heights[one] = top - size / 2
            top -= size
            if stands:
                places[one] = (float(x), heights[one])
            else:
                lanes[one, x] = heights[one]
    return Drawn(places, columns, lanes)


def _merged(
    column: Sequence[object],
    past: Sequence[object],
    heights: Mapping[object, float],
    links: Collection[tuple[object, object]],
) -> list[tuple[object, bool]]:
    """What stands in a column and what goes past it, from top to bottom, and which of both it is.

    A line goes past above the first mark whose own lines come from farther down. past: starts of lines, the highest
    first. heights: of starts where the lines come from.
    """
    waiting = list(past)
    order: list[tuple[object, bool]] = []
    for member in column:
        come = [heights[start] for start, end in links if end == member and start in heights]
        while waiting and come and heights[waiting[0]] > sum(come) / len(come):
            order.append((waiting.pop(0), False))
        order.append((member, True))
    return order + [(start, False) for start in waiting]


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


def line(path: Sequence[tuple[float, float]], thing: Thing, effect: float, dashed: bool) -> dict[str, Any]:
    """A curve through points, horizontal at each, in the colour of a thing and as wide as an effect (0 to 1)."""
    share = [place / 12 for place in range(13)]
    eased = [part * part * (3 - 2 * part) for part in share]
    legs = list(pairwise(path))
    colour = INK if thing.operand is None else OPERAND_COLOURS[thing.operand % len(OPERAND_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x + part * (to - x) for (x, _), (to, _) in legs for part in share],
        "y": [y + part * (up - y) for (_, y), (_, up) in legs for part in eased],
        "line": {
            "color": colour,
            "width": 0.8 + _WIDEST * min(effect, 1.0),
            "dash": "dash" if dashed else "solid",
        },
        "opacity": 0.55,
        "hoverinfo": "skip",
    }


def hovers(paths: Sequence[Sequence[tuple[float, float]]], texts: list[str]) -> dict[str, Any]:
    """Invisible points half-way along the last parts of lines, with what they say."""
    return {
        "type": "scatter",
        "name": "effects",
        "mode": "markers",
        "x": [(start[0] + end[0]) / 2 for *_, start, end in paths],
        "y": [(start[1] + end[1]) / 2 for *_, start, end in paths],
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
