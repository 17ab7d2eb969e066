"""Activation patching: what one patch at each step, layer, position and head does to a metric.

A cell's colour is the effect of its patch: the metric with the patch minus the metric of the same run without it, in
units of the difference between the clean and the corrupt run. Denoising therefore starts at 0 and restores up to 1,
noising starts at 0 and destroys down to -1. Where both runs have the same metric there is no such unit, and the effect
is in the metric's own. All panels share one diverging scale with its midpoint at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.engine.sites import Site, position_of
from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from models.graph import ComputationGraph
from models.operations import OPERATIONS
from models.vocabulary import EncodedGraphs, FactoredVocabulary

if TYPE_CHECKING:
    from interp.causal.patching import PatchSweep

SHOWN_AT_MOST: Final = 60_000
"""Cells up to which every step is drawn; beyond, the strongest effect over the steps stands for all of them."""


@dataclass(frozen=True)
class _Cell:
    """A patch to be drawn: ``column`` is its position (or depth), -1 for all positions at once."""

    site: Site
    index: int
    column: int
    value: float
    hover: str


@dataclass(frozen=True)
class _Axis:
    """How cells are told apart along one axis: ``key`` sorts, ``label`` is shown."""

    title: str
    key: Callable[[_Cell], tuple[Any, ...]]
    label: Callable[[_Cell], str]


def patch_effects(sweep: PatchSweep) -> NDArray[np.float64]:
    """Effect of every site's patch, float [site]; see the head of this module. NaN where the metric has none."""
    base = sweep.corrupt if sweep.direction == "denoise" else sweep.clean
    unit = sweep.clean - sweep.corrupt
    return (sweep.raw - base) / (unit if _has_unit(sweep) else 1.0)


def patching_figure(
    sweep: PatchSweep,
    rows: str | None = None,
    columns: str | None = None,
    selectable: bool = False,
    width: int = 1000,
) -> go.Figure:
    """Heatmaps of a sweep: step x position, one per hook point and layer; layer x head, one per step.

    Which of them depends on what varies in ``sweep.sites``: layer x position where there is one step, step x head
    where there is one layer. With positions and heads: layer and head x position, one per step (above
    :data:`SHOWN_AT_MOST` cells one for all steps, each cell the strongest over the steps). With neither: step x
    layer. Position labels are the clean text's tokens, ``clean|corrupt`` where the texts differ; dotted lines are
    where the depth changes. The hover has the step, the site, the equation and full values.

    Args:
        sweep: the result of ``patch_sweep``.
        rows, columns: two of "step", "layer", "pos", "head" instead; the others tell panels apart.
        selectable: lay a transparent scatter over every heatmap, named ``cells``, with ``customdata`` [row, column,
            index into ``sweep.sites``]: selection events exist for scatters only.
        width: width in pixels the figure will have.

    Raises:
        ValueError: other rows or columns.
    """
    tokens = TextPositions.of(sweep.clean_graph, sweep.corrupt_graph)
    cells = [
        _Cell(
            site, index, tokens.position(site), float(value), tokens.hover(sweep, site, index, float(value))
        )
        for index, (site, value) in enumerate(zip(sweep.sites, patch_effects(sweep), strict=True))
    ]
    place = _Axis("position", lambda cell: (cell.column,), lambda cell: tokens.label(cell.column))
    panels = _panels(cells, place, tokens.depths, rows, columns)
    names = ", ".join(dict.fromkeys(site.name for site in sweep.sites))
    title = f"{sweep.metric} after patching {names} ({sweep.direction})"
    reading = _how_to_read(sweep)
    if len({cell.column for cell in cells}) > 1 and tokens.clean != tokens.corrupt:
        reading += " Below, a|b is a token that is a in the clean text and b in the corrupt one."
    return draw(panels, title, reading, Scale(_unit(sweep)), selectable, width)


def mean_patching_figure(sweeps: Sequence[PatchSweep], width: int = 1000) -> go.Figure:
    """The same over many pairs of graphs, whose positions are not each other's: a column is a depth.

    A cell is the mean, over the pairs that run that long and are that deep, of the strongest effect (whatever its
    sign) at a position that belongs to a node of that depth. Pairs whose two runs have the same metric have no unit
    and are left out.

    Raises:
        ValueError: no sweep with a unit, or sweeps of different metrics or directions.
    """
    kinds = {(sweep.metric, sweep.direction) for sweep in sweeps}
    usable = [sweep for sweep in sweeps if _has_unit(sweep)]
    if len(kinds) != 1 or not usable:
        raise ValueError(
            f"a mean needs sweeps of one metric and direction, and one whose clean and corrupt runs differ in the "
            f"metric; got {len(sweeps)} of {sorted(kinds)}, {len(usable)} that differ"
        )
    groups: dict[tuple[Site, int], list[float]] = {}
    for sweep in usable:
        for key, value in _strongest_by_depth(sweep).items():
            groups.setdefault(key, []).append(value)
    cells = [
        _Cell(site, index, depth, float(np.mean(values)), _mean_hover(site, depth, values))
        for index, ((site, depth), values) in enumerate(groups.items())
    ]
    place = _Axis("depth of the node", lambda cell: (cell.column,), lambda cell: str(cell.column))
    first = usable[0]
    names = ", ".join(dict.fromkeys(site.name for site in first.sites))
    title = f"{first.metric} after patching {names} ({first.direction}), mean over {len(usable)} pairs"
    reading = _how_to_read(first)
    if any(depth >= 0 for _, depth in groups):
        reading += " Shown: the strongest patch at a node of each depth, its mean over the pairs."
    return draw(_panels(cells, place), title, reading, Scale(_unit(first)), False, width)


def _strongest_by_depth(sweep: PatchSweep) -> dict[tuple[Site, int], float]:
    """(site without its position, depth of the position's node, -1 for all) -> effect of the largest magnitude."""
    tokens = TextPositions.of(sweep.clean_graph, sweep.corrupt_graph)
    strongest: dict[tuple[Site, int], float] = {}
    for site, effect in zip(sweep.sites, patch_effects(sweep), strict=True):
        position = tokens.position(site)
        key = replace(site, pos="all"), tokens.depths[position] if position >= 0 else -1
        if key not in strongest or abs(effect) > abs(strongest[key]):
            strongest[key] = float(effect)
    return strongest


def _has_unit(sweep: PatchSweep) -> bool:
    return abs(sweep.clean - sweep.corrupt) > 1e-12


def _unit(sweep: PatchSweep) -> str:
    return "effect" if _has_unit(sweep) else f"change of {sweep.metric}"


def _how_to_read(sweep: PatchSweep) -> str:
    base, source = ("corrupt", "clean") if sweep.direction == "denoise" else ("clean", "corrupt")
    end = "1: it is as in the clean run" if base == "corrupt" else "−1: it is as in the corrupt run"
    scale = (
        f"0: {sweep.metric} is unchanged. {end}."
        if _has_unit(sweep)
        else f"Both runs have the same {sweep.metric}, so colours are its change, not normalised."
    )
    return (
        f"A cell is one run of the {base} text with the {source} run's activation put in at that step and place. "
        f"{scale}"
    )


@dataclass(frozen=True)
class TextPositions:
    """The two texts position by position: tokens, and the equation a position is part of (a separator: the one before).

    nodes, depths: of the clean text.
    """

    clean: tuple[str, ...]
    corrupt: tuple[str, ...]
    equations: tuple[str, ...]
    nodes: tuple[int, ...]
    depths: tuple[int, ...]
    encoded: EncodedGraphs

    @classmethod
    def of(cls, clean: ComputationGraph, corrupt: ComputationGraph) -> TextPositions:
        vocabulary = FactoredVocabulary(clean.n_variables, clean.modulus, tuple(OPERATIONS))
        encoded = vocabulary.encode([clean])
        other = vocabulary.encode([corrupt])
        length = encoded.packed.shape[1]
        nodes, others = (
            [sum(int(end) + 1 < position for end in text.rhs[0]) for position in range(length)]
            for text in (encoded, other)
        )
        both = [(clean.equation(i), corrupt.equation(j)) for i, j in zip(nodes, others, strict=True)]
        return cls(
            clean=tuple(vocabulary.token_strings(encoded.packed, clean)[0]),
            corrupt=tuple(vocabulary.token_strings(other.packed, corrupt)[0]),
            equations=tuple(one if one == two else f"{one}   |   {two}" for one, two in both),
            nodes=tuple(nodes),
            depths=tuple(clean.depths_by_node[node] for node in nodes),
            encoded=encoded,
        )

    def position(self, site: Site) -> int:
        """Index of the site's position, -1 for all positions."""
        found = position_of(site.pos, self.encoded)
        return -1 if found is None else found

    def label(self, position: int) -> str:
        if position < 0:
            return "all"
        clean, corrupt = self.clean[position], self.corrupt[position]
        return clean if clean == corrupt else f"{clean}|{corrupt}"

    def hover(self, sweep: PatchSweep, site: Site, index: int, value: float) -> str:
        position = self.position(site)
        lines = [f"<b>step {site.step}</b>", str(site).partition(" · ")[2]]
        if position >= 0:
            lines.append(f"position {position}: {self.label(position)}, depth {self.depths[position]}")
            lines.append(self.equations[position])
        lines.append(f"{_unit(sweep)} {value:.6g}")
        lines.append(
            f"{sweep.metric} {sweep.raw[index]:.6g} (clean {sweep.clean:.6g}, corrupt {sweep.corrupt:.6g})"
        )
        return "<br>".join(lines)


def _mean_hover(site: Site, depth: int, values: Sequence[float]) -> str:
    where = "all positions" if depth < 0 else f"depth {depth}"
    head = "" if site.head is None else f" · head {site.head}"
    spread = f"from {min(values):.6g} to {max(values):.6g}"
    return (
        f"<b>step {site.step}</b><br>{site.hook_name}{head} · {where}<br>"
        f"mean effect {np.mean(values):.6g}, {spread} ({len(values)} pairs)"
    )


def _part(cell: _Cell) -> tuple[Any, ...]:
    return (-1 if cell.site.layer is None else cell.site.layer, cell.site.factor or "")


def _head(cell: _Cell) -> int:
    return -1 if cell.site.head is None else cell.site.head


def _head_label(cell: _Cell) -> str:
    return "all" if cell.site.head is None else str(cell.site.head)


_STEP = _Axis(
    "step",
    lambda cell: (-1 if cell.site.step == "all" else cell.site.step,),
    lambda cell: "every" if cell.site.step == "all" else str(cell.site.step),
)
_LAYER = _Axis("layer", _part, lambda cell: "–" if cell.site.layer is None else str(cell.site.layer))
_HEAD = _Axis("head", lambda cell: (_head(cell),), _head_label)
_LAYER_HEAD = _Axis(
    "layer.head",
    lambda cell: (*_part(cell), _head(cell)),
    lambda cell: f"{cell.site.layer}.{_head_label(cell)}",
)
_STRONGEST = _Axis("", lambda _: (), lambda cell: f"{cell.site.name} · strongest over the steps")


def _axes(
    cells: Sequence[_Cell], place: _Axis, rows: str | None, columns: str | None
) -> tuple[_Axis, _Axis, _Axis]:
    """What tells panels, rows and columns apart, for the cells of one hook point."""
    places = len({cell.column for cell in cells}) > 1
    heads = len({cell.site.head for cell in cells}) > 1
    layers = len({_part(cell) for cell in cells}) > 1
    steps = len({cell.site.step for cell in cells}) > 1
    if rows is not None or columns is not None:
        named = {"step": _STEP, "layer": _LAYER, "head": _HEAD, "pos": place}
        unknown = [axis for axis in (rows, columns) if axis not in (None, *named)]
        if unknown or rows == columns:
            raise ValueError(f"rows={rows!r}, columns={columns!r}; allowed are two of {', '.join(named)}")
        down, across = named[rows or ("layer" if columns == "step" else "step")], named[columns or "pos"]
    elif places and heads:
        down, across = _LAYER_HEAD, place
    elif places or heads:
        down = _LAYER if layers and (heads or not steps) else _STEP
        across = place if places else _HEAD
    else:
        down, across = _STEP, _LAYER
    return _facet(down, across, place), down, across


def _facet(down: _Axis, across: _Axis, place: _Axis) -> _Axis:
    """A panel for every combination along the axes that are neither rows nor columns."""
    used = (down, across)
    layered = _LAYER in used or _LAYER_HEAD in used
    headed = _HEAD in used or _LAYER_HEAD in used
    others = [
        *(() if _STEP in used else (_STEP,)),
        *(() if layered else (_LAYER,)),
        *(() if headed else (_HEAD,)),
        *(() if place in used else (place,)),
    ]

    def label(cell: _Cell) -> str:
        site = cell.site
        parts = [site.name if layered else site.hook_name, site.factor]
        if _STEP in others:
            parts.append("every step" if site.step == "all" else f"step {site.step}")
        if not headed and site.head is not None:
            parts.append(f"head {site.head}")
        if place in others and cell.column >= 0:
            parts.append(f"{place.title} {place.label(cell)}")
        return " · ".join(filter(None, parts))

    return _Axis("", lambda cell: tuple(axis.key(cell) for axis in others), label)


def _panels(
    cells: Sequence[_Cell],
    place: _Axis,
    depths: Sequence[int] = (),
    rows: str | None = None,
    columns: str | None = None,
) -> list[Panel]:
    """Panels of every hook point, in the order of the cells; ``depths``: of every position, to mark changes."""
    panels: list[Panel] = []
    for name in dict.fromkeys(cell.site.name for cell in cells):
        own = [cell for cell in cells if cell.site.name == name]
        facet, down, across = _axes(own, place, rows, columns)
        if down is _LAYER_HEAD and len(cells) > SHOWN_AT_MOST:
            facet = _STRONGEST
        for _, group in groupby(sorted(own, key=facet.key), key=facet.key):
            panels.append(_panel(list(group), facet, down, across, depths if across is place else ()))
    return panels


def _panel(cells: Sequence[_Cell], facet: _Axis, rows: _Axis, columns: _Axis, depths: Sequence[int]) -> Panel:
    row_keys = sorted({rows.key(cell) for cell in cells})
    column_keys = sorted({columns.key(cell) for cell in cells})
    places = sorted({cell.column for cell in cells})
    row_of = {key: number for number, key in enumerate(row_keys)}
    column_of = {key: number for number, key in enumerate(column_keys)}
    row_labels, column_labels = [""] * len(row_keys), [""] * len(column_keys)
    found: dict[tuple[int, int], _Cell] = {}
    for cell in cells:
        where = row_of[rows.key(cell)], column_of[columns.key(cell)]
        row_labels[where[0]], column_labels[where[1]] = rows.label(cell), columns.label(cell)
        if where not in found or abs(cell.value) > abs(found[where].value):
            found[where] = cell
    values = np.full((len(row_keys), len(column_keys)), np.nan)
    sites = np.full(values.shape, -1)
    hover = [[""] * len(column_keys) for _ in row_keys]
    for (row, column), cell in found.items():
        values[row, column], sites[row, column], hover[row][column] = cell.value, cell.index, cell.hover
    return Panel(
        title=facet.label(cells[0]),
        rows=tuple(row_labels),
        columns=tuple(column_labels),
        row_title=rows.title,
        column_title=columns.title,
        values=values,
        hover=hover,
        sites=sites,
        depths=tuple(depths[place] for place in places) if depths and places[0] >= 0 else (),
    )
