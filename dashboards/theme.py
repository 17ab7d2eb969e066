"""Light or dark: what the reader's browser asks for, with the colours of `.streamlit/config.toml`."""

from __future__ import annotations

from typing import Final

import streamlit as st

_SPACE: Final = (
    ".stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}"
    "@media (max-width: 640px) {.stMainBlockContainer {padding: 4.5rem 1rem 4rem}}"
    "[data-testid=stCaptionContainer] {opacity: 0.8}"
    ".stButtonGroup > div {flex-wrap: wrap}"
)
"""Captions are paler than a contrast of 4.5 to 1 as Streamlit draws them, and buttons beside each other end up beside a
narrow page.
"""


def is_dark() -> bool:
    """Whether this reader sees the dark theme."""
    return st.context.theme.type == "dark"


def page_style() -> str:
    """Style of every page: less empty space above, and words on a dark page's main buttons that can be read."""
    if not is_dark():
        return _SPACE
    paper = st.get_option("theme.dark.backgroundColor")
    return f"{_SPACE} [data-testid=stBaseButton-primary] {{color: {paper}}}"
