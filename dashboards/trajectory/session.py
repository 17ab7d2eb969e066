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


_TURN = "edit boxes"


def default_view() -> View:
    """What a bare address shows."""
    return View(model=default_model())


def _fill_widgets(view: View) -> None:
    fill_graph(view, TYPE)
    fill_edit(view)


def toggle_key(name: str) -> str:
    """The key of `overwriting` or `head off`, the widgets that say which kind of edit there is."""
    turn = st.session_state.get(_TURN, 0)
    return f"{name} {turn}" if turn else name


def renew_toggles() -> None:
    """Have new ones: what a browser still says of the old ones, having not heard of a change here, means nothing."""
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def fill_edit(view: View) -> None:
    """Copy the edit of a view into the widgets."""
    st.session_state[toggle_key("overwriting")] = isinstance(view.edit, Edit)
    st.session_state[toggle_key("head off")] = isinstance(view.edit, HeadEdit)
    for key in (*EDIT_KEYS, *OFF_KEYS):
        st.session_state.pop(key, None)


SESSION: PageSession[View] = PageSession(
    "trajectory", lambda given: View.from_params(given, default_view()), _fill_widgets, widget="model"
)
