"""Heads side by side: what changes each one's output, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.template import make_figure, title_of
from interp.mechanism.attention_roles import ROLES

if TYPE_CHECKING:
    from interp.mechanism.heads import HeadRole, HeadRoles

SHARE: Final = ((0.0, "#ffffff"), (0.5, "#7f9bea"), (1.0, "#1f36a0"))
"""White at 0, blue at 1."""
_ROW: Final = 19
_GAP: Final = 60


def heads_figure(result: HeadRoles, status: str = "computing", width: int = 1000) -> go.Figure:
    """Relative variance (what varies x head) above attention by role (role x head), both from 0 to 1.

    status: of the nodes whose right-hand sides are looked at. Grey: nothing was measured, or the head gives nothing.
    """
    heads = result.heads
    names = [f"{head.layer}.{head.head}" for head in heads]
    perturbations = result.variance.perturbations
    relative = np.stack([result.variance.relative(vary, status).ravel() for vary in perturbations])
    mass = result.targets.over_steps(result.targets.mass, status).reshape(len(ROLES), -1)
    rows = [_words(vary) for vary in perturbations]
    upper, lower = _ROW * len(perturbations), _ROW * len(ROLES)
    total = upper + _GAP + lower
    top, bottom = 92, 190
    layout: dict[str, Any] = {
        "width": width,
        "height": total + top + bottom,
        "margin": {"l": 225, "r": 90, "t": top, "b": bottom},
        "title": title_of(
            f"What every head responds to, and where it looks ({status} nodes)",
            "Above: share of a head's output that moves when one thing of an equation varies "
            "(1: it is all about that).<br>Below: its attention from the right-hand side, by what stands there "
            "(a column's roles sum to 1 for nodes that have them all).",
        ),
        "coloraxis": {
            "colorscale": [list(stop) for stop in SHARE],
            "cmin": 0,
            "cmax": 1,
            "colorbar": {
                "title": {"text": "share<br> "},
                "thickness": 14,
                "len": 0.5,
                "y": 1,
                "yanchor": "top",
            },
        },
        "plot_bgcolor": "#eceef3",
        "xaxis": {
            "type": "category",
            "showgrid": False,
            "anchor": "y",
            "tickfont": {"size": 11},
            "tickangle": 0,
        },
        "yaxis": {"autorange": "reversed", "showgrid": False, "domain": [1 - upper / total, 1]},
        "xaxis2": {
            "type": "category",
            "showgrid": False,
            "anchor": "y2",
            "title": {"text": "head (layer.head), and what the rule names it", "standoff": 8},
            "ticktext": [f"{name} {_named(head)}" for name, head in zip(names, heads, strict=True)],
            "tickvals": names,
            "tickangle": 90,
            "tickfont": {"size": 11},
        },
        "yaxis2": {"autorange": "reversed", "showgrid": False, "domain": [0, lower / total]},
    }
    traces = [
        _heatmap(relative, names, rows, heads, "relative variance", "x", "y"),
        _heatmap(mass, names, list(ROLES), heads, "attention", "x2", "y2"),
    ]
    return make_figure(traces, layout)


def _heatmap(
    values: NDArray[np.float64],
    names: list[str],
    rows: list[str],
    heads: Sequence[HeadRole],
    what: str,
    xaxis: str,
    yaxis: str,
) -> dict[str, Any]:
    hover = [
        [
            f"<b>{head}</b><br>{row}: {what} " + ("not measured" if np.isnan(cell) else f"{cell:.3f}")
            for head, cell in zip(heads, line, strict=True)
        ]
        for row, line in zip(rows, values, strict=True)
    ]
    return {
        "type": "heatmap",
        "x": names,
        "y": rows,
        "z": values,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "xaxis": xaxis,
        "yaxis": yaxis,
    }


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
    """At most two roles under a column."""
    if head.kind in ("idle", "none"):
        return head.kind
    return f"{head.kind}: {', '.join(head.roles[:2])}"
