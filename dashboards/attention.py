"""The Attention page: where every head looks at one step, on the tokens and on the graph, for one graph."""

from __future__ import annotations

import logging
import shlex
from functools import cache

import plotly.graph_objects as go
import streamlit as st

from analyses.catalogue.attention import ATTENTION
from analyses.framework.settings import Choice
from dashboards import messages
from dashboards.analysis_page import command_line, draw_code
from dashboards.cached import shared
from dashboards.charts import chart
from dashboards.downloads import Download, download_row, figures_html
from dashboards.folded import folded
from dashboards.graph_inputs import GraphInputs
from dashboards.graph_view import SIZES, AnalysisView
from dashboards.links import node_links
from dashboards.looking.component import looking
from dashboards.own_models import written
from dashboards.runs import readable, run_of, with_model
from dashboards.selection import selection
from interp.data.rhs_patterns import RhsPattern, rhs_pattern
from interp.mechanism.attention_figure import all_heads_figure, pattern_figure, targets_figure
from interp.mechanism.attention_graph_figure import attention_graph_figure
from interp.mechanism.attention_roles import AttentionTargets, attention_targets
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

ALL = "all"
_MOST = 64
"""Layers and heads that an address may name."""
STEP = Choice(
    "step",
    "Step",
    {str(step): str(step) for step in (1, 0, *range(2, 2 * SIZES[1]))},
    "The attention of this step, on the state that enters it.",
    computed=False,
)
LAYER = Choice(
    "layer", "Layer", {str(layer): str(layer) for layer in (1, 0, *range(2, _MOST))}, computed=False
)
HEAD = Choice(
    "head",
    "Head",
    {ALL: ALL, **{str(head): str(head) for head in range(_MOST)}},
    "Of all heads small heat maps are drawn, and on the graph the strongest of the layer.",
    computed=False,
)
NODES = Choice(
    "nodes",
    "Edges to",
    {"computing": "nodes that compute", "all": "all nodes"},
    "On the graph; where no node computes, all are drawn.",
    computed=False,
)
INTRO = (
    "Where heads look from the right-hand sides, where a step writes a node's value. Attention says where a head "
    "looks; whether that has an effect is told by the pages Patching and Story."
)
AT_ONCE = 64
"""Nodes up to which the small maps of all heads are drawn before they are asked for."""
INPUTS = GraphInputs("attention", (STEP, LAYER, HEAD, NODES), graphs=1)


def attention_page() -> None:
    """Draw the page."""
    _, problems = INPUTS.session.read()
    st.markdown(INTRO)
    view = INPUTS.sidebar()
    graph: ComputationGraph | None = None
    run: Trajectory | None = None
    try:
        (graph,) = INPUTS.graphs(view)
        run = run_of("attention run", view.model, readable(view.model, graph))
    except ValueError as error:
        problems.append(str(error))
    if run is not None:
        view = _choices(view, run)
    INPUTS.session.show(view)
    for problem in problems:
        messages.error(problem)
    if graph is None:
        return
    if run is None:
        INPUTS.session.hold()
        return
    try:
        _draw(view, graph, run)
    except ValueError as error:
        messages.error(str(error))
    except Exception as error:  # a visitor can do nothing with a traceback; the log has it
        logging.getLogger(__name__).exception("attention of %s", view)
        messages.error(f"{type(error).__name__}: {error}")


def _choices(view: AnalysisView, run: Trajectory) -> AnalysisView:
    """The step, layer and head, among those there are."""
    cfg = shared(view.model).model.cfg
    offered = [
        (STEP, [str(step) for step in range(run.n_steps)], "this run"),
        (LAYER, [str(layer) for layer in range(cfg.n_layers)], "this model"),
        (HEAD, [ALL, *(str(head) for head in range(cfg.n_heads))], "this model"),
        (NODES, list(NODES.options), "this page"),
    ]
    for setting, options, owner in offered:
        # While the run was not there the widgets were not, and Streamlit has forgotten them.
        st.session_state.setdefault(INPUTS.key(setting.name), view.setting(setting.name))
        INPUTS.keep_to(setting, options, ALL if setting is HEAD else options[-1], owner)
    with st.container(horizontal=True, gap="medium"):
        for setting, options, _ in offered:
            if setting is not STEP:
                INPUTS.buttons(setting, options, labelled=True)
            elif len(options) > 1:
                key = INPUTS.key(setting.name)
                st.select_slider(setting.label, options, key=key, help=setting.help, width=240)
    return view.with_settings(
        **{setting.name: st.session_state[INPUTS.key(setting.name)] for setting, *_ in offered}
    )


def _pattern(view: AnalysisView, graph: ComputationGraph, run: Trajectory, step: int) -> RhsPattern | None:
    """The attention of all heads at one step; None until it is there."""

    def work(model: RecurrentTransformer) -> RhsPattern:
        return rhs_pattern(model, run, step)

    return with_model(
        "attention pattern", view.model, "pattern", (graph,), work, "looking at the heads", step
    )


def _targets(view: AnalysisView, graph: ComputationGraph, run: Trajectory) -> AttentionTargets | None:
    """Attention by role at all steps; None until it is there."""

    def work(model: RecurrentTransformer) -> AttentionTargets:
        return attention_targets(model, [graph], run.n_steps, detect=False)

    return with_model(
        "attention roles", view.model, "targets", (graph,), work, "summing up what heads look at", run.n_steps
    )


def _draw(view: AnalysisView, graph: ComputationGraph, run: Trajectory) -> None:
    step, layer = int(view.setting("step")), int(view.setting("layer"))
    head = None if view.setting("head") == ALL else int(view.setting("head"))
    pattern = _pattern(view, graph, run, step)
    if pattern is None:
        return
    messages.text(_sentence(pattern, layer, head))
    st.caption(
        "Point at a right-hand side to see at which tokens each head looks from there; at another token, from where "
        "heads look at it."
    )
    heads = list(range(pattern.n_heads)) if head is None else [head]
    looking(pattern, layer, heads, selection().node, "attention looking")

    @cache
    def tokens() -> go.Figure:
        return all_heads_figure(pattern) if head is None else pattern_figure(pattern, layer, head)

    graph_figure = attention_graph_figure(pattern, layer, head, computing=_computing(view, pattern))
    chart(graph_figure, "attention graph")
    if head is None and len(graph) > AT_ONCE:  # a browser draws these for as long as all else together
        folded("All heads, a small map of each", lambda: chart(tokens(), "attention tokens"))
    else:
        chart(tokens(), "attention tokens")
    node = selection().node
    if node is not None and node < len(graph):
        node_links("attention", view.selected(), graph, node)
    targets = _targets(view, graph, run)
    if targets is None:
        return
    roles = targets_figure(targets, step)
    chart(roles, "attention roles")
    download_row(
        [
            Download(
                "Attention (CSV)",
                "recurlens-attention.csv",
                lambda: pattern.to_frame().to_csv(index=False),
            ),
            Download(
                "Figures (HTML)",
                "recurlens-attention.html",
                lambda: figures_html("attention", [graph_figure, tokens(), roles]),
            ),
        ]
    )
    about = "How sharp each head is at this step, and how it changes, as a command:"
    draw_code(snippet(view), line(view, graph, run.n_steps), about)


def _computing(view: AnalysisView, pattern: RhsPattern) -> bool:
    """Whether only nodes that the step computes have edges."""
    return view.setting("nodes") == "computing" and "computing" in pattern.status


def _sentence(pattern: RhsPattern, layer: int, head: int | None) -> str:
    """How many lookups of operands there are."""
    pairs = [(node, operand) for node, one in enumerate(pattern.graph.nodes) for operand in one.operands]
    heads = list(range(pattern.n_heads)) if head is None else [head]
    strongest = pattern.between_nodes[layer, heads].max(0)
    strong = sum(bool(strongest[pair] >= 0.5) for pair in pairs)
    who = f"some head of layer {layer}" if head is None else f"head {layer}.{head}"
    return (
        f"Step {pattern.step}: {strong} of {len(pairs)} operands get at least half of the attention of {who}, at the "
        "right-hand side where the operand's value stands."
    )


def line(view: AnalysisView, graph: ComputationGraph, n_steps: int) -> str:
    """The command that measures the heads of the same run."""
    options = {"n_steps": n_steps, "step": view.setting("step")}
    return command_line(ATTENTION, view.model, options, f"--inputs {shlex.quote(graph.to_text())}")


def snippet(view: AnalysisView) -> str:
    """Lines of Python that draw what the page shows."""
    step, layer, head = (view.setting(name) for name in ("step", "layer", "head"))
    only = ', computing="computing" in pattern.status' if view.setting("nodes") == "computing" else ""
    first = "all_heads_figure(pattern)" if head == ALL else f"pattern_figure(pattern, {layer}, {head})"
    return "\n".join(
        [
            "from analyses.inputs import GraphSource, load_model",
            "from interp import attention_targets, rhs_pattern",
            "from interp.mechanism.attention_figure import all_heads_figure, pattern_figure, targets_figure",
            "from interp.mechanism.attention_graph_figure import attention_graph_figure",
            "",
            f"model = load_model({written(view.model)!r})",
            *view.graph_code(),
            "run = model.run(graphs[0])",
            f"pattern = rhs_pattern(model, run, {step})",
            f"attention_graph_figure(pattern, {layer}, {None if head == ALL else head}{only}).show()",
            f"{first}.show()",
            f"targets_figure(attention_targets(model, graphs, run.n_steps), {step}).show()",
        ]
    )
