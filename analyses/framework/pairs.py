"""Where the pairs of a command come from: the settings `analyses.framework.settings.PAIRS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from analyses.inputs import GraphSource, InputError, load_model
from analyses.options import GRAPH_SOURCES, fitting_model, graph_source, only_one

if TYPE_CHECKING:
    from interp.causal.cross_step import CrossStep
    from interp.causal.patching import PatchSweep
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

TextPair: TypeAlias = "tuple[ComputationGraph, ComputationGraph]"
"""Clean, corrupt."""
SOURCES = {**GRAPH_SOURCES, "clean": "--clean with --corrupt"}


def pair_source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[TextPair]]:
    """The model, and the pairs made of the graphs that the options ask for."""
    model = fitting_model(context)
    made = (settings["pair_kind"], settings["node"], settings["n_pairs"])
    return model, read_pairs(load_model(model), graph_source(context), *made)


def any_pair_source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[TextPair]]:
    """A pair of two texts, or pairs that are made of graphs."""
    if only_one(context, SOURCES) == "clean":
        model, pairs = _given_pair(context.params["model"], settings["clean"], settings["corrupt"])
    else:
        model, pairs = pair_source(context, settings)
    if settings["read"] is not None and len(pairs) > 1:
        raise InputError(f"--read names nodes of one graph, and there are {len(pairs)} pairs: leave it out.")
    return model, pairs


def _given_pair(model: str, clean: str | None, corrupt: str | None) -> tuple[str, list[TextPair]]:
    if clean is None or corrupt is None:
        raise InputError("--clean and --corrupt are the two texts of a pair: give both.")
    texts = [GraphSource(text=clean), GraphSource(text=corrupt)]
    for text in texts:
        model = text.fitting(model)
    one, other = (text.graphs(load_model(model))[0] for text in texts)
    if len(one) != len(other):
        raise InputError(
            f"The clean text has {len(one)} nodes and the corrupt one {len(other)}: they are compared node by node."
        )
    return model, [(one, other)]


def read_pairs(
    model: RecurrentTransformer, source: GraphSource, kind: str, node: str | None, n_pairs: int
) -> list[TextPair]:
    """Pairs made of the graphs of `source`; of sampled ones pair i has the graph and the edit of seed + i.

    Raises InputError where a graph admits no edit of the kind.
    """
    from interp.causal.pairs import PairError, make_pair

    if n_pairs > 1 and source.n_nodes is None:
        raise InputError(f"--n-pairs {n_pairs} draws graphs, so it needs --n-nodes.")
    graphs = source.many(model, n_pairs)
    ops = source.ops if kind == "operation" and source.n_nodes is not None else None
    pairs: list[TextPair] = []
    for index, graph in enumerate(graphs):
        try:
            pair = make_pair(graph, kind, source.seed + index, node=node, ops=ops)
        except PairError as error:
            raise InputError(f"Graph {index}: {error}" if len(graphs) > 1 else str(error)) from error
        pairs.append((pair.clean, pair.corrupt))
    return pairs


def told(result: CrossStep | PatchSweep) -> dict[str, Any]:
    """What the result of a pair is about, as JSON values: the texts, the nodes read, the metric of the two runs."""
    return {
        "clean_text": result.clean_graph.to_text(),
        "corrupt_text": result.corrupt_graph.to_text(),
        "nodes": [result.clean_graph.nodes[node].name for node in result.nodes],
        "clean": result.clean,
        "corrupt": result.corrupt,
    }


def text_of_pair(pair: TextPair) -> str:
    """All that a pair is, as one line."""
    return " ".join(graph.to_json() for graph in pair)
