"""The Trajectory page: a model solves a graph, step by step."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboards.cached import run_text
from dashboards.trajectory.controls import chosen_view
from dashboards.trajectory.edit import edit_fragment
from dashboards.trajectory.session import current_view, default_view, read_address, show_view
from dashboards.trajectory.steps import steps_fragment
from dashboards.trajectory.view import View
from dashboards.trajectory.words import run_sentence
from models.graph import GraphError
from models.storage import CheckpointError
from models.trajectory import Trajectory
from models.vocabulary import VocabularyError

GOOD = "trajectory last good view"


def trajectory_page() -> None:
    """Draw the page for this visitor's view."""
    is_new, problems = read_address()
    wanted = chosen_view()
    view, text, run = _run(wanted, is_new, problems)
    for problem in problems:
        st.error(problem)
    if view.edit is not None:
        view = _checked_edit(view, run)
    show_view(view)
    st.markdown(run_sentence(view.model, run))
    steps_fragment(run)
    edit_fragment(run, text)


def _run(wanted: View, is_new: bool, problems: list[str]) -> tuple[View, str, Trajectory]:
    """The run of the wanted view; where it is not a graph the model can read, a message and the last good view.

    A graph chosen on the page starts at its last step, without an edit; one from a new address does not.
    """
    good: View = st.session_state.get(GOOD, default_view())
    try:
        text = wanted.graph_text()
        run = run_text(wanted.model, text)
    except (GraphError, VocabularyError, CheckpointError) as error:
        problems.append(str(error))
        view = replace(good, state=current_view().state, at=current_view().at, edit=current_view().edit)
        text = good.graph_text()
        return view, text, run_text(good.model, text)
    if not is_new and not wanted.same_graph(good):
        wanted = replace(wanted, state=None, at=None, edit=None)
        for key in ("step", "at", "edit_node", "edit_state", "edit_value"):
            st.session_state.pop(key, None)
        st.session_state["overwriting"] = False
    st.session_state[GOOD] = wanted
    return wanted, text, run


def _checked_edit(view: View, run: Trajectory) -> View:
    """The view, without an edit that the run has no place for (a message says so)."""
    if view.edit is not None:
        try:
            view.edit.resolved(run)
        except ValueError as error:
            st.error(str(error))
            st.session_state["overwriting"] = False
            return replace(view, edit=None)
    return view
