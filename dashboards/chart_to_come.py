"""The browser fetches the drawing library, which takes it a second, while the server still computes what is drawn."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import plotly.graph_objects as go
import streamlit as st

KEY: Final = "to-come"
"""Of the chart without anything in it, which is there until the block ends."""
_FETCHED: Final = "drawing library fetched"


@contextmanager
def chart_to_come() -> Iterator[None]:
    """A chart without anything in it, unseen, until the block ends; only the first in a tab has anything to fetch."""
    if _FETCHED in st.session_state:
        yield
        return
    # Plotly asks pandas about what it draws as soon as any thread has begun to import it; here that has ended.
    importlib.import_module("pandas")
    st.session_state[_FETCHED] = True
    place = st.empty()
    nothing = go.Figure(layout={"height": 40, "xaxis": {"visible": False}, "yaxis": {"visible": False}})
    with place.container():
        st.html(f"<style>.st-key-{KEY} {{display: none}}</style>")
        st.plotly_chart(nothing, theme=None, config={"displayModeBar": False}, key=KEY)
    try:
        yield
    finally:
        place.empty()
