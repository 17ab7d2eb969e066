"""Runs of a model on the graph that a page is about: in the background, shared, with progress and Cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dashboards.cached import shared
from dashboards.computing import computed
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

T = TypeVar("T")


def readable(name: str, graph: ComputationGraph | str) -> ComputationGraph:
    """The graph, if the model can read it.

    Raises the parser's `GraphError` for a text that is none, `VocabularyError` for what the model cannot read, and
    `CheckpointError` for a model that is not there.
    """
    model = shared(name).model
    known = model.vocabulary
    parsed = (
        ComputationGraph.parse(graph, known.modulus, known.n_variables) if isinstance(graph, str) else graph
    )
    model.to_encoded(parsed)
    return parsed


def run_of(place: str, name: str, graph: ComputationGraph) -> Trajectory | None:
    """The run of a model on a graph that is `readable`; None until it is there (`computing.computed`)."""
    return with_model(place, name, "run", (graph,), lambda model: model.run(graph), "running the model")


def with_model(
    place: str,
    name: str,
    what: str,
    graphs: tuple[ComputationGraph, ...],
    work: Callable[[RecurrentTransformer], T],
    about: str,
    *more: object,
) -> T | None:
    """What `work` finds with a model's weights and hook points of its own; None until it is there.

    what, graphs, more: all that the result depends on, beside the model. What a node of such a graph took last tells
    how long the rest may take.
    """
    model = shared(name)

    def use(progress: object) -> T:
        with model.use() as own:
            return work(own)

    key = (what, model.digest, *(graph.to_json() for graph in graphs), *more)
    nodes = sum(map(len, graphs))
    return computed(place, key, use, about, kind=(what, name), size=nodes)
