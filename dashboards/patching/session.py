"""The view of this visitor: kept in the session, mirrored in the address bar, and copied into the widgets."""

from __future__ import annotations

import streamlit as st

from dashboards.patching.view import View
from dashboards.session import PageSession, default_model

MAKE, TYPE = "Make a pair", "Type both"


def default_view() -> View:
    """What a bare address shows."""
    return View(model=default_model())


def _fill_widgets(view: View) -> None:
    for key in [key for key in st.session_state if str(key).startswith("patch_set_")]:
        del st.session_state[key]
    st.session_state["patch_model"] = view.model
    st.session_state["patch_source"] = MAKE if view.clean is None else TYPE
    st.session_state["patch_clean"], st.session_state["patch_corrupt"] = view.texts()
    st.session_state["patch_n"] = view.n
    st.session_state["patch_seed"] = view.seed
    st.session_state["patch_ops"] = list(view.ops)
    st.session_state["patch_kind"] = view.kind
    st.session_state["patch_node"] = view.node
    st.session_state["patch_look"] = view.settings.look


SESSION: PageSession[View] = PageSession(
    "patching", lambda given: View.from_params(given, default_view()), _fill_widgets, widget="patch_model"
)
