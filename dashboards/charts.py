"""Figures on a page: as wide as the page, and wider where they could not be read otherwise; then they scroll."""

from __future__ import annotations

import re
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from interp.figures.template import least_width

CHART = {"displayModeBar": False, "displaylogo": False}


def chart(figure: go.Figure, key: str, place: DeltaGenerator | None = None, **options: Any) -> Any:
    """The figure, at least as wide as it says, and what ``st.plotly_chart`` returns.

    place: where it is drawn. options: others of ``st.plotly_chart``.
    """
    least = least_width(figure)
    box = f".st-key-{re.sub(r'[^a-zA-Z0-9_-]', '-', key)}"
    st.html(
        f"<style>{box} {{overflow-x: auto}} {box} > div {{min-width: {least}px; max-width: none}}</style>"
    )
    draw = st.plotly_chart if place is None else place.plotly_chart
    return draw(figure, theme=None, config=CHART, key=key, **options)
