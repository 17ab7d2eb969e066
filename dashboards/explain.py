"""What stands below the figures of the Explain page: the same node on other pages."""

from __future__ import annotations

from analyses.catalogue.attribution_graph import ATTRIBUTION_GRAPH as RECORD
from dashboards.analysis_page import page_of
from dashboards.cached import shared
from dashboards.graph_view import AnalysisView
from dashboards.links import node_links
from dashboards.precomputed import Result


def more(view: AnalysisView, result: Result) -> None:
    """Links to the node that is explained."""
    (graph,) = view.drawn_graphs(shared(view.model).model)
    names = [node.name for node in graph.nodes]
    node_links("explain", view.selected(), graph, names.index(result.data["target"]["node"]))


EXPLAIN = page_of(RECORD, more=more)
