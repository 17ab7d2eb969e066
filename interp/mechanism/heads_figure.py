"""Heads side by side: what changes each one's output, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.resolution import Span, each, missing_traces
from interp.figures.template import EDGE_COLOUR, LEAST_WIDTH, make_figure, title_of, wrapped
from interp.mechanism.attention_roles import ROLES

if TYPE_CHECKING:
    from interp.mechanism.heads import HeadRole, HeadRoles

SHARE: Final = ((0.0, "#ffffff"), (0.5, "#7f9bea"), (1.0, "#1f36a0"))
"""White at 0, blue at 1."""
_ROW: Final = 19
_GAP: Final = 60


def heads_figure(result: HeadRoles, status: str = "computing", width: int = 1000) -> go.Figure:
    """Relative variance (what varies x head) above attention by role (role x head), both from 0 to 1.

    status: of the nodes whose right-hand sides are looked at. Hatched: nothing was measured, or the head gives nothing.
    """
    heads = result.heads
    names = [f"{head.layer}.{head.head}" for head in heads]
    perturbations = result.variance.perturbations
    relative = np.stack([result.variance.relative(vary, status).ravel() for vary in perturbations])
    ends = np.stack([result.variance.interval(vary, status).reshape(2, -1) for vary in perturbations], 1)
    mass = result.targets.over_steps(result.targets.mass, status).reshape(len(ROLES), -1)
    rows = [_words(vary) for vary in perturbations]
    upper, lower = _ROW * len(perturbations), _ROW * len(ROLES)
    total = upper + _GAP + lower
    text = wrapped(
        "Above: share of a head's output that moves when one thing of an equation varies (1: it is all about "
        "that).<br>Below: its attention from the right-hand side, by what stands there. Every row is a mean over the "
        "nodes that have the role (<i>given</i>: over leaves, names and values: over the others), so a column can sum "
        "to more than 1. Hatched: nothing was measured, or the head gives nothing.",
        width,
    )
    top, bottom = 84 + 16 * text.count("<br>"), 190
    n = len(names)
    framed = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR, "showgrid": False}
    across: dict[str, Any] = framed | {"tickvals": list(range(n)), "range": [-0.5, n - 0.5]}
    layout: dict[str, Any] = {
        "width": width,
        "height": total + top + bottom,
        "margin": {"l": 225, "r": 90, "t": top, "b": bottom},
        "title": title_of(
            f"What every head responds to, and where it looks ({status} nodes)",
            text,
        ),
        "coloraxis": {
            "colorscale": [list(stop) for stop in SHARE],
            "cmin": 0,
            "cmax": 1,
            "colorbar": {
                "title": {"text": "share"},
                "thickness": 14,
                "len": 0.6,
                "y": 1,
                "yanchor": "top",
            },
        },
        "plot_bgcolor": EDGE_COLOUR,
        "showlegend": False,
        "annotations": [
            _heading("What its output depends on", "y"),
            _heading("Where it looks from the right-hand side", "y2"),
        ],
        "xaxis": across | {"anchor": "y", "ticktext": names, "tickfont": {"size": 11}, "tickangle": 0},
        "yaxis": framed | _down(rows) | {"domain": [1 - upper / total, 1]},
        "xaxis2": across
        | {
            "anchor": "y2",
            "title": {
                "text": "head (layer.head), and what the rule names it",
                "standoff": 8,
                "font": {"size": 12},
            },
            "ticktext": [f"{name} {_named(head)}" for name, head in zip(names, heads, strict=True)],
            "tickangle": -90,
            "tickfont": {"size": 11},
        },
        "yaxis2": framed | _down(ROLES) | {"domain": [0, lower / total]},
    }
    gap = Span.across(width, 225 + 90, narrowest=LEAST_WIDTH).gap(len(names))
    traces = [
        _heatmap(relative, rows, heads, "relative variance", gap, ends),
        _heatmap(mass, list(ROLES), heads, "attention", gap) | {"xaxis": "x2", "yaxis": "y2"},
        *missing_traces(each(relative)),
        *(trace | {"xaxis": "x2", "yaxis": "y2"} for trace in missing_traces(each(mass))),
    ]
    return make_figure(traces, layout)


def _heading(text: str, axis: str) -> dict[str, Any]:
    """The title of a panel."""
    place = {
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": f"{axis} domain",
        "y": 1,
        "yanchor": "bottom",
    }
    return place | {"text": f"<b>{text}</b>", "showarrow": False, "font": {"size": 12}}


def _down(rows: Sequence[str]) -> dict[str, Any]:
    """An axis of rows from top to bottom."""
    ticks = {"tickvals": list(range(len(rows))), "ticktext": list(rows), "range": [len(rows) - 0.5, -0.5]}
    return ticks | {"tickfont": {"size": 11}}


def _heatmap(
    values: NDArray[np.float64],
    rows: list[str],
    heads: Sequence[HeadRole],
    what: str,
    gap: int,
    ends: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """ends: float [end, row, head], of the 95 % intervals."""
    between = np.full((2, *values.shape), np.nan) if ends is None else ends
    hover = [
        [
            f"<b>{head}</b><br>{row}: {what} " + _number(cell, low, high)
            for head, cell, low, high in zip(heads, *lines, strict=True)
        ]
        for row, *lines in zip(rows, values, *between, strict=True)
    ]
    return {
        "type": "heatmap",
        "z": values,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
    }


def _number(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "not measured"
    return f"{value:.3f}" + ("" if np.isnan(low) else f" (95 % interval {low:.3f} to {high:.3f})")


def _words(vary: str) -> str:
    """``operand_name:last`` as ``name of the last operand``."""
    kind, _, place = vary.partition(":")
    what = {
        "operand": "operand (name and value)",
        "operand_name": "operand's name",
        "operand_value": "operand's value",
        "operation": "operation",
        "rhs_name": "own name",
    }[kind]
    return f"{place} {what}" if place else what


def _named(head: HeadRole) -> str:
    """At most two roles under a column; of a head that has none, how far back it looks."""
    if head.kind in ("idle", "none"):
        return head.kind
    return f"{head.kind}: {', '.join(head.roles[:2]) or f'{head.offset} back'}"
