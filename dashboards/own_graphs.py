"""Graphs of files: those the server was started with, those a visitor uploaded, and the choice of one beside a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from analyses import brought

MOST_FILES: Final = 4
"""Uploaded files that a visitor's session keeps; the oldest goes first."""
LONGEST_LINK: Final = 16_000
"""Characters of equations in an address."""
_UPLOADED: Final = "uploaded graphs"


def graph_files() -> dict[str, tuple[str, ...]]:
    """Name of a file -> its graphs: those the server was started with, and those of this visitor."""
    uploaded: dict[str, tuple[str, ...]] = st.session_state.get(_UPLOADED, {})
    return brought.graphs() | uploaded


def choose_from_file(key: str, several: bool, then: Callable[[str], None] | None = None) -> None:
    """In the sidebar, where there are files: a graph of one goes into the box of a key.

    several: whether the box takes several graphs; then all of a file that fit into an address go together. then: called
    with the equations that were chosen.
    """
    files = graph_files()
    if not files:
        return

    def take() -> None:
        chosen: tuple[str, int] | None = st.session_state[f"{key} from file"]
        if chosen is not None:
            name, index = chosen
            text = together(files[name]) if index < 0 else files[name][index]
            st.session_state[key] = text
            if then is not None:
                then(text)

    options: list[tuple[str, int]] = []
    for name, texts in files.items():
        options += [(name, -1)] if several and len(texts) > 1 else []
        options += [(name, index) for index in range(len(texts))]
    st.sidebar.selectbox(
        "From a file of yours",
        options,
        index=None,
        key=f"{key} from file",
        format_func=lambda one: f"{one[0]}: {'all' if one[1] < 0 else f'graph {one[1] + 1}'}",
        placeholder="Choose a graph",
        on_change=take,
    )


def together(texts: tuple[str, ...]) -> str:
    """The first graphs of a file, as many as fit into an address, with blank lines between them."""
    kept: list[str] = []
    for text in texts:
        if kept and sum(map(len, kept)) + len(text) > LONGEST_LINK:
            break
        kept.append(text)
    return "\n\n".join(kept)


def keep_graphs(name: str, texts: tuple[str, ...]) -> None:
    """Keep the graphs of an uploaded file for this visitor."""
    files: dict[str, tuple[str, ...]] = {**st.session_state.get(_UPLOADED, {}), name: texts}
    st.session_state[_UPLOADED] = dict(list(files.items())[-MOST_FILES:])
