"""Download buttons side by side; what they hold is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Literal

import plotly.graph_objects as go
import streamlit as st

from dashboards import messages

_MIME = {"csv": "text/csv", "json": "application/json", "html": "text/html"}


@dataclass(frozen=True)
class Download:
    """A button and its file, the end of whose name says what it is: csv, json or html."""

    label: str
    file_name: str
    make: Callable[[], str]


def download_row(
    downloads: Iterable[Download], key: str = "", width: Literal["stretch", "content"] = "stretch"
) -> None:
    """The buttons, in as many lines as it takes; key: of what they belong to, where the page has more of the kind.

    width: of the row.
    """
    with st.container(horizontal=True, width=width):
        for download in downloads:
            st.download_button(
                messages.escape_markdown(download.label),
                download.make,
                file_name=download.file_name,
                mime=_MIME[download.file_name.rsplit(".", 1)[-1]],
                key=f"{key} {download.label}" if key else None,
                on_click="ignore",
            )


def figures_html(title: str, figures: Iterable[go.Figure]) -> str:
    """One page that needs nothing else, with the figures below each other."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)
    ]
    head = f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
    return f"{head}<body>{''.join(parts)}</body></html>\n"
