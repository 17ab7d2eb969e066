"""An attribution graph as JSON that circuit-tracer's and Neuronpedia's viewers read.

Their schema knows tokens, transcoder features and logits of one forward pass. What fits is written as theirs: codes of
the text are ``embedding`` nodes, the target is the ``logit``, everything between a ``cross layer transcoder`` node, and
``layer`` counts on from step to step (``step * (n_layers + 1) + 1 + layer``; a code of a later state is the one
before). What does not fit stands beside it under names of its own: ``step``, ``equation``, ``factor``, ``kind``. There
are no error nodes: between steps there is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.vocabulary import FACTORS

if TYPE_CHECKING:
    from interp.circuits.attribution_graph import AttributionGraph, GraphNode


def tracer_json(graph: AttributionGraph) -> dict[str, Any]:
    """``metadata``, ``qParams``, ``nodes`` and ``links``."""
    text = graph.run.graph.to_text(" ; ").split()
    name = graph.run.model.cfg.method
    names = {node: _id(graph, node) for node in graph.nodes}
    path = set(graph.top_path)
    return {
        "metadata": {
            "slug": f"{name}-{graph.run.graph.nodes[graph.target.equation].name}",
            "scan": name,
            "prompt": graph.run.graph.to_text(),
            "prompt_tokens": text,
            "node_threshold": graph.node_share,
            "edge_threshold": graph.edge_share,
            "schema_version": 1,
            "completeness_between": graph.between,
            "additive": graph.additive,
            "additive_syntax": graph.additive_syntax,
            "completeness_inside": graph.inside if graph.inside == graph.inside else None,
        },
        "qParams": {
            "pinnedIds": [names[node] for node in graph.top_path],
            "supernodes": [],
            "linkType": "both",
            "clickedId": names[graph.target],
            "sg_pos": "",
        },
        "nodes": [_node(graph, node, names[node], node in path) for node in graph.nodes],
        "links": [
            {"source": names[source], "target": names[end], "weight": weight}
            for (source, end), weight in graph.links.items()
        ],
    }


def _layer(graph: AttributionGraph, node: GraphNode) -> int:
    own = node.layer + 1 if node.kind != "code" else 0
    return node.step * (graph.run.model.cfg.n_layers + 1) + own


def _id(graph: AttributionGraph, node: GraphNode) -> str:
    where = int(graph.run.encoded.rhs[0, node.equation])
    return f"{_layer(graph, node)}_{_feature(node)}_{where}"


def _feature(node: GraphNode) -> int:
    return FACTORS.index(node.factor) if node.kind == "code" else len(FACTORS) + 1 + node.head


def _node(graph: AttributionGraph, node: GraphNode, name: str, on_path: bool) -> dict[str, Any]:
    where, target = int(graph.run.encoded.rhs[0, node.equation]), node == graph.target
    text = node.kind == "code" and node.step == 0
    said = graph.symbol(node)
    return {
        "node_id": name,
        "feature": _feature(node),
        "layer": "E" if text else str(_layer(graph, node)),
        "ctx_idx": where,
        "feature_type": "logit" if target else "embedding" if text else "cross layer transcoder",
        "token_prob": 1.0 if target else 0.0,
        "is_target_logit": target,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": f"{name}-0",
        "clerp": f"{graph.run.graph.nodes[node.equation].name}: {node.name}" + (f" = {said}" if said else ""),
        "influence": graph.influence[node],
        "activation": None,
        "kind": node.kind,
        "step": node.step,
        "equation": node.equation,
        "factor": node.factor or None,
        "on_top_path": on_path,
    }
