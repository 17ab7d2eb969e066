"""The view of this visitor: kept in the session, mirrored in the address bar, and copied into the widgets."""

from __future__ import annotations

import streamlit as st

from dashboards.graph_inputs import fill_graph
from dashboards.session import PageSession, default_model
from dashboards.trajectory.view import Edit, HeadEdit, View

TYPE = "Type"
EDIT_KEYS = ("edit_node", "edit_state", "edit_value")
"""The widgets that say which value is overwritten."""
OFF_KEYS = ("off_layer", "off_head", "off_step")
"""The widgets that say which head is off."""


def default_view() -> View:
    """What a bare address shows."""
    return View(model=default_model())


def _fill_widgets(view: View) -> None:
    fill_graph(view, TYPE)
    fill_edit(view)


def fill_edit(view: View) -> None:
    """Copy the edit of a view into the widgets."""
    st.session_state["overwriting"] = isinstance(view.edit, Edit)
    st.session_state["head off"] = isinstance(view.edit, HeadEdit)
    for key in (*EDIT_KEYS, *OFF_KEYS):
        st.session_state.pop(key, None)


SESSION: PageSession[View] = PageSession(
    "trajectory", lambda given: View.from_params(given, default_view()), _fill_widgets, widget="model"
)
