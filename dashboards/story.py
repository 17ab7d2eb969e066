"""The choices of the Story page, which depend on the graph, and the story in words below its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analyses.catalogue.story import COMPUTING, LAST
from analyses.catalogue.story import STORY as RECORD
from dashboards import messages
from dashboards.analysis_page import page_of
from dashboards.graph_inputs import AnalysisView, GraphInputs
from dashboards.links import edit_links, node_links
from dashboards.precomputed import Result
from models.graph import ComputationGraph


def row(inputs: GraphInputs, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> AnalysisView:
    """The nodes of the graph, and the steps up to the one after that which computes the chosen node."""
    (graph,), state = graphs, st.session_state
    node, step = inputs.settings
    nodes = {LAST: f"{graph.equation(len(graph) - 1)}  (the last)"}
    nodes |= {str(index): f"{graph.equation(index)}" for index in range(len(graph) - 1)}
    with st.container(horizontal=True):
        if state[inputs.key("node")] == str(len(graph) - 1):
            state[inputs.key("node")] = LAST
        inputs.keep_to(node, list(nodes), LAST, "this graph")
        chosen = inputs.box(node, nodes)
        depth = graph.depths_by_node[len(graph) - 1 if chosen == LAST else int(chosen)]
        steps = [COMPUTING, *(str(index) for index in range(depth + 2))]
        inputs.keep_to(step, steps, COMPUTING, "this story")
        return view.with_settings(
            node=chosen, step=inputs.box(step, {name: step.options[name] for name in steps})
        )


def more(view: AnalysisView, result: Result) -> None:
    """The story in words, a paragraph a step; the last, the verdict, stands above already."""
    (story,) = result.data["stories"]
    graph = ComputationGraph.parse(story["graph"])
    node = [one.name for one in graph.nodes].index(story["node"])
    node_links("story", view.selected(), graph, node)
    heads_off(view, story, node)
    paragraphs = str(story["text"]).split("\n\n")[:-1]
    with st.expander("The story, step by step", expanded=True):
        for paragraph in paragraphs:
            first, *sentences = paragraph.split("\n")
            messages.text(first)
            if sentences:
                messages.bullets(one.strip().removeprefix("- ") for one in sentences)


def heads_off(view: AnalysisView, story: Mapping[str, Any], node: int) -> None:
    """Links that take off the heads whose claims are backed at the step that is shown."""
    asked = view.setting("step")
    step = min(story["depth"], len(story["steps"]) - 1) if asked == COMPUTING else int(asked)
    parts = {
        part
        for claim in story["claims"]
        if claim["step"] == step and claim["backed"]
        for part in claim["parts"]
        if part.startswith("head ")
    }
    edits = {part: f"{part.removeprefix('head ')}@{step}=off" for part in sorted(parts)}
    edit_links("story", view.selected(), node, step, edits)


STORY = page_of(RECORD, row=row, more=more)
