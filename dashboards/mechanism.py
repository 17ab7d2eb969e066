"""The Mechanism page: head roles, factor subspaces, composition, block change, Fourier; each with its control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from analyses.mechanism import PARTS, WITH_GRAPHS, study_mechanism
from dashboards.analysis_page import Analysis, analysis_page
from dashboards.cached import operations
from dashboards.graph_inputs import AnalysisView, GraphInputs, Setting
from dashboards.precomputed import Result
from models.graph import OPERATIONS, ComputationGraph

LABELS = ("Head roles", "OV and QK", "Composition", "Block change", "Fourier", "Frequency ablation")
FIGURES = {
    "heads": ("heads", "heads_untrained"),
    "subspaces": ("ov", "ov_untrained", "qk", "overlap"),
    "composition": ("composition", "composition_untrained"),
    "changes": ("changes", "changes_untrained"),
    "fourier": ("fourier", "cells", "neurons"),
    "ablation": tuple(f"ablation_{layer}" for layer in range(8)),
}
WITH_OPERATION = ("fourier", "ablation")
PART = Setting("part", "Part", dict(zip(PARTS, LABELS, strict=True)))
OPERATION = Setting(
    "operation",
    "Operation",
    {name: name for name in OPERATIONS},
    "Over all pairs of operands of one equation.",
)


def row(inputs: GraphInputs, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> AnalysisView:
    """The parts, and for those that have one the operation; only what is chosen is computed."""
    part = st.segmented_control(
        PART.label,
        list(PART.options),
        key=inputs.key("part"),
        required=True,
        format_func=PART.options.__getitem__,
        label_visibility="collapsed",
    )
    known = operations(view.model)
    if st.session_state[inputs.key("operation")] not in known:
        st.session_state[inputs.key("operation")] = known[0]
    if part in WITH_OPERATION and len(known) > 1:
        st.segmented_control(
            OPERATION.label, known, key=inputs.key("operation"), required=True, help=OPERATION.help
        )
    return view.with_settings(part=str(part), operation=st.session_state[inputs.key("operation")])


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    part = view.setting("part")
    chosen = {"operation": view.setting("operation")} if part in WITH_OPERATION else {}
    return {"part": part} | chosen


def line(view: AnalysisView) -> str:
    """The command; graphs are named only where the part is measured on them."""
    part = view.setting("part")
    graphs = f"{view.graph_options()} " if part in WITH_GRAPHS else ""
    operation = f" --operation {view.setting('operation')}" if part in WITH_OPERATION else ""
    return f"recurlens mechanism {graphs}--model {view.model} --part {part}{operation}"


def shown(view: AnalysisView) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    return {name: f'study.figures()["{name}"]' for name in FIGURES[view.setting("part")]}


def missing(result: Result) -> str:
    """Why there is nothing to show."""
    return (
        "No neuron of the layers that matter is tuned to one frequency, so that there is nothing to ablate."
    )


MECHANISM = Analysis(
    name="mechanism",
    line=line,
    intro="How it is done: what every head responds to and where it looks, which factors its weights move, how heads "
    "feed each other, how much each block adds, and whether numbers are added by waves. Untrained weights, or random "
    "subspaces and neurons, stand beside each as a control. Head roles take up to a minute the first time.",
    study_of=lambda view: study_mechanism,
    settings=(PART, OPERATION),
    options=options,
    at_once=64,
    shown=shown,
    missing=missing,
    graphs=2,
    row=row,
    variants=tuple({"part": part} for part in PARTS),
)


def mechanism_page() -> None:
    """Draw the page."""
    analysis_page(MECHANISM)
