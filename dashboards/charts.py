"""Figures on a page: as wide as the page, and wider where they could not be read otherwise; then they scroll.

What a figure shows stands beside it in words, where a screen reader finds them and no eye does.
"""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.saving.menu import css_class, save_figure
from dashboards.theme import is_dark
from interp.figures.description import description
from interp.figures.template import least_width
from interp.figures.theme import dark

_WORDS = "figure-words"
_UNSEEN = (
    f".stElementContainer:has(> .stHtml > .{_WORDS}) {{position: absolute; left: 0; width: 1px; height: 1px; "
    "overflow: hidden; clip-path: inset(50%)}"
)
CHART = {"displayModeBar": False, "displaylogo": False}


def chart(
    figure: go.Figure,
    key: str,
    place: DeltaGenerator | None = None,
    about: str = "",
    saved: bool = True,
    **options: Any,
) -> Any:
    """The figure, at least as wide as it says, and what ``st.plotly_chart`` returns.

    place: where it is drawn. about: what it shows, if it has no title. saved: whether a menu under it saves it, as on
        paper.
    options: others of ``st.plotly_chart``.
    """
    least = least_width(figure)
    box = f".{css_class(key)}"
    words = html.escape(description(figure, about))
    draw = st.plotly_chart if place is None else place.plotly_chart
    st.html(
        f"<style>{box} {{overflow-x: auto}} {box} > div {{min-width: {least}px; max-width: none}}{_UNSEEN}</style>"
        f'<p class="{_WORDS}">{words}</p>'
    )
    shown = dark(figure) if is_dark() else figure
    drawn = draw(shown, theme=None, config=CHART, key=key, **options)
    if saved:
        save_figure(figure, key, place)
    return drawn
