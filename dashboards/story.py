"""The Story page's own: choices that depend on the graph, measured edges, and the story in words below its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from analyses.catalogue.story import COMPUTING, LAST
from analyses.catalogue.story import STORY as RECORD
from dashboards import messages
from dashboards.analysis_page import page_of
from dashboards.cached import shared
from dashboards.charts import chart
from dashboards.computing import Progress, computed
from dashboards.downloads import Download, download_row
from dashboards.folded import folded
from dashboards.graph_inputs import GraphInputs
from dashboards.graph_view import AnalysisView
from dashboards.links import edit_links, node_links
from dashboards.own_models import written
from dashboards.precomputed import Result
from dashboards.runs import readable
from models.graph import ComputationGraph

if TYPE_CHECKING:
    from interp import StepEdges


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
    """The story of the chosen step in words, and of the others on demand; the verdict stands above already."""
    (story,) = result.data["stories"]
    graph = readable(view.model, story["graph"])
    node = [one.name for one in graph.nodes].index(story["node"])
    node_links("story", view.selected(), graph, node)
    step = step_shown(view, story)
    heads_off(view, story, node, step)
    edges_of(view, graph, node, step)
    opening, *steps = str(story["text"]).split("\n\n")[:-1]
    told([opening, *steps[step : step + 1]])
    others = [*steps[:step], *steps[step + 1 :]]
    if others:
        folded(f"The other steps ({len(others)})", lambda: told(others))


def told(paragraphs: Iterable[str]) -> None:
    """Paragraphs of a story, each a sentence and what backs it."""
    for paragraph in paragraphs:
        first, *sentences = paragraph.split("\n")
        messages.text(first)
        if sentences:
            messages.bullets(one.strip().removeprefix("- ") for one in sentences)


def step_shown(view: AnalysisView, story: Mapping[str, Any]) -> int:
    """The step that a view is about."""
    asked = view.setting("step")
    return min(story["depth"], len(story["steps"]) - 1) if asked == COMPUTING else int(asked)


def edges_of(view: AnalysisView, graph: ComputationGraph, node: int, step: int) -> None:
    """A button that has every edge of a step measured, which takes a while; and what was found."""
    key, wanted = "story edges wanted", (view.model, graph.to_text(), node, step)
    asked = st.button(
        "Measure the edges of this step",
        help="Every edge between what is read, heads, MLPs and logits is cut by itself.",
    )
    if asked:
        st.session_state[key] = wanted
    if st.session_state.get(key) != wanted:
        return
    model = shared(view.model)

    def work(progress: Progress) -> StepEdges:
        from interp import step_edges  # with the tools of TransformerLens, which no other page needs at once

        with model.use() as own:
            return step_edges(own, graph, node, step, progress=progress)

    about = f"measuring the edges of step {step}"
    kind = ("edges", view.model)
    found = computed("story edges", (*kind, model.digest, *wanted[1:]), work, about, asked, kind, node + 1)
    if found is None:
        return
    messages.text(found.verdict())
    if not found.effects:
        return
    chart(found.figure(), "story edges")
    edges = Download("Edges (CSV)", "recurlens-edges.csv", lambda: found.to_frame().to_csv(index=False))
    download_row([edges])
    folded(
        "View the code that measured the edges",
        lambda: st.code(edges_snippet(view, node, step), language="python"),
    )


def edges_snippet(view: AnalysisView, node: int, step: int) -> str:
    """Lines of Python that measure the same edges."""
    return "\n".join(
        [
            "from analyses.inputs import GraphSource, load_model",
            "from interp import step_edges",
            "",
            f"model = load_model({written(view.model)!r})",
            *view.graph_code(),
            f"found = step_edges(model, graphs[0], {node}, {step})",
            "print(found.verdict())",
            "found.figure().show()",
        ]
    )


def heads_off(view: AnalysisView, story: Mapping[str, Any], node: int, step: int) -> None:
    """Links that take off the heads whose claims are backed at a step."""
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
