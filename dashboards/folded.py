"""What a reader may open: it is drawn, and sent to the browser, when it is opened, without the rest of the page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboards import messages


def folded(label: str, draw: Callable[[], object], expanded: bool = False) -> None:
    """A box of that label, one on its page. draw: draws what is in it. expanded: whether it is open at first."""

    @st.fragment
    def box() -> None:
        with st.expander(
            messages.escape_markdown(label), expanded, key=key_of(label), on_change="rerun"
        ) as opened:
            if opened.open:
                draw()

    box()


def key_of(label: str) -> str:
    """Key in the session of whether the box of a label is open."""
    return f"open {label}"
