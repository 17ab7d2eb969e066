"""The choices of the Mechanism page: some parts are about one operation, of those that the model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from analyses.catalogue.mechanism import MECHANISM as RECORD
from analyses.catalogue.mechanism import WITH_OPERATION
from analyses.mechanism import WITH_GRAPHS
from dashboards.analysis_page import command_line, graphs_of, page_of
from dashboards.cached import operations
from dashboards.graph_inputs import GraphInputs
from dashboards.graph_view import AnalysisView
from interp.fourier_analysis.characters import with_characters
from models.graph import ComputationGraph


def row(inputs: GraphInputs, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> AnalysisView:
    """The parts, and for those that have one the operation; only what is chosen is computed."""
    choice, operation = inputs.settings
    part = inputs.buttons(choice)
    known = with_characters(operations(view.model)) or operations(view.model)
    inputs.keep_to(operation, known, known[0], "this model")
    if part in WITH_OPERATION and len(known) > 1:
        inputs.buttons(operation, known, labelled=True)
    return view.with_settings(part=part, operation=st.session_state[inputs.key("operation")])


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    part = view.setting("part")
    chosen = {"operation": view.setting("operation")} if part in WITH_OPERATION else {}
    return {"part": part} | chosen


def line(view: AnalysisView) -> str:
    """The command; graphs are named only where the part is measured on them."""
    graphs = graphs_of(RECORD, view) if view.setting("part") in WITH_GRAPHS else ""
    return command_line(RECORD, view.model, options(view), graphs)


MECHANISM = page_of(RECORD, options=options, line=line, row=row)
