"""Runs of many graphs, a few at a time, with what was asked for at every right-hand side and step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from interp.progress import followed
from models.cache import StepCache
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs

TOKENS_AT_ONCE: Final = 800
"""Positions of all graphs that run together, which bounds memory: patterns grow with their square."""


def steps_of(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], n_steps: int | None = None
) -> int:
    """How many steps to run: as asked, as the method fixes, or the deepest graph's depth and two more, so that every
    status occurs.

    Raises:
        ValueError: no graphs, or a chain-of-thought model, which has no states.
    """
    if model.cfg.writes_text:
        raise ValueError(
            "a chain-of-thought model has no recurrence steps; allowed are models that iterate states"
        )
    if not graphs:
        raise ValueError("there are no graphs; at least one is needed")
    if n_steps is not None:
        return n_steps
    return model.cfg.default_steps or max(max(graph.depths_by_node) for graph in graphs) + 2


def rhs_runs(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], names: Sequence[str], n_steps: int
) -> Iterator[tuple[EncodedGraphs, StepCache]]:
    """Some graphs at a time: as the model reads them, and their activations [step, batch, ...] at right-hand sides.

    names: as for ``run_with_cache``.

    Raises:
        ValueError: n_steps < 1. VocabularyError: a graph the model cannot read.
    """
    longest = model.to_encoded(graphs).factors.shape[1]
    at_once = max(1, TOKENS_AT_ONCE // longest)
    for start in followed(range(0, len(graphs), at_once)):
        encoded = model.to_encoded(graphs[start : start + at_once])
        _, cache = model.run_with_cache(encoded, names=names, positions="rhs", n_steps=n_steps)
        yield encoded, cache
