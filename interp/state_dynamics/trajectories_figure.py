"""Paths of the hidden states of nodes in the plane of their first two principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.captioned import captioned
from interp.figures.template import EDGE_COLOUR, legend_below, make_figure, value_colours
from interp.state_dynamics.pca import pca_trajectories

if TYPE_CHECKING:
    from interp.state_dynamics.dynamics import Dynamics

_NAMES: Final = ("first", "second")
_MOST: Final = 240
"""Paths that are drawn; the basis is fitted on all nodes."""


def pca_figure(run: Dynamics, last_step: int | None = None, width: int = 1000) -> go.Figure:
    """The path of every right-hand side from step to step, in one basis for all steps; colour: the node's true value.

    A dot stands where a path ends, a cross where it ends with a wrong value; the lines are the way there. Of more than
    240 nodes, that many are drawn, evenly over graphs.

    Raises:
        ValueError: a last step that was not run.
    """
    last = run.shown_until if last_step is None else last_step
    if not 0 < last < run.n_steps:
        raise ValueError(f"last_step is {last}; allowed are 1..{run.n_steps - 1}")
    graph, node = np.nonzero(run.exists)
    found = pca_trajectories(run.hidden[: last + 2, graph, node])
    chosen = np.unique(np.linspace(0, len(graph) - 1, min(_MOST, len(graph))).astype(int))
    paths = found.points[:, chosen]
    values = run.values[graph, node][chosen]
    right = run.right[last + 1, graph, node][chosen]
    modulus = run.graphs[0].modulus
    colours = value_colours(modulus)
    gaps = np.full((1, len(chosen)), np.nan)
    lines = [np.concatenate([paths[..., axis], gaps]).T.ravel().tolist() for axis in (0, 1)]
    traces: list[dict[str, Any]] = [
        {
            "type": "scattergl",
            "mode": "lines",
            "name": "path",
            "x": lines[0],
            "y": lines[1],
            "line": {"color": "#c3c8d4", "width": 0.8},
            "hoverinfo": "skip",
        }
    ]
    shown = run.shown[1:, graph, node][:, chosen]
    for is_right, name, symbol in ((True, "ends right", "circle"), (False, "ends wrong", "x")):
        at = np.nonzero(right == is_right)[0]
        if not len(at):
            continue
        traces.append(
            {
                "type": "scattergl",
                "mode": "markers",
                "name": name,
                "x": paths[-1, at, 0].tolist(),
                "y": paths[-1, at, 1].tolist(),
                "marker": {
                    "color": [colours[values[index]] for index in at],
                    "symbol": symbol,
                    "size": 8,
                    "line": {"color": "#ffffff", "width": 0.5},
                },
                "hovertext": [
                    f"<b>graph {graph[chosen[i]]}, node {run.graphs[graph[chosen[i]]].nodes[node[chosen[i]]].name}</b>"
                    f"<br>true value {values[i]}, depth {run.depths[graph[chosen[i]], node[chosen[i]]]}<br>"
                    f"shown after each step: {_symbols(shown[: last + 1, i].tolist(), modulus)}"
                    for i in at
                ],
                "hoverinfo": "text",
            }
        )
    reading = (
        f"Right-hand sides of {len(chosen)} of {len(graph)} nodes, from the state entering step 0 to that after step "
        f"{last}; one basis, fitted on all nodes and steps. Colour: true value (not ordered). Paths that end in one "
        "place per value have committed to a symbol."
    )
    axis = {"showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    names = [
        f"{name} principal component ({share:.1%} of the variance)"
        for name, share in zip(_NAMES, found.explained, strict=True)
    ]
    entries = [trace["name"] for trace in traces if trace.get("showlegend", True)]
    legend, below = legend_below(entries, width, 52)
    layout = captioned("Trajectories of the state", reading, width, 460, 70, 20, bottom=below)
    layout |= {
        "xaxis": axis | {"title": {"text": names[0], "font": {"size": 12}, "standoff": 6}},
        "yaxis": axis | {"title": {"text": names[1], "font": {"size": 12}, "standoff": 6}},
        "legend": legend,
    }
    return make_figure(traces, layout)


def _symbols(shown: list[int], modulus: int) -> str:
    """Value symbols as text; what is no value is a dot."""
    return " ".join(str(symbol) if symbol < modulus else "·" for symbol in shown)
