"""The view of this visitor: kept in the session, mirrored in the address bar, and copied into the widgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dashboards.address import Address
from dashboards.cached import available
from dashboards.patching.view import CLEAN_EXAMPLE, CORRUPT_EXAMPLE, View

_ADDRESS: Address[View] = Address("patching")
MAKE, TYPE = "Make a pair", "Type both"


def default_view() -> View:
    """What a bare address shows."""
    names = available()
    return View(model="discrete-corrected" if "discrete-corrected" in names else names[0])


def current_view() -> View:
    """The view last shown."""
    return _ADDRESS.current


def read_address() -> tuple[bool, list[str]]:
    """Take over the address where it is new: whether it was, and what it got wrong.

    Widgets are set to the view whenever they are not there yet.
    """
    problems: list[str] = []
    given = _ADDRESS.news()
    if given is not None:
        view, problems = View.from_params(given, default_view())
        if view.model not in available():
            problems.append(f"There is no model {view.model!r}; there are {', '.join(available())}.")
            view = replace(view, model=default_view().model)
        _ADDRESS.take_over(view, given)
        _fill_widgets(view)
    elif "patch_model" not in st.session_state:
        _fill_widgets(current_view())
    return given is not None, problems


def update_view(**changes: Any) -> View:
    """Change some fields of the view, and the address with it."""
    return show_view(replace(current_view(), **changes))


def show_view(view: View) -> View:
    """Make this the view, and write it into the address."""
    return _ADDRESS.show(view)


def _fill_widgets(view: View) -> None:
    for key in [key for key in st.session_state if str(key).startswith("patch_set_")]:
        del st.session_state[key]
    st.session_state["patch_model"] = view.model
    st.session_state["patch_source"] = MAKE if view.clean is None else TYPE
    st.session_state["patch_clean"] = CLEAN_EXAMPLE if view.clean is None else view.clean
    st.session_state["patch_corrupt"] = CORRUPT_EXAMPLE if view.corrupt is None else view.corrupt
    st.session_state["patch_n"] = view.n
    st.session_state["patch_seed"] = view.seed
    st.session_state["patch_ops"] = list(view.ops)
    st.session_state["patch_kind"] = view.kind
    st.session_state["patch_node"] = view.node
    st.session_state["patch_look"] = view.settings.look
