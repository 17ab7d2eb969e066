"""Links to the same node on other pages: with the model and the graph, and at the step that is about it; and to pages
that go on from one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboards import messages
from dashboards.selection import GRAPH, Selection
from models.graph import ComputationGraph, GraphError

if TYPE_CHECKING:
    from models.trajectory import Trajectory

_PAGES: Final = "pages"
TARGETS: Final = {
    "home": "Trajectory",
    "story": "Story",
    "explain": "Explain",
    "attention": "Attention",
    "lens": "Lens",
    "patching": "Patching",
}
"""Path of a page that shows a node -> its title, in the order of the links."""


def remember(pages: Mapping[str, StreamlitPage]) -> None:
    """The pages that there are, by path; without any there are no links."""
    st.session_state[_PAGES] = dict(pages)


def node_at(run: Trajectory, position: int) -> int:
    """The node in whose equation a position of a run of one graph is; a separator is of the equation before it."""
    return min(int((run.encoded.rhs[0] < position).sum()), len(run.encoded.graphs[0]) - 1)


def node_links(here: str, shown: Selection, graph: ComputationGraph, node: int, key: str = "") -> None:
    """A line of links from the page of a path: this node there.

    shown: model and graph, and the step that is looked at, if there is one; else links lead to the step that computes
    the node. key: tells several lines of one page apart.
    """
    pages: dict[str, StreamlitPage] = st.session_state.get(_PAGES, {})
    if not pages:
        return
    with st.container(
        horizontal=True, gap="small", vertical_alignment="center", key=f"node-links-{here}{key}"
    ):
        messages.markdown("{name} in", st.container(width="content"), name=graph.nodes[node].name)
        for path, title in TARGETS.items():
            if path != here and path in pages:
                st.page_link(
                    pages[path],
                    label=title,
                    query_params=address_of(path, shown, graph, node),
                    width="content",
                )


def page_links(paths: Iterable[str]) -> None:
    """A line of links to pages by their paths, which show what is selected."""
    pages: dict[str, StreamlitPage] = st.session_state.get(_PAGES, {})
    there = [pages[path] for path in paths if path in pages]
    if not there:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="page-links"):
        messages.markdown("Goes on in", st.container(width="content"))
        for page in there:
            st.page_link(page, width="content")


def edit_links(here: str, shown: Selection, node: int, step: int, edits: Mapping[str, str]) -> None:
    """A line of links to the Trajectory page: the run with an edit, at a step and a node.

    edits: label -> edit as the address has it.
    """
    page = st.session_state.get(_PAGES, {}).get("home")
    if page is None or not edits:
        return
    common = shown.to_params(("model", *GRAPH)) | {"step": str(step), "node": str(node)}
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"edit-links-{here}"):
        messages.markdown("Take off in step {step}:", st.container(width="content"), step=step)
        for label, edit in edits.items():
            st.page_link(page, label=label, query_params={**common, "edit": edit}, width="content")


def address_of(path: str, shown: Selection, graph: ComputationGraph, node: int) -> dict[str, str]:
    """Query parameters that show a node of a graph on the page of a path."""
    common = shown.to_params(("model", *GRAPH))
    step = graph.depths_by_node[node] if shown.step is None else max(0, shown.step)
    if path == "patching":
        return _patched(common, graph, node)
    one = {"graphs": "1", "show": "graph"} if path == "lens" and "text" not in common else {}
    at = {} if path in ("story", "explain") else {"step": str(step)}
    return {**common, **one, "node": str(node), **at}


def _patched(common: dict[str, str], graph: ComputationGraph, node: int) -> dict[str, str]:
    """A pair of which the node differs, by the value of a leaf that it is computed from; and how it is read there."""
    from interp.causal.pairs import PairError, make_pair

    name = graph.nodes[node].name
    for leaf in _leaves(graph, node):
        try:
            pair = make_pair(graph, "leaf-value", int(common.get("seed", 0)), node=graph.nodes[leaf].name)
        except (GraphError, PairError):
            continue
        if node not in pair.differing:
            continue
        if "text" not in common:
            return {**common, "kind": "leaf-value", "node": graph.nodes[leaf].name, "read": name}
        texts = {"clean": common["text"], "corrupt": pair.corrupt.to_text("\n")}
        return {"model": common["model"], **texts, "read": name}
    return common


def _leaves(graph: ComputationGraph, node: int) -> list[int]:
    """The leaves that a node is computed from, in text order."""
    found, waiting = {node}, [node]
    while waiting:
        new = set(graph.nodes[waiting.pop()].operands) - found
        found |= new
        waiting += new
    return sorted(one for one in found if graph.nodes[one].value is not None)
