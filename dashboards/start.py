"""The Start page: what this is in five sentences, four things to try, and what the words mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analyses.glossary import as_markdown
from dashboards import messages

INTRO: Final = (
    "A small Transformer solves a graph of equations by applying the same layers again and again. "
    "After every step all that it keeps are discrete symbols, so each step can be read, stopped, edited and "
    "compared exactly. "
    "Here you choose a model and a graph, and watch what every step writes. "
    "You change a symbol, switch a part off, or carry it from one run into another, and see what follows. "
    "Every page has an address that shows the same to others, and the code that made it."
)


@dataclass(frozen=True)
class Example:
    """Something to try: what to do, what there is to see, and the address of a page that shows it."""

    name: str
    about: str
    link: str
    page: str
    query: Mapping[str, str]


_GRAPH: Final = {"model": "discrete-corrected", "n": "16", "seed": "1", "ops": "ADD"}
EXAMPLES: Final = (
    Example(
        "Watch it",
        "Press Play: values travel along the edges, and every step solves one more level of the graph.",
        "A run, from its start",
        "home",
        _GRAPH | {"step": "start"},
    ),
    Example(
        "Break it",
        "One value was replaced after step 1. Press Next step: the mistake spreads, and then it heals.",
        "An edited run",
        "home",
        _GRAPH | {"step": "1", "edit": "x_84@1=5"},
    ),
    Example(
        "Find the head",
        "One node and the step that computes it: which head fetched which operand, and what it is worth.",
        "The story of a node",
        "story",
        _GRAPH,
    ),
    Example(
        "Test it",
        "Two graphs differ in one leaf. Which step, and which token, carries the answer from one to the other?",
        "A patch sweep of a pair",
        "patching",
        {"model": "discrete-corrected", "clean": "20=a;2=b;a+b=total", "corrupt": "20=a;9=b;a+b=total"},
    ),
)


def start_page(pages: Mapping[str, StreamlitPage]) -> None:
    """Draw the page; pages: by their names in the address."""
    st.markdown(INTRO)
    st.subheader("Four things to try", anchor=False)
    with st.container(horizontal=True):
        for example in EXAMPLES:
            with st.container(border=True, width=250, height="stretch"):
                messages.markdown("**{name}**  \n{about}", name=example.name, about=example.about)
                st.page_link(pages[example.page], label=example.link, icon=":material/arrow_forward:",
                             query_params=example.query)  # fmt: skip
    st.subheader("What the words mean", anchor=False)
    messages.markdown(as_markdown())


def words() -> None:
    """What the words mean, behind a button in the sidebar of every page."""
    with st.sidebar.popover("Glossary", icon=":material/menu_book:", help="What the words of this page mean.",
                            width="stretch"):  # fmt: skip
        messages.markdown(as_markdown())
