"""The menu under every figure: the same figure as PNG, SVG, HTML, and what is drawn as CSV and JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.components import component_of
from dashboards.downloads import Download, download_row, figures_html
from interp.figures.drawn import drawn_frame

_HERE: Final = Path(__file__).parent


def css_class(key: str) -> str:
    """The class that Streamlit gives to an element of a key."""
    return f"st-key-{re.sub(r'[^a-zA-Z0-9_-]', '-', key)}"


def save_figure(figure: go.Figure, key: str, place: DeltaGenerator | None = None) -> None:
    """The menu of a figure of plotly that is drawn under a key."""
    save_menu(
        key,
        html=lambda: figures_html(_title(figure, key), [figure]),
        csv=lambda: drawn_frame(figure).to_csv(index=False),
        json=lambda: str(figure.to_json()),
        place=place,
    )


def save_menu(
    key: str,
    html: Callable[[], str],
    csv: Callable[[], str],
    json: Callable[[], str],
    place: DeltaGenerator | None = None,
) -> None:
    """The menu of what is drawn under a key; html: a page that needs nothing else. csv, json: what is drawn."""
    at = st if place is None else place
    name = "recurlens-" + re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    with (
        at.container(horizontal=True, horizontal_alignment="right"),
        st.popover("Save figure", type="tertiary", icon=":material/download:", key=f"{key} save"),
    ):
        component_of(_HERE, "saver")(key=f"{key} picture", data={"place": css_class(key), "name": name})
        download_row(
            [
                Download("HTML", f"{name}.html", html),
                Download("Data (CSV)", f"{name}.csv", csv),
                Download("Data (JSON)", f"{name}.json", json),
            ],
            key=key,
        )


def _title(figure: go.Figure, key: str) -> str:
    title = figure.layout.title.text
    return key if title is None else str(title)
