"""The Compare page's own: where nothing differs, links to what may be compared."""

from __future__ import annotations

from analyses.catalogue.compare import COMPARE as RECORD
from dashboards.analysis_page import page_of
from dashboards.graph_view import AnalysisView
from dashboards.links import try_links
from dashboards.precomputed import Result
from models.graph import ComputationGraph

OTHERS = ("discrete-corrected", "discrete")
"""Models of which the second run is offered: the first that is not that of the first run."""


def more(view: AnalysisView, result: Result) -> None:
    """Links that compare the run with another, where it is compared with itself."""
    data = result.data
    if not data["same_nodes"] or data["first_step"] is not None or data["first"] != data["second"]:
        return
    graph = ComputationGraph.parse(data["first"]["graph"])
    other = next(name for name in OTHERS if name != view.model)
    leaf = next(node for node in graph.nodes if node.value is not None)
    edit = f"{leaf.name}@1={(leaf.value or 0) + 1 if leaf.value != graph.modulus - 1 else 0}"
    shown = {
        f"with {other}": {"other": other},
        f"with another value of {leaf.name} after step 1": {"other_edit": edit},
        "with head 0.0 off": {"other_edit": "0.0@all=off"},
    }
    links = {label: view.with_settings(**chosen).to_params() for label, chosen in shown.items()}
    try_links("compare", "Compare it", links)


COMPARE = page_of(RECORD, more=more)
