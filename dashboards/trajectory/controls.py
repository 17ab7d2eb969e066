"""The sidebar: which model, and which graph."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from analyses.inputs import GraphSource
from dashboards.cached import available
from dashboards.graph_inputs import choose_operations
from dashboards.model_choice import choose_model
from dashboards.trajectory.session import SAMPLE, SESSION, TYPE
from dashboards.trajectory.view import SEEDS, SIZES, View
from models.compiled_names import fitting_name
from models.operations import OPERATIONS


def chosen_view() -> View:
    """What the widgets ask for; not yet known to be a graph that the model can read."""
    choose_model(available(), "model", "Weights to run; `compiled` is exact by design.")
    st.sidebar.segmented_control(
        "Graph", [SAMPLE, TYPE], key="source", required=True, width="stretch", label_visibility="collapsed"
    )
    model = st.session_state["model"]
    view = replace(SESSION.current(), model=model)
    if st.session_state["source"] == TYPE:
        st.sidebar.text_area(
            "Equations",
            key="text",
            height=190,
            help=f"Separated by `;`, `,` or a new line, in any order. Operations: `{OPERATIONS.listed()}`, read from "
            "left to right, modulo 23. A leaf is `20 = x_7`; names are free.",
        )
        st.sidebar.caption("Ctrl+Enter to apply.")
        text = st.session_state["text"]
        return replace(view, model=GraphSource(text=text).fitting(model), text=text)
    left, right = st.sidebar.columns(2)
    left.number_input("Nodes", *SIZES, key="n", help="Equations of the graph, six of them leaves.")
    right.number_input("Seed", *SEEDS, key="seed", help="The same seed gives the same graph.")
    ops = choose_operations(model, "ops")
    n, seed = st.session_state["n"], st.session_state["seed"]
    return replace(view, model=fitting_name(model, ops), text=None, n=n, seed=seed, ops=ops)
