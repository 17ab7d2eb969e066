"""The sidebar: which model, and which pair of graphs."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import streamlit as st

from analyses.inputs import GraphSource
from dashboards.cached import available
from dashboards.graph_inputs import choose_operations
from dashboards.model_choice import choose_model
from dashboards.own_graphs import choose_from_file
from dashboards.patching.session import MAKE, SESSION, TYPE
from dashboards.patching.view import SEEDS, SIZES, View
from interp.causal.pairs import KINDS, PairError, make_pair
from models.compiled_names import fitting_name
from models.graph import ComputationGraph, GraphError

_KINDS = dict(
    zip(KINDS, ("a leaf's value", "an operand", "an operation", "two leaves' values swapped"), strict=True)
)


def chosen_view() -> View:
    """What the sidebar asks for; not yet known to be a pair that the model can read."""
    choose_model(available(), "patch_model", "Weights to run; `compiled` is exact by design.")
    st.sidebar.segmented_control(
        "Pair", [MAKE, TYPE], key="patch_source", required=True, width="stretch", label_visibility="collapsed"
    )
    view = replace(SESSION.current(), model=st.session_state["patch_model"])
    if st.session_state["patch_source"] == TYPE:
        return _typed(view)
    return _made(view)


def _typed(view: View) -> View:
    if view.clean is None:
        st.session_state["patch_clean"], st.session_state["patch_corrupt"] = view.texts()
    for name in ("clean", "corrupt"):
        st.sidebar.text_area(
            f"{name.capitalize()} equations",
            key=f"patch_{name}",
            height=150,
            help="Separated by `;`, `,` or a new line. Both texts need the same nodes with as many operands each.",
        )
        if name == "clean":
            choose_from_file("patch_clean", False, lambda text: _make_corrupt(text, view))
    st.sidebar.caption("Ctrl+Enter to apply.")
    clean, corrupt = st.session_state["patch_clean"], st.session_state["patch_corrupt"]
    model = GraphSource(text=corrupt).fitting(GraphSource(text=clean).fitting(view.model))
    return replace(view, model=model, clean=clean, corrupt=corrupt)


def _make_corrupt(clean: str, view: View) -> None:
    """Fill the box of the corrupt text with what an edit makes of the clean one; where it makes none, leave it."""
    with contextlib.suppress(GraphError, PairError):
        pair = make_pair(ComputationGraph.parse(clean), view.kind, view.seed)
        st.session_state["patch_corrupt"] = pair.corrupt.to_text("\n")


def _made(view: View) -> View:
    left, right = st.sidebar.columns(2)
    n = left.number_input("Nodes", *SIZES, key="patch_n", help="Equations of the graph, six of them leaves.")
    seed = right.number_input("Seed", *SEEDS, key="patch_seed", help="Draws the graph, and the edit.")
    ops = choose_operations(view.model, "patch_ops")
    kind = st.sidebar.selectbox("What differs", KINDS, key="patch_kind", format_func=_KINDS.__getitem__)
    node = _node(n, seed, ops, kind)
    model = fitting_name(view.model, ops)
    return replace(view, model=model, clean=None, corrupt=None, n=n, seed=seed, ops=ops, kind=kind, node=node)


def _node(n: int, seed: int, ops: tuple[str, ...], kind: str) -> str | None:
    """Choice of the node to edit: any of the right sort, or drawn; a name from a link is kept as it is."""
    try:
        graph = ComputationGraph.sample(n, ops=ops, seed=seed)
    except GraphError:
        return None
    leaf = kind in ("leaf-value", "leaf-swap")
    names = [node.name for node in graph.nodes if (node.value is not None) == leaf]
    equations = dict(zip((node.name for node in graph.nodes), graph.equations, strict=True))
    given = st.session_state.get("patch_node")
    shown = SESSION.current()
    if given is not None and given not in names:
        if (n, seed, ops, kind) == (shown.n, shown.seed, shown.ops, shown.kind):
            names = [given, *names]
        else:
            st.session_state["patch_node"] = None
    chosen: str | None = st.sidebar.selectbox(
        "Node",
        names,
        index=None,
        key="patch_node",
        format_func=lambda name: equations.get(name, str(name)),
        placeholder="drawn by the seed",
        help="The node that is edited. Cleared: drawn by the seed.",
    )
    return chosen
