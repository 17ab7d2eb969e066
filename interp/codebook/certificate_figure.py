"""The certificate: agreement by step on and off trajectory, and the bound for runs beside what runs show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis, step_axis, with_intervals
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR
from interp.statistics.counted import counted
from interp.statistics.shares import Share

if TYPE_CHECKING:
    from interp.codebook.certificate import Certificate


def certificate_figure(found: Certificate, width: int = 1000) -> go.Figure:
    """One step, on and off trajectory; edits by depth; values affected by kind; runs of T steps beside the bound."""
    table: Any = found.steps()
    rows = table.to_dict("records")
    last = found.n_steps - 1
    on = [Share(row["agree"], row["states"]) for row in rows]
    made = [Share(row["exact"], row["edits"]) for row in rows if row["edits"]]
    steps = [row["step"] for row in rows]
    one_step = [
        _line("on trajectory", steps, on, MARK_COLOUR),
        _line("off trajectory", [row["step"] for row in rows if row["edits"]], made, "#e1862d"),
    ]
    by_depth: Any = found.by("depth")
    depths = [Share(row["exact"], row["edits"]) for row in by_depth.to_dict("records")]
    deep = [_line("off trajectory", by_depth["depth"].tolist(), depths, "#e1862d", shown=False)]
    by_kind: Any = found.by("kind")
    kinds = by_kind.to_dict("records")
    affected = [
        {
            "type": "bar",
            "name": name,
            "x": [row["kind"] for row in kinds],
            "y": [row[column] / max(row["affected"], 1) for row in kinds],
            "marker": {"color": colour},
            "hovertext": [f"{row[column]} of {row['affected']} affected values, {name}" for row in kinds],
            "hoverinfo": "text",
        }
        for name, column, colour in (
            ("the model", "affected_right", MARK_COLOUR),
            ("a model that ignores the edit", "affected_ignored", UNSOLVED_COLOUR),
        )
    ]
    runs = [
        with_intervals(
            "runs that have differed",
            steps,
            [(row["observed"], row["observed_low"], row["observed_high"]) for row in rows],
            [
                f"{row['differed']} of {row['runs']} runs have differed after step {row['step']}"
                for row in rows
            ],
            INK,
        ),
        _bound("bound", "bound", rows, "#e1862d", "solid"),
        _bound("bound for all steps together", "bound_all", rows, "#e1862d", "dot"),
    ]
    most = max([0.02, *(row["bound_all"] for row in rows), *(row["observed_high"] for row in rows)])
    least = min([0.99, *(share.interval[0] for share in (*on, *made, *depths))])
    charts = [
        Chart(
            "next state equals the algorithm's",
            "step",
            "states",
            one_step,
            step_axis(last),
            _near_one(least),
        ),
        Chart(
            "the same, by depth of the edited node",
            "depth",
            "edited states",
            deep,
            {"dtick": 1},
            _near_one(least),
        ),
        Chart(
            "values that the edit affects",
            "kind of edit",
            "right",
            affected,
            {"type": "category"},
            share_axis(),
        ),
        Chart(
            "runs that differ by a step, and the bound",
            "step",
            "runs",
            runs,
            step_axis(last),
            share_axis(min(1.0, most)),
        ),
    ]
    reading = (
        f"{counted(found.agrees.shape[1], 'graph')}: one step from the algorithm's own states (on trajectory, equal in "
        f"{found.on}), and from states with one code replaced (off trajectory, equal in {found.off}), as many for each "
        f"of {counted(found.cells, 'combination')} of step, depth and factor. Bars, brackets: 95 % intervals. "
        f"Last: the sum of what single steps may miss, and the runs of {counted(len(found.differed), 'other graph')}."
    )
    return draw_charts(charts, "A certificate for runs", reading, 2, width)


def _line(name: str, x: list[int], shares: list[Share], colour: str, shown: bool = True) -> dict[str, Any]:
    hover = [f"<b>{name}, {at}</b><br>{share}" for at, share in zip(x, shares, strict=True)]
    return with_intervals(name, x, [share.point for share in shares], hover, colour, shown=shown)


def _near_one(least: float) -> dict[str, Any]:
    room = 0.06 * (1 - least)
    return {"range": [least - room, 1 + room], "tickformat": ".1%" if least > 0.9 else ".0%"}


def _bound(name: str, column: str, rows: list[dict[str, Any]], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [row["step"] for row in rows],
        "y": [row[column] for row in rows],
        "line": {"color": colour, "dash": dash},
        "hovertemplate": f"%{{y:.2%}}<extra>{name}</extra>",
    }
