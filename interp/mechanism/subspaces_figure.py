"""Factor subspaces: what every head reads and writes, how heads compose, how subspaces overlap; all over chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    from interp.mechanism.composition import Composition
    from interp.mechanism.subspaces import Circuit, Subspaces
    from interp.statistics.chance import AgainstChance

LIMIT: Final = 3.0
"""Largest magnitude shown, log2: eight times chance, and an eighth of it or less."""
_UNIT: Final = Scale("log2 of<br>ratio to<br>chance")
_SCALE: Final = (
    f"Blue: above chance, orange: below it (cut at {2**LIMIT:.0f} times and at 1/{2**LIMIT:.0f}), "
)
_PANELS: Final = {
    "OV": (
        ("read: from a factor to anything", "{}", "everything"),
        ("read and written as the same factor", "{}", "{}"),
        ("written: from anything to a factor's readout", "everything", "readout:{}"),
    ),
    "QK": (
        ("query: a factor against anything", "{}", "everything"),
        ("key: anything against a factor", "everything", "{}"),
        ("the same factor on both sides", "{}", "{}"),
    ),
}


def amplification_figure(result: Subspaces, circuit: Circuit = "OV", width: int = 1000) -> go.Figure:
    """Operator norms over chance, factor x head: of one side alone, and of the same factor on both."""
    amplification = result.ov if circuit == "OV" else result.qk
    panels: list[Panel] = []
    for title, source, target in _PANELS[circuit]:
        cells = [amplification.cell(source.format(f), target.format(f)) for f in FACTORS]
        heads = _head_names(*cells[0].value.shape)
        hover = [
            [
                f"<b>head {head}</b><br>{source.format(factor)} to {target.format(factor)}<br>{told}"
                for head, told in zip(heads, _told(cell), strict=True)
            ]
            for factor, cell in zip(FACTORS, cells, strict=True)
        ]
        values = np.stack([_log_ratio(cell).ravel() for cell in cells])
        panels.append(_panel(title, FACTORS, heads, "factor", "head (layer.head)", values, hover))
    ranks = ", ".join(f"{name} {result.ranks[name]}" for name in FACTORS)
    product = "P_f W_V W_O P_g" if circuit == "OV" else "P_f W_Q W_K^T P_g"
    return draw(
        panels,
        f"{circuit} amplification: which factors a head {'moves' if circuit == 'OV' else 'compares'}",
        f"Largest singular value of {product}, over that of random subspaces of the same rank. {_SCALE}hatched: the "
        f"head's weights are zero. A subspace of many dimensions cannot rise far above chance; they have, of "
        f"{result.d_model}: {ranks}.",
        _UNIT,
        selectable=False,
        width=width,
    )


def overlap_figure(result: Subspaces, width: int = 560) -> go.Figure:
    """Mean squared cosine of the principal angles over chance, subspace x subspace."""
    names = tuple(result.bases)
    labels = tuple(_short(name) for name in names)
    told = np.array(_told(result.overlap)).reshape(len(names), -1)
    hover = [
        [f"<b>{one} and {other}</b><br>{told[i, j]}" for j, other in enumerate(names)]
        for i, one in enumerate(names)
    ]
    values = _log_ratio(result.overlap)
    np.fill_diagonal(values, np.nan)
    rows = tuple(f"{label} {result.ranks[name]}" for label, name in zip(labels, names, strict=True))
    panel = _panel("", rows, labels, "", "subspace (U: of the readout)", values, hover)
    return draw(
        [panel],
        "Overlap of factor subspaces",
        f"Mean squared cosine of the principal angles, over that of random subspaces of the same ranks (numbers at "
        f"the left, of {result.d_model}). {_SCALE}so orange pairs are kept apart.",
        _UNIT,
        selectable=False,
        width=width,
    )


def composition_figure(result: Composition, width: int = 1000) -> go.Figure:
    """Composition scores over chance: earlier head x later head, a panel each for Q, K and V."""
    _, n_layers, n_heads, _, _ = result.scores.value.shape
    earlier = _head_names(n_layers - 1, n_heads)
    later = tuple(f"{layer}.{head}" for layer in range(1, n_layers) for head in range(n_heads))
    panels: list[Panel] = []
    for number, (mode, what) in enumerate((("Q", "queries"), ("K", "keys"), ("V", "values"))):
        part = result.scores.at(number, slice(None, -1), slice(None), slice(1, None))
        told = np.array(_told(part)).reshape(len(earlier), -1)
        hover = [
            [f"<b>{one} into {what} of {other}</b><br>{told[i, j]}" for j, other in enumerate(later)]
            for i, one in enumerate(earlier)
        ]
        values = _log_ratio(part).reshape(len(earlier), -1)
        panels.append(
            _panel(f"{mode}: into {what}", earlier, later, "earlier head", "later head", values, hover)
        )
    return draw(
        panels,
        "Composition of heads within a step",
        "||W_A W_B|| / (||W_A|| ||W_B||) of an earlier and a later head, over that with a random rotation between "
        f"them. {_SCALE}hatched: not a later layer, or zero weights.",
        _UNIT,
        selectable=False,
        width=width,
    )


def _panel(
    title: str,
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    row_title: str,
    column_title: str,
    values: NDArray[np.float64],
    hover: list[list[str]],
) -> Panel:
    nowhere = np.full(values.shape, -1)
    return Panel(title, rows, columns, row_title, column_title, values, hover, nowhere)


def _log_ratio(measured: AgainstChance) -> NDArray[np.float64]:
    """log2 of value over chance, kept inside the scale; nan where chance is 0."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log2(measured.ratio), -LIMIT, LIMIT)


def _told(measured: AgainstChance) -> list[str]:
    """Text of every entry, in order."""
    parts = (measured.value, measured.mean, measured.sd, measured.z)
    return [
        f"{value:.4g}, chance {mean:.4g} ± {sd:.2g}" + ("" if np.isnan(z) else f" (z {z:.1f})")
        for value, mean, sd, z in zip(*(part.ravel() for part in parts), strict=True)
    ]


def _head_names(n_layers: int, n_heads: int) -> tuple[str, ...]:
    return tuple(f"{layer}.{head}" for layer, head in np.ndindex(n_layers, n_heads))


def _short(name: str) -> str:
    return name.replace("readout:", "U ")
