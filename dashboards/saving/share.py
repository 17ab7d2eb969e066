"""Above every page: copy its link, save the session; and a saved session that is being opened, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st

from dashboards.address import visited
from dashboards.components import component_of
from dashboards.downloads import Download, download_row
from dashboards.saving.session_file import SavedSession

_HERE: Final = Path(__file__).parent
_WAITING: Final = "pages to open"


def share_buttons(path: str) -> None:
    """Buttons beside the title of the page at a path."""
    shown = visited()  # changes while the reader moves on
    name = "recurlens-session.json"
    save = Download("Save session", name, lambda: SavedSession.of(path, shown).to_json())
    with st.container(horizontal=True, width="content"):
        component_of(_HERE, "link")(key="copy link", width="content", on_theme_change=lambda: None)
        download_row([save], key="share", width="content")


def open_pages(pages: Mapping[str, Mapping[str, str]]) -> None:
    """Let each of these pages show its query parameters when it is opened next."""
    st.session_state[_WAITING] = {path: dict(params) for path, params in pages.items()}


def reopen(path: str) -> None:
    """Before the page at a path is drawn: at its bare address it shows what is waiting for it."""
    waiting: dict[str, dict[str, str]] = st.session_state.get(_WAITING, {})
    params = waiting.pop(path, None)
    if params is not None and not st.query_params.to_dict():
        st.query_params.from_dict(params)
