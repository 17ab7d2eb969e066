"""The two graphs of a pair, and what differs between them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboards import messages
from dashboards.charts import chart
from dashboards.folded import folded
from dashboards.patching.words import pair_sentence
from interp.causal.pairs import Pair
from interp.figures.graph import graph_figure
from interp.figures.template import MARK_COLOUR
from models.trajectory import Trajectory


def show_pair(pair: Pair, clean: Trajectory, corrupt: Trajectory) -> None:
    """A sentence, and on demand both graphs, the equations that differ and the values that differ."""
    messages.markdown(pair_sentence(pair, clean, corrupt))

    def both() -> None:
        for place, name, run in zip(st.columns(2), ("clean", "corrupt"), (clean, corrupt), strict=True):
            template = "**{name}**, at the end of its run; circled: values that differ"
            messages.markdown(template, place, name=name.capitalize())
            figure = _circled(graph_figure(run, highlight=pair.changed_nodes[0], width=500), pair.differing)
            chart(figure, f"graph {name}", place, f"The {name} graph at the end of its run")
        st.dataframe(_differences(pair, clean, corrupt), hide_index=True, height="content")

    folded("Both graphs, and what differs", both)


def _circled(figure: go.Figure, nodes: tuple[int, ...]) -> go.Figure:
    """The figure of a graph with a ring around some nodes."""
    drawn: Any = next(iter(figure.select_traces(selector={"name": "nodes"})))
    rings = {
        "type": "scatter",
        "name": "differs",
        "x": [drawn.x[node] for node in nodes],
        "y": [drawn.y[node] for node in nodes],
        "mode": "markers",
        "marker": {
            "symbol": "circle-open",
            "size": drawn.marker.size + 9,
            "color": MARK_COLOUR,
            "line": {"width": 2},
        },
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return figure.add_trace(rings)


def _differences(pair: Pair, clean: Trajectory, corrupt: Trajectory) -> pd.DataFrame:
    """One row per node whose equation or true value differs."""
    symbols = clean.vocabulary.symbols("value")
    rows = []
    for node in sorted({*pair.changed_nodes, *pair.differing}):
        row = {"node": pair.clean.nodes[node].name}
        for name, graph, run in (("clean", pair.clean, clean), ("corrupt", pair.corrupt, corrupt)):
            row[f"{name} equation"] = graph.equation(node)
            row[f"{name} true value"] = str(graph.values_by_node[node])
            row[f"{name} run's end"] = symbols[int(run.values[-1, 0, node])]
        row["edited"] = "yes" if node in pair.changed_nodes else ""
        rows.append(row | {"depth": str(pair.clean.depths_by_node[node])})
    return pd.DataFrame(rows)
