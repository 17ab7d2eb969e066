"""Graphs of one's own: uploaded, and one of a file opened on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analyses import brought
from analyses.inputs import InputError
from dashboards import messages
from dashboards.own_graphs import LONGEST_LINK, graph_files, keep_graphs
from dashboards.session import default_model

LARGEST_MB: Final = 4
_ONE: Final = ("trajectory", "story", "attention")
"""Pages that a graph is opened on, by their paths."""


def graphs_section(pages: Mapping[str, StreamlitPage]) -> None:
    """Upload a file, and open a graph of one on a page."""
    st.markdown(
        "A JSON object with `equations` on each line, as `--graphs-file` of the commands has them, or equations as you "
        "would type them, with a blank line between two graphs. Every page offers them beside its box of equations."
    )
    given = st.file_uploader(
        "Graphs", type=["jsonl", "json", "txt"], max_upload_size=LARGEST_MB, key="open_graphs"
    )
    if given is not None:
        _take(given.name, given.getvalue())
    files = graph_files()
    if not files:
        return
    with st.container(horizontal=True):
        name: str = st.selectbox("File", list(files), key="open_graphs_file", width=260)
        number: int = st.number_input("Graph", 1, len(files[name]), key="open_graphs_number", width=140)
    text = files[name][number - 1]
    st.code(text.replace("; ", "\n"), language=None, height=200)
    if len(text) > LONGEST_LINK:
        messages.info("This graph is too large for a link; choose it in the sidebar of a page, under My own.")
        return
    with st.container(horizontal=True):
        for path in _ONE:
            query = {"model": default_model(), "text": text}
            st.page_link(pages[path], query_params=query, icon=":material/open_in_new:")


def _take(name: str, content: bytes) -> None:
    try:
        texts = brought.graphs_of(content.decode())
    except UnicodeDecodeError:
        messages.error(f"{name} cannot be opened: it is no text.")
        return
    except InputError as error:
        messages.error(f"{name} cannot be opened: {error}")
        return
    keep_graphs(name, texts)
    messages.info(f"{name} has {len(texts)} graph{'s' * (len(texts) != 1)}.")
