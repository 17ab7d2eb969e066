"""Running a page once more by itself, as something has become known that it waited for.

A slow browser may not have drawn the page's boxes by then. It learns what they hold when they are set, and a box that
it draws later would show its first choice instead, and tell that as the reader's. So what was set is set again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import streamlit as st

_AGAIN: Final = "run again by itself"
_FILLED: Final = "boxes that were filled"


def run_again() -> None:
    """Run the page once more, from a fragment or the page itself."""
    st.session_state[_AGAIN] = True
    st.rerun()


def note_filled(keys: Iterable[str]) -> None:
    """The state of these boxes was set before they are drawn."""
    st.session_state[_FILLED] = {*st.session_state.get(_FILLED, ()), *keys}


def fill_again() -> None:
    """At the beginning of a page: where it runs by itself, set anew what its boxes hold, and change nothing."""
    if not st.session_state.pop(_AGAIN, False):
        return
    for key in st.session_state.get(_FILLED, ()):
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]
