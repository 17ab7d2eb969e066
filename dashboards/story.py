"""The Story page: what each step did for one node of one graph, every sentence with the effect that backs it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from analyses.story import StoryStudy, study_story
from dashboards.analysis_page import Analysis, analysis_page
from dashboards.graph_inputs import SIZES, AnalysisView, GraphInputs, Setting
from dashboards.precomputed import Result
from models.graph import ComputationGraph

LAST, COMPUTING = "last", "computing"
NODE = Setting(
    "node",
    "Node",
    {LAST: "the last", **{str(node): str(node) for node in range(SIZES[1])}},
    "Whose story is told.",
)
STEP = Setting(
    "step",
    "Arrows of step",
    {COMPUTING: "that computes it", **{str(step): str(step) for step in range(SIZES[1] + 2)}},
    "What heads fetched at this step is drawn as arrows.",
    computed=False,
)


def row(inputs: GraphInputs, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> AnalysisView:
    """The nodes of the graph, and the steps up to the one after that which computes the chosen node."""
    (graph,), state = graphs, st.session_state
    nodes = {LAST: f"{graph.equation(len(graph) - 1)}  (the last)"}
    nodes |= {str(node): f"{graph.equation(node)}" for node in range(len(graph) - 1)}
    left, right, _ = st.columns([2, 1, 1])
    if state[inputs.key("node")] not in nodes:
        state[inputs.key("node")] = LAST
    left.selectbox(
        NODE.label, list(nodes), key=inputs.key("node"), format_func=nodes.__getitem__, help=NODE.help
    )
    chosen = state[inputs.key("node")]
    depth = graph.depths_by_node[len(graph) - 1 if chosen == LAST else int(chosen)]
    steps = [COMPUTING, *(str(step) for step in range(depth + 2))]
    if state[inputs.key("step")] not in steps:
        state[inputs.key("step")] = COMPUTING
    right.selectbox(
        STEP.label, steps, key=inputs.key("step"), format_func=STEP.options.__getitem__, help=STEP.help
    )
    return view.with_settings(node=chosen, step=state[inputs.key("step")])


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    node = view.setting("node")
    return {} if node == LAST else {"nodes": (int(node),)}


def line(view: AnalysisView) -> str:
    """The command."""
    graph = re.sub(r" --graphs \d+", "", view.graph_options())
    node = view.setting("node")
    return f"recurlens story {graph} --model {view.model}" + ("" if node == LAST else f" --node {node}")


def figures(study: StoryStudy) -> Mapping[str, go.Figure]:
    """The story's, with the arrows of each step."""
    (story,) = study.stories
    return {COMPUTING: study.figure()} | {str(step): story.figure(step) for step in range(len(story.steps))}


def shown(view: AnalysisView) -> dict[str, str]:
    """The figure of a view, and its code."""
    step = view.setting("step")
    return {step: "study.figure()" if step == COMPUTING else f"study.stories[0].figure({step})"}


def more(view: AnalysisView, result: Result) -> None:
    """The story in words, a paragraph a step; the last, the verdict, stands above already."""
    (story,) = result.data["stories"]
    paragraphs = str(story["text"]).split("\n\n")[:-1]
    with st.expander("The story, step by step", expanded=True):
        for paragraph in paragraphs:
            first, *sentences = paragraph.split("\n")
            st.markdown(_plain(first))
            if sentences:
                st.markdown("\n".join(f"- {_plain(one.strip().removeprefix('- '))}" for one in sentences))


def _plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown."""
    return re.sub(r"([\\`*_\[\]<>$~#|])", r"\\\1", text)


STORY = Analysis(
    name="story",
    line=line,
    intro="One node, told step by step: which head fetched which operand's name, which head fetched which value from "
    "where, what the MLPs wrote, and what was snapped. Every sentence is tested by replacing what it names; the table "
    "has the effect of every component.",
    study_of=lambda view: study_story,
    settings=(NODE, STEP),
    options=options,
    at_once=48,
    shown=shown,
    figures=figures,
    missing=lambda result: "The story ends before this step: the node has its final value.",
    graphs=1,
    row=row,
    more=more,
)


def story_page() -> None:
    """Draw the page."""
    analysis_page(STORY)
