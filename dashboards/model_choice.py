"""The choice of a model on every page: models that read graphs, and looped models that the server was started with.

Which kind a page shows is told by its address alone, where `model` is the name of one or the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analyses.loops.offered import offered
from dashboards.own_models import grouped, label_of, left_out
from dashboards.selection import GRAPH, select, selection


def chosen_loop() -> str | None:
    """The name of the looped model that this visitor looks at, on every page; None for a model of graphs."""
    asked = st.query_params.get("model")
    if asked is None:
        asked = selection().model
    elif asked in offered():
        select(model=asked)
    return asked if asked in offered() else None


def keep_loop(model: str | None) -> None:
    """What pages show next that are come to without a model in their address; None: a model of graphs."""
    if model is not None or selection().model in offered():
        select(model=model)


def choose_model(names: Sequence[str], key: str, help: str) -> str:
    """The box in the sidebar; one of the other kind than `names` leads to its own view of the page.

    names: models of the kind that is shown.
    """
    # It imports PyTorch, and Start, which asks for no model, is not to wait for that.
    from dashboards.cached import every_model

    loops = list(offered())
    others = [name for name in loops if name not in names] if loops and names[0] not in loops else []
    about = help + left_out(names, every_model())
    chosen: str = st.sidebar.selectbox(
        "Model", grouped([*names, *others]), key=key, help=about, format_func=label_of
    )
    if chosen in others:
        leave_for(chosen)
    return chosen


def leave_for(model: str) -> None:
    """Show the page of another kind of model; one of graphs with the graph, the step and the node that were chosen."""
    kept = {} if model in offered() else selection().to_params((*GRAPH, "step", "node"))
    st.query_params.from_dict({"model": model, **kept})
    st.rerun()
