"""What probes read in one graph: node by node, step by step, a panel per site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.captioned import captioned
from interp.figures.cells import frame_traces
from interp.figures.resolution import Span, each, missing_traces
from interp.figures.template import INK, WRONG_COLOUR, discrete_scale, make_figure
from interp.probing.rows import site_label

if TYPE_CHECKING:
    from interp.probing.reading import ProbeReading

_RIGHT: Final = "#c9d5f7"
_WRONG: Final = "#ffffff"
_ROW: Final = 22
_GAP: Final = 26
_TEXT_FROM: Final = 20
"""Width of a column in pixels from which on what was read stands in the cells."""


def reading_figure(reading: ProbeReading, graph: int = 0, width: int = 1000) -> go.Figure:
    """Cells are (step, node): what the probe reads, blue where that is the truth, framed in red where it is not.

    Raises:
        IndexError: no such graph.
    """
    if not 0 <= graph < len(reading.graphs):
        raise IndexError(f"graph is {graph}; allowed are 0 to {len(reading.graphs) - 1}")
    labels: Any = reading.labels
    rows = np.flatnonzero(labels["graph"].to_numpy() == graph)
    nodes = reading.graphs[graph].nodes
    names = [nodes[int(node)].name for node in labels["node"].to_numpy()[rows]]
    n_steps, n_sites = len(reading.true), len(reading.sites)
    panel = _ROW * n_steps
    inner = n_sites * panel + (n_sites - 1) * _GAP
    asked, right = reading.asked[:, :, rows], reading.right[:, :, rows]
    share = right.sum() / max(1, asked.sum())
    which = "all nodes" if reading.status is None else f"{reading.status} nodes"
    caption = (
        f"{reading.kind.capitalize()} probes of {which}, fitted on other graphs; in a cell what is read at that step. "
        f"Blue: right, {int(right.sum())} of {int(asked.sum())} ({share:.1%}). Framed in red: wrong. Hatched: the node "
        "has another status, or the graphs the probe was fitted on have no such row."
    )
    bottom = 40 + 7 * max(len(name) for name in names)
    layout = captioned(
        f"{reading.target} as probes read it", caption, width, inner, left=70, right=20, bottom=bottom
    )
    headings: list[dict[str, Any]] = []
    traces: list[dict[str, Any]] = []
    span = Span.across(width, 90)
    with_text, gap = span.least / len(names) >= _TEXT_FROM, span.gap(len(names))
    for place, site in enumerate(reading.sites):
        suffix = "" if place == 0 else str(place + 1)
        top = 1 - place * (panel + _GAP) / inner
        bounds = [max(0.0, top - panel / inner), top]
        traces += [
            trace | {"yaxis": f"y{suffix}"} for trace in _panel(reading, rows, place, names, with_text, gap)
        ]
        layout[f"yaxis{suffix}"] = {
            "domain": bounds,
            "range": [n_steps - 0.5, -0.5],
            "tickvals": list(range(n_steps)),
            "title": {"text": "step", "font": {"size": 12}},
            "showgrid": False,
        }
        headings.append(
            {
                "text": f"<b>{site_label(site)}</b>", "x": 0, "y": top, "xref": "paper", "yref": "paper",
                "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"size": 12, "color": INK},
            }
        )  # fmt: skip
    layout |= {
        "showlegend": False,
        "annotations": headings,
        "xaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "tickangle": -90 if len(names) > 12 else 0,
            "range": [-0.5, len(names) - 0.5],
            "anchor": f"y{'' if n_sites == 1 else n_sites}",
            "showgrid": False,
            "title": {"text": "node", "font": {"size": 12}},
        },
    }
    return make_figure(traces, layout)


def _panel(
    reading: ProbeReading, rows: np.ndarray[Any, Any], place: int, names: list[str], with_text: bool, gap: int
) -> list[dict[str, Any]]:
    asked, right = reading.asked[:, place, rows], reading.right[:, place, rows]
    read, true = reading.read[:, place, rows], reading.true[:, rows]
    hover = [
        [
            f"<b>{names[column]}, step {step}</b><br>read {read[step, column]}, true {true[step, column]}"
            if asked[step, column]
            else f"<b>{names[column]}, step {step}</b><br>not read"
            for column in range(len(rows))
        ]
        for step in range(len(true))
    ]
    heatmap = {
        "type": "heatmap",
        "z": np.where(asked, right.astype(float), np.nan).tolist(),
        "zmin": -0.5,
        "zmax": 1.5,
        "colorscale": discrete_scale([_WRONG, _RIGHT]),
        "showscale": False,
        "xgap": gap,
        "ygap": gap,
        "hoverongaps": False,
        "text": read.tolist() if with_text else None,
        "texttemplate": "%{text}" if with_text else None,
        "textfont": {"size": 11, "color": INK},
        "hovertext": hover,
        "hoverinfo": "text",
    }
    wrong = [(int(step), int(column)) for step, column in zip(*np.nonzero(asked & ~right), strict=True)]
    hatched = missing_traces(each(np.where(asked, 0.0, np.nan)))
    return [heatmap, *hatched, *frame_traces(wrong, WRONG_COLOUR, "wrong", 0.46)]
