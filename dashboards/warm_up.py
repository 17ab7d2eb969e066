"""What the pages need is imported after the first of them is drawn, so that the next one does not wait for it."""

from __future__ import annotations

from importlib import import_module
from threading import Thread
from typing import Final

import streamlit as st

_PAGES: Final = ("trajectory.page", "pages", "attention", "patching.page", "generalisation", "training")


@st.cache_resource(show_spinner=False)
def warm_up() -> Thread:
    """Begin, once in a process; the thread that does it."""
    thread = Thread(target=_import, name="warm up", daemon=True)
    thread.start()
    return thread


def _import() -> None:
    for name in _PAGES:
        import_module(f"dashboards.{name}")
