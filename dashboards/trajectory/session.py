"""The view of this visitor: kept in the session, mirrored in the address bar, and copied into the widgets."""

from __future__ import annotations

import streamlit as st

from dashboards.session import PageSession, default_model
from dashboards.trajectory.view import EXAMPLE, View

SAMPLE, TYPE = "Sample", "Type"
EDIT_KEYS = ("edit_node", "edit_state", "edit_value")
"""The widgets that say which value is overwritten."""


def default_view() -> View:
    """What a bare address shows."""
    return View(model=default_model())


def _fill_widgets(view: View) -> None:
    st.session_state["model"] = view.model
    st.session_state["source"] = SAMPLE if view.text is None else TYPE
    st.session_state["text"] = EXAMPLE if view.text is None else view.text
    st.session_state["n"] = view.n
    st.session_state["seed"] = view.seed
    st.session_state["ops"] = list(view.ops)
    st.session_state["overwriting"] = view.edit is not None
    for key in EDIT_KEYS:
        st.session_state.pop(key, None)


SESSION: PageSession[View] = PageSession(
    "trajectory", lambda given: View.from_params(given, default_view()), _fill_widgets, widget="model"
)
