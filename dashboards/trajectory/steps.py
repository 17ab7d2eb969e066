"""The part that follows the step slider: graph, heatmap and inspector, rerun alone."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.charts import chart
from dashboards.trajectory.session import SESSION
from dashboards.trajectory.snippet import run_snippet
from interp.figures.graph import graph_figure
from interp.figures.template import state_label
from interp.figures.trajectory import trajectory_figure
from models.trajectory import Trajectory
from models.vocabulary import FACTORS


@st.fragment
def steps_fragment(run: Trajectory) -> None:
    """Slider, graph, inspector and heatmap of the run; a move of the slider reruns nothing else."""
    view = SESSION.current()
    last = len(run.states) - 1
    if "step" not in st.session_state or st.session_state["step"] > last:
        st.session_state["step"] = last if view.state is None else min(view.state, last)
    state: int = st.select_slider(
        "Step",
        range(last + 1),
        key="step",
        format_func=state_label,
        help="The state each step leaves behind.",
    )
    left, right = st.columns([9, 5], gap="small")
    with right:
        at = _choose_position(run)
    SESSION.update(state=state, at=at)
    nodes_at = [int(position) for position in run.encoded.rhs[0]]
    highlight = nodes_at.index(at) if at in nodes_at else None
    graph = graph_figure(run, state, highlight=highlight, width=660)
    chart(graph, "graph", left)
    with right:
        _inspect(run, state, at)
    st.markdown("**What every node shows after every step**")
    # The same for every step, so that the browser draws it once: a move of the slider draws the graph alone.
    chart(trajectory_figure(run), "heatmap")
    st.download_button(
        "Download the run (JSON)",
        run.to_json(),
        file_name="recurlens-run.json",
        mime="application/json",
        on_click="ignore",
    )
    with st.expander("View the code that drew this"):
        st.code(run_snippet(SESSION.current(), state), language="python")


def _choose_position(run: Trajectory) -> int:
    graph = run.encoded.graphs[0]
    tokens = run.vocabulary.token_strings(run.states[0], graph)[0]
    rhs = [int(position) for position in run.encoded.rhs[0]]
    equation_of: list[int] = []
    for node, position in enumerate(rhs):
        equation_of += [node] * (position + 1 - len(equation_of))

    def label(position: int) -> str:
        return f"{position}: {tokens[position]} in {graph.equation(equation_of[position])}"

    view = SESSION.current()
    if st.session_state.get("at", len(tokens)) >= len(tokens):
        st.session_state["at"] = rhs[-1] if view.at is None or view.at >= len(tokens) else view.at
    position: int = st.selectbox("Inspect position", range(len(tokens)), key="at", format_func=label)
    return position


def _inspect(run: Trajectory, state: int, at: int) -> None:
    """The four factors of a position in every state, the chosen one marked."""
    graph = run.encoded.graphs[0]
    own_names = {node.variable: node.name for node in graph.nodes}
    symbols = [list(run.vocabulary.symbols(factor)) for factor in FACTORS]
    symbols[1] = [own_names.get(index, name) for index, name in enumerate(symbols[1])]
    rows: list[dict[str, str]] = []
    for index, codes in enumerate(run.states[:, 0, at].tolist()):
        row = {"step": ("▶ " if index == state else "") + state_label(index)}
        row |= {factor: symbols[place][codes[place]] for place, factor in enumerate(FACTORS)}
        row["p"] = f"{float(run.confidence[index - 1, 0, at].min()):.3f}" if index else ""
        rows.append(row)
    widths = {"step": 48, "syntax": 62, "variable": 62, "operation": 66, "value": 58, "p": 52}
    helps = {"p": "Least confidence of the four factors"}
    config = {
        name: st.column_config.TextColumn(name, width=width, help=helps.get(name))
        for name, width in widths.items()
    }
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        row_height=26,
        height=480 if len(rows) > 16 else "content",
        column_config=config,
    )
