"""The Trajectory page: a model solves a graph, step by step."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboards import messages
from dashboards.address import not_there
from dashboards.cached import available, shared
from dashboards.graph_inputs import graph_sidebar
from dashboards.runs import readable, run_of
from dashboards.trajectory.session import SESSION, TYPE, default_view, fill_edit, toggle_key
from dashboards.trajectory.steps import run_fragment
from dashboards.trajectory.view import View
from dashboards.trajectory.words import run_sentence
from interp.figures.template import state_label
from models.graph import ComputationGraph, GraphError
from models.storage import CheckpointError
from models.trajectory import Trajectory
from models.vocabulary import VocabularyError

GOOD = "trajectory last good view"


def trajectory_page() -> None:
    """Draw the page for this visitor's view."""
    is_new, problems = SESSION.read()
    wanted = graph_sidebar(SESSION.current(), available(), TYPE)
    view, graph = _graph(wanted, is_new, problems)
    for problem in problems:
        messages.error(problem)
    run = run_of("trajectory", view.model, graph)
    if run is None:
        SESSION.show(view)
        SESSION.hold()
        return
    view = _within(view, run, is_new)
    if view.edit is not None:
        view = _checked_edit(view, run)
    SESSION.show(view)
    messages.markdown(run_sentence(view.model, run))
    run_fragment(run, graph)


def _graph(wanted: View, is_new: bool, problems: list[str]) -> tuple[View, ComputationGraph]:
    """The graph of the wanted view; where it is not a graph the model can read, a message and the last good view.

    A graph chosen on the page starts at its last step, without an edit; one from a new address does not.
    """
    good: View = st.session_state.get(GOOD, default_view())
    try:
        graph = readable(wanted.model, wanted.graph_text())
    except (GraphError, VocabularyError, CheckpointError) as error:
        problems.append(str(error))
        view = replace(
            good, state=SESSION.current().state, at=SESSION.current().at, edit=SESSION.current().edit
        )
        return view, readable(good.model, good.graph_text())
    if not is_new and not wanted.same_graph(good):
        wanted = replace(wanted, state=None, at=None, node=None, edit=None)
        fill_edit(wanted)
    st.session_state[GOOD] = wanted
    return wanted, graph


def _within(view: View, run: Trajectory, is_new: bool) -> View:
    """The view, with a step and a position that the run has; a notice where a new address asked for others."""
    last, last_at = len(run.states) - 1, run.states.shape[2] - 1
    rhs: list[int] = run.encoded.rhs[0].tolist()
    notices: list[str] = []
    if view.state is not None and view.state > last and view.edit is None:
        there = f"this run has steps start, 0 to {last - 1}"
        notices.append(not_there("step", state_label(view.state), there, state_label(last)))
        view = replace(view, state=last)
    if view.at is not None and view.at > last_at:
        notices.append(not_there("position", view.at, f"this graph has positions 0 to {last_at}", rhs[-1]))
        view = replace(view, at=rhs[-1])
    if view.at is None and view.node is not None:
        if view.node >= len(rhs):
            there = f"this graph has nodes 0 to {len(rhs) - 1}"
            notices.append(not_there("node", view.node, there, len(rhs) - 1))
        view = replace(view, at=rhs[min(view.node, len(rhs) - 1)])
    for notice in notices if is_new else ():
        messages.warning(notice)
    return view


def _checked_edit(view: View, run: Trajectory) -> View:
    """The view, without an edit that the run has no place for (a message says so)."""
    if view.edit is not None:
        try:
            view.edit.check(shared(view.model).model, run)
        except ValueError as error:
            messages.error(str(error))
            st.session_state[toggle_key("overwriting")] = st.session_state[toggle_key("head off")] = False
            return replace(view, edit=None)
    return view
