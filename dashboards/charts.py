"""Figures on a page: as wide as the page, and wider where they could not be read otherwise; then they scroll.

What a figure shows stands beside it in words, where a screen reader finds them and no eye does. On a phone its title
and how it is read stand above it, where their lines break, and not in what scrolls.
"""

from __future__ import annotations

import html
from typing import Any, cast

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.saving.menu import css_class, save_figure
from dashboards.theme import is_dark
from interp.figures.description import description, heading
from interp.figures.template import least_width
from interp.figures.theme import dark

_WORDS = "figure-words"
_NARROW = "figure-narrow"
_UNSEEN = "position: absolute; left: 0; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"
_STYLE = (
    f".stElementContainer:has(> .stHtml > .{_WORDS}) {{{_UNSEEN}}} .{_NARROW} {{display: none}}"
    "@media (max-width: 640px) {"
    f".stElementContainer:has(> .stHtml > .{_NARROW}) {{position: static; width: auto; height: auto; "
    f"overflow: visible; clip-path: none}} .{_WORDS} {{{_UNSEEN}}} .{_NARROW} {{display: block}} "
    f".{_NARROW} :is(strong, span, em) {{display: block}} .{_NARROW} :is(span, em) {{font-size: 0.875rem}} "
    "[data-testid=stMain] .js-plotly-plot .g-gtitle {display: none}}"
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
    draw = st.plotly_chart if place is None else place.plotly_chart
    st.html(
        f"<style>{box} {{overflow-x: auto}} {box} > div {{min-width: {least}px; max-width: none}}{_STYLE}"
        f"@media (max-width: 640px) {{{box} > div {{margin-top: -{_heading_height(figure)}px}}}}</style>"
        f'<p class="{_WORDS}">{html.escape(description(figure, about))}</p>{_narrow(figure)}'
    )
    shown = dark(figure) if is_dark() else figure
    drawn = draw(shown, theme=None, config=CHART, key=key, **options)
    if saved:
        save_figure(figure, key, place)
    return drawn


def _heading_height(figure: go.Figure) -> int:
    """Pixels at the top of a figure that its title takes, and the lines under it."""
    title: Any = cast("Any", figure).layout.title
    lines = len(str(title.subtitle.text).split("<br>")) if title.subtitle.text else 0
    return (30 if title.text else 0) + 15 * lines


def _narrow(figure: go.Figure) -> str:
    """Title and reading of a figure as HTML for a narrow screen, and that it scrolls; empty without a title."""
    title, reading = heading(figure)
    if not title:
        return ""
    lines = [
        f"<strong>{html.escape(title)}</strong>",
        f"<span>{html.escape(reading)}</span>" if reading else "",
    ]
    return f'<div class="{_NARROW}" aria-hidden="true">{"".join(lines)}<em>Scroll it sideways.</em></div>'
