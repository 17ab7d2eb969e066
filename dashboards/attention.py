"""The Attention page: where every head looks at one step, on the tokens and on the graph, for one graph."""

from __future__ import annotations

import logging

import plotly.graph_objects as go
import streamlit as st

from dashboards.analysis_page import CHART
from dashboards.cached import locked, run_graph
from dashboards.downloads import Download, download_row, figures_html
from dashboards.graph_inputs import SIZES, AnalysisView, GraphInputs, Setting
from interp.activations.rhs_patterns import RhsPattern, rhs_pattern
from interp.figures.attention import all_heads_figure, pattern_figure, targets_figure
from interp.figures.attention_graph import attention_graph_figure
from interp.mechanism.attention_roles import AttentionTargets, attention_targets
from models.graph import ComputationGraph

ALL = "all"
_MOST = 64
"""Layers and heads that an address may name."""
STEP = Setting(
    "step",
    "Step",
    {str(step): str(step) for step in (1, 0, *range(2, 2 * SIZES[1]))},
    "The attention of this step, on the state that enters it.",
    computed=False,
)
LAYER = Setting(
    "layer", "Layer", {str(layer): str(layer) for layer in (1, 0, *range(2, _MOST))}, computed=False
)
HEAD = Setting(
    "head",
    "Head",
    {ALL: ALL, **{str(head): str(head) for head in range(_MOST)}},
    "Of all heads small heat maps are drawn, and on the graph the strongest of the layer.",
    computed=False,
)
INTRO = (
    "Where heads look from the right-hand sides, where a step writes a node's value. Attention says where a head "
    "looks; whether that has an effect is told by the pages Patching and Story."
)
INPUTS = GraphInputs("attention", (STEP, LAYER, HEAD), graphs=1)


def attention_page() -> None:
    """Draw the page."""
    _, problems = INPUTS.session.read()
    st.markdown(INTRO)
    view = INPUTS.sidebar()
    graph: ComputationGraph | None = None
    try:
        (graph,) = INPUTS.graphs(view)
        view = _choices(view, graph)
    except ValueError as error:
        problems.append(str(error))
    INPUTS.session.show(view)
    for problem in problems:
        st.error(problem)
    if graph is None:
        return
    try:
        _draw(view, graph)
    except ValueError as error:
        st.error(str(error))
    except Exception as error:  # a visitor can do nothing with a traceback; the log has it
        logging.getLogger(__name__).exception("attention of %s", view)
        st.error(f"{type(error).__name__}: {error}")


def _choices(view: AnalysisView, graph: ComputationGraph) -> AnalysisView:
    """The step, layer and head, among those there are."""
    n_steps = run_graph(view.model, graph).n_steps
    with locked(view.model) as model:
        n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    state, chosen = st.session_state, {}
    offered = [
        (STEP, [str(step) for step in range(n_steps)]),
        (LAYER, [str(layer) for layer in range(n_layers)]),
        (HEAD, [ALL, *(str(head) for head in range(n_heads))]),
    ]
    places = st.columns([1.2, 1, 2.4], gap="medium")
    for place, (setting, options) in zip(places, offered, strict=True):
        key = INPUTS.key(setting.name)
        if state[key] not in options:
            state[key] = ALL if setting is HEAD else options[-1]
        if setting is STEP:
            if len(options) > 1:
                place.select_slider(setting.label, options, key=key, help=setting.help)
        else:
            place.segmented_control(setting.label, options, key=key, required=True, help=setting.help)
        chosen[setting.name] = state[key]
    return view.with_settings(**chosen)


@st.cache_data(
    show_spinner="Looking at the heads ...",
    max_entries=64,
    hash_funcs={ComputationGraph: ComputationGraph.to_json},
)
def pattern_of(name: str, graph: ComputationGraph, step: int) -> RhsPattern:
    """The attention of all heads at one step."""
    run = run_graph(name, graph)
    with locked(name) as model:
        return rhs_pattern(model, run, step)


@st.cache_data(
    show_spinner="Summing up what heads look at ...",
    max_entries=64,
    hash_funcs={ComputationGraph: ComputationGraph.to_json},
)
def targets_of(name: str, graph: ComputationGraph, n_steps: int) -> AttentionTargets:
    """Attention by role at all steps."""
    with locked(name) as model:
        return attention_targets(model, [graph], n_steps)


def _draw(view: AnalysisView, graph: ComputationGraph) -> None:
    step, layer = int(view.setting("step")), int(view.setting("layer"))
    head = None if view.setting("head") == ALL else int(view.setting("head"))
    pattern = pattern_of(view.model, graph, step)
    figures: dict[str, go.Figure] = {
        "tokens": all_heads_figure(pattern) if head is None else pattern_figure(pattern, layer, head),
        "graph": attention_graph_figure(pattern, layer, head),
    }
    st.markdown(_sentence(pattern, layer, head))
    for name, figure in figures.items():
        st.plotly_chart(figure, theme=None, config=CHART, key=f"attention {name}")
    n_steps = run_graph(view.model, graph).n_steps
    figures["roles"] = targets_figure(targets_of(view.model, graph, n_steps), step)
    st.plotly_chart(figures["roles"], theme=None, config=CHART, key="attention roles")
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
                lambda: figures_html("attention", figures.values()),
            ),
        ]
    )
    with st.expander("View the code that drew this"):
        st.code(snippet(view), language="python")


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


def snippet(view: AnalysisView) -> str:
    """Lines of Python that draw what the page shows."""
    step, layer, head = (view.setting(name) for name in ("step", "layer", "head"))
    first = "all_heads_figure(pattern)" if head == ALL else f"pattern_figure(pattern, {layer}, {head})"
    return "\n".join(
        [
            "from analyses.inputs import GraphSource, load_model",
            "from interp import attention_targets, rhs_pattern",
            "from interp.figures.attention import all_heads_figure, pattern_figure, targets_figure",
            "from interp.figures.attention_graph import attention_graph_figure",
            "",
            f"model = load_model({view.model!r})",
            *view.graph_code(),
            "run = model.run(graphs[0])",
            f"pattern = rhs_pattern(model, run, {step})",
            f"{first}.show()",
            f"attention_graph_figure(pattern, {layer}, {None if head == ALL else head}).show()",
            f"targets_figure(attention_targets(model, graphs, run.n_steps), {step}).show()",
        ]
    )
