"""The page Open: what was saved is opened again, and models and graphs of one's own are brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analyses import brought
from analyses.inputs import InputError
from analyses.json_object import read_object
from analyses.run_file import FORMAT as RUN
from analyses.run_file import RunOfGraph, SavedRun
from dashboards import messages
from dashboards.cached import every_model
from dashboards.charts import chart
from dashboards.opening.graphs import graphs_section
from dashboards.opening.models import models_section
from dashboards.runs import readable, run_of
from dashboards.saving.session_file import FORMAT as SESSION
from dashboards.saving.session_file import SavedSession
from dashboards.saving.share import open_pages
from dashboards.trajectory.view import View
from dashboards.trajectory.words import run_sentence
from interp.figures.trajectory import trajectory_figure
from models.graph_errors import clip

LARGEST_MB: Final = 8
_OPENED: Final = "opened file"
_TABS: Final = ("A session or a run", "A model of your own", "Graphs of your own")
_LINK: Final = ":material/open_in_new:"


def open_page(pages: Mapping[str, StreamlitPage]) -> None:
    """Draw the page; pages: all others, by their paths."""
    saved, models, graphs = st.tabs(_TABS)
    with saved:
        _saved_section(pages)
    with models:
        models_section(pages)
    with graphs:
        graphs_section(pages)


def _saved_section(pages: Mapping[str, StreamlitPage]) -> None:
    st.markdown(
        "A session that **Save session** wrote, or a run: of the Trajectory page, of `recurlens solve --json`, or of "
        "`Trajectory.to_json`. Files stay on this machine and are not kept."
    )
    given = st.file_uploader(
        "A session or a run (JSON)", type=["json"], max_upload_size=LARGEST_MB, key="open_file"
    )
    if given is not None:
        st.session_state[_OPENED] = _read(given.name, given.getvalue(), pages)
    runs = brought.runs()
    if runs:
        chosen: str | None = st.selectbox(
            "A run that the server was started with", list(runs), index=None, key="open_run"
        )
        if chosen is not None:
            st.session_state[_OPENED] = runs[chosen]
    opened: SavedSession | SavedRun | None = st.session_state.get(_OPENED)
    if isinstance(opened, SavedSession):
        _show_session(opened, pages)
    elif isinstance(opened, SavedRun):
        _show_run(opened, pages["trajectory"])


def _read(name: str, content: bytes, pages: Mapping[str, StreamlitPage]) -> SavedSession | SavedRun | None:
    """What a file holds; a message where that is nothing."""
    try:
        text = content.decode()
        kind = read_object(text).get("format")
        if kind == RUN:
            return SavedRun.from_json(text)
        if kind != SESSION:
            raise InputError(f"format is {clip(repr(kind))}; {SESSION!r} or {RUN!r} is expected.")
        session, problems = SavedSession.from_json(text, pages)
    except UnicodeDecodeError:
        messages.error(f"{name} cannot be opened: it is no text.")
        return None
    except InputError as error:
        messages.error(f"{name} cannot be opened: {error}")
        return None
    for problem in problems:
        messages.warning(problem)
    open_pages(session.pages)
    return session


def _show_session(session: SavedSession, pages: Mapping[str, StreamlitPage]) -> None:
    st.subheader("The pages of the session", anchor=False)
    first = [session.page] if session.page in session.pages else []
    for path in dict.fromkeys([*first, *session.pages]):
        params = session.pages[path]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(pages[path], query_params=dict(params), icon=_LINK)
            messages.caption(_words(params))


def _show_run(saved: SavedRun, page: StreamlitPage) -> None:
    one = saved.graphs[0]
    if len(saved.graphs) > 1:
        number: int = st.selectbox("Graph", range(len(saved.graphs)), key="open_graph")
        one = saved.graphs[number]
    name = saved.model or "The model of this file"
    st.subheader("The run, as the file has it", anchor=False)
    messages.markdown(run_sentence(name, one.trajectory))
    edit = View.from_params(saved.view or {}, View())[0].edit
    first_state = 0 if edit is None else edit.since
    chart(trajectory_figure(one.trajectory, first_state=first_state), "opened run")
    if saved.model is None:
        messages.info("The file does not say which model it was, so the run cannot be made again.")
    elif saved.model not in every_model():
        messages.info(f"There is no model {saved.model} here, so the run cannot be made again.")
    else:
        _again(saved, saved.model, one)
        view = saved.view or {"model": saved.model, "text": one.graph.to_text()}
        st.page_link(
            page,
            label="Open it on the page Trajectory",
            query_params=dict(view),
            icon=":material/open_in_new:",
        )


def _again(saved: SavedRun, model: str, one: RunOfGraph) -> None:
    """Whether the model, run again, shows the same values."""
    if saved.view is not None and "edit" in saved.view:
        messages.info("The run was edited. The link below makes the edit again.")
        return
    try:
        run = run_of("open run", model, readable(model, one.graph))
    except ValueError as error:
        messages.error(str(error))
        return
    if run is None:
        return
    symbols = run.vocabulary.symbols("value")
    values = tuple(tuple(symbols[int(code)] for code in state) for state in run.values[:, 0])
    shared = min(len(values), len(one.values))
    first = next((step for step in range(shared) if values[step] != one.values[step]), None)
    if first is None:
        messages.info(f"{model}, run again on this graph, shows the same values in all {shared} states.")
    else:
        where = "the start" if first == 0 else f"step {first - 1}"
        messages.warning(f"{model}, run again on this graph, shows other values from {where} on.")


def _words(params: Mapping[str, Any]) -> str:
    """Query parameters in a line."""
    text = ", ".join(f"{name} {value}" for name, value in params.items())
    return text if len(text) <= 160 else f"{text[:159]}…"
