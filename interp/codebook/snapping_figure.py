"""What happens where hidden states are snapped to codes: margins by status, and what edited codes lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.captioned import axis_names, captioned, side_by_side
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, WRONG_COLOUR, legend_below, make_figure

if TYPE_CHECKING:
    from interp.codebook.code_interventions import CodeInterventions
    from interp.codebook.margins import SnapMargins

STATUS_COLOURS: Final = {
    "waiting": UNSOLVED_COLOUR,
    "computing": "#f0b42d",
    "done": MARK_COLOUR,
    "text": "#1e8769",
}
_FENCES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


def margin_figure(
    margins: SnapMargins, factor: str = "value", threshold: float | None = None, width: int = 1000
) -> go.Figure:
    """Margins of right-hand sides by step and status, as boxes: boundary distance, and margin in logits.

    threshold: where the dashed line stands, in units of |h|; default :data:`interp.codebook.margins.NEAR`. Raises
        ValueError for an unknown factor.
    """
    from interp.codebook.margins import NEAR

    line = NEAR if threshold is None else threshold
    frame: Any = margins.token_frame(factor)
    traces: list[dict[str, Any]] = []
    for panel, column in enumerate(("boundary", "margin")):
        for status in [status for status in STATUS_COLOURS if (frame["status"] == status).any()]:
            of_status = frame[frame["status"] == status]
            groups = of_status.groupby("step")[column]
            steps = [int(step) for step in groups.size().index]
            fences: NDArray[np.float64] = np.array(groups.quantile(list(_FENCES)), dtype=np.float64).reshape(
                -1, len(_FENCES)
            )
            low, first, median, third, high = fences.T.tolist()
            traces.append(
                {
                    "type": "box",
                    "name": status,
                    "legendgroup": status,
                    "showlegend": panel == 0,
                    "x": steps,
                    "lowerfence": low,
                    "q1": first,
                    "median": median,
                    "q3": third,
                    "upperfence": high,
                    "line": {"color": STATUS_COLOURS[status], "width": 1.5},
                    **dict(zip(("xaxis", "yaxis"), axis_names(panel), strict=True)),
                }
            )
    near = np.array(frame["boundary"]) < line
    illegal = ~np.array(frame["legal"], dtype=bool)
    n_rhs = int((margins.tokens["role"] == "rhs").sum())
    reading = (
        f"Boxes are quartiles, whiskers the smallest and largest, of {n_rhs:,} right-hand sides. "
        f"Dashed: {line:g} |h|; {near.mean():.2%} of the snaps are nearer to a boundary; {illegal.mean():.2%} of all "
        "are illegal."
    )
    legend, below = legend_below(["computing"] * 4, width, 46)
    layout = captioned(f"Snap margins of the factor {factor}", reading, width, 320, right=20, bottom=below)
    layout |= side_by_side("step", ["distance to the nearest boundary (|h|)", "best minus second-best logit"])
    for panel, column in enumerate(("boundary", "margin")):
        largest = float(np.max(np.array(frame[column])))
        x, y = axis_names(panel)
        layout[f"xaxis{x[1:]}"]["range"] = [-0.7, margins.n_steps - 0.3]
        layout[f"yaxis{y[1:]}"]["range"] = [0, 1.05 * max(largest, line * (panel == 0))]
    layout |= {
        "boxmode": "group",
        "shapes": [
            {
                "type": "line",
                "xref": "x domain",
                "x0": 0,
                "x1": 1,
                "y0": line,
                "y1": line,
                "line": {"color": WRONG_COLOUR, "dash": "dash", "width": 1},
            }
        ],
        "legend": legend | {"title": {"text": "the node is", "font": {"size": 12}}},
    }
    return make_figure(traces, layout)


def intervention_figure(result: CodeInterventions, width: int = 1000) -> go.Figure:
    """Agreement with the oracle after an edit of one code, by kind of edit."""
    table: Any = result.by_kind()
    kinds = [str(kind) for kind in table["kind"]]
    bars = [
        ("affected", "affected values right", MARK_COLOUR),
        ("exact", "whole next state right", "#7f9bea"),
        ("ignored", "right-hand sides right if the edit were ignored", UNSOLVED_COLOUR),
    ]
    traces: list[dict[str, Any]] = []
    for column, name, colour in bars:
        values = [float(v) for v in table["affected_agreement" if column == "affected" else column]]
        totals = [int(v) for v in table["affected" if column == "affected" else "edits"]]
        unit = "values" if column == "affected" else "edits"
        traces.append(
            {
                "type": "bar",
                "name": name,
                "x": kinds,
                "y": values,
                "marker": {"color": colour},
                "text": [f"{value:.1%}" for value in values],
                "textposition": "outside",
                "textfont": {"size": 11},
                "cliponaxis": False,
                "hovertext": [
                    f"{name}<br>{value:.2%} of {total} {unit}"
                    for value, total in zip(values, totals, strict=True)
                ],
                "hoverinfo": "text",
            }
        )
    reading = (
        f"{len(result):,} edits of one code, one step each, against one synchronous step of the symbolic algorithm on "
        "the edited state. Affected values: those the edit changes in the oracle's answer."
    )
    legend, below = legend_below([name for _, name, _ in bars], width, 52)
    layout = captioned("Code interventions", reading, width, 260, right=20, bottom=below)
    layout |= {
        "barmode": "group",
        "xaxis": {"title": {"text": "kind of edit", "standoff": 6}, "type": "category"},
        "yaxis": {"title": {"text": "agreement with the oracle"}, "range": [0, 1.08], "tickformat": ".0%"},
        "legend": legend,
    }
    return make_figure(traces, layout)
