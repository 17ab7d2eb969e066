"""A circuit as figures: how faithful circuits of every size are, and which edges of a step are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts
from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR

if TYPE_CHECKING:
    from interp.circuits.discovery import Discovery

_MOST = 1.5
"""f above which it is drawn at the edge; the hover has it."""


def faithfulness_figure(result: Discovery, width: int = 1000) -> go.Figure:
    """f over the number of edges, on a logarithmic axis: tied, per step, and drawn at random."""
    colours = [MARK_COLOUR, "#e1862d", UNSOLVED_COLOUR]
    labels = {"tied": "tied", "per-step": "per step", "random": "tied, at random"}
    traces: list[dict[str, Any]] = []
    for (name, label), colour in zip(labels.items(), colours, strict=True):
        curve = result.curves[name]
        some = curve.sizes > 0
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label,
                "x": curve.sizes[some].tolist(),
                "y": np.clip(curve.ranked[some], -_MOST + 1, _MOST).tolist(),
                "line": {"color": colour, "width": 2},
                "marker": {"size": 6},
                "text": [f"{value:.3f}" for value in curve.ranked[some]],
                "hovertemplate": f"{label}, %{{x}} edges: f %{{text}}<extra></extra>",
            }
        )
    counts = [2**power for power in range(0, int(result.curve.n_edges).bit_length(), 2)]
    chart = Chart(
        title=f"{result.method.name}, {result.ablation} ablation",
        x_title="edges that the circuit names",
        y_title="faithfulness f",
        traces=traces,
        x_axis={"type": "log", "tickvals": counts, "ticktext": [str(count) for count in counts]},
        y_axis={"range": [-0.55, _MOST + 0.05]},
    )
    curve, random = result.curve, result.curves["random"]
    reading = (
        f"Everything outside a circuit is cut. Of {curve.n_edges} edges the circuit kept names {result.unique_edges} "
        f"and has f {result.sufficiency:.3f}; all others together have {1 - result.necessity:.3f}. CPR "
        f"{curve.cpr:.3f}, CMD {curve.cmd:.3f} (at random {random.cmd:.3f}), sharing gap {result.sharing_gap:+.3f}. "
        f"Judged on {result.judged_on} pair{'s' * (result.judged_on != 1)}, "
        + ("as it was found." if result.same_pairs else "not those it was found on.")
    )
    return draw_charts([chart], "Faithfulness over size", reading, 1, width)


def edges_figure(result: Discovery, width: int = 1000) -> go.Figure:
    """Writer x reader: the share of steps in which an edge is kept, signed as its score; readers without a kept edge
    are left out.
    """
    graph, used = result.graph, result.kept.mean(0)
    scores = result.scores[result.sharing].mean(0)
    spans = {reader: span for reader, span in graph.spans.items() if used[span].any()}
    rows = list(spans) or list(graph.spans)[-1:]
    writers = [
        index
        for index in range(len(graph.writers))
        if any(used[graph.spans[row]][index : index + 1].any() for row in rows)
    ] or [0]
    values = np.full((len(rows), len(writers)), np.nan)
    hover = [[""] * len(writers) for _ in rows]
    for row, reader in enumerate(rows):
        span = graph.spans[reader]
        for column, writer in enumerate(writers):
            if writer >= span.stop - span.start:
                hover[row][column] = "written later than it is read"
                continue
            place = span.start + writer
            values[row, column] = used[place] * (1 if scores[place] >= 0 else -1)
            names = " -> ".join(graph.edges[int(place)].names)
            hover[row][column] = (
                f"<b>{names}</b><br>kept in {used[place]:.0%} of steps<br>score {scores[place]:+.4g}"
            )
    panel = Panel(
        title=f"{result.unique_edges} of {len(graph.edges)} edges",
        rows=tuple(_short(*reader) for reader in rows),
        columns=tuple(_short(*graph.writers[writer]) for writer in writers),
        row_title="reader",
        column_title="writer",
        values=values,
        hover=hover,
        sites=np.arange(values.size).reshape(values.shape),
        missing="no such edge",
    )
    reading = (
        "The edges of a step that are in the circuit. Colour: share of the steps in which an edge is kept; orange "
        "where it works against the answer. Readers and writers without an edge in it are left out; hatched: the "
        "writer comes later."
    )
    return draw([panel], "The circuit of a step", reading, Scale("kept"), False, width)


def _short(kind: str, layer: int | None, head: int | None) -> str:
    where = ".".join(str(one) for one in (layer, head) if one is not None)
    return {"head": where, "mlp": f"MLP{layer}"}.get(kind, f"{kind} {where}".strip())
