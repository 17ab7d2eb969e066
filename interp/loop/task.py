"""What a loop is run on: inputs, and what is known of their positions.

An analysis needs no task; with one it can say right and wrong where it else says changed. Graphs are the first task,
running parity (:mod:`models.compiled`) the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.oracle_step import oracle_step
from models.graph import ComputationGraph
from models.one_line import one_line
from models.vocabulary import FACTORS, EncodedGraphs, FactoredVocabulary

OPTIONAL: Final = {
    "oracle_step": "oracle_step(codes, inputs) -> codes: factor -> int [batch, pos], what should follow",
    "levels": "levels(inputs) -> int [batch, pos], the step that first shows an answer, -1 where there is none",
    "answers": "answers(inputs) -> bool [batch, pos], the positions that answer",
    "sample": "sample(n, seed) -> inputs of n rows",
    "labels": "labels(inputs) -> a table with row, pos, and what is known there",
    "parse": "parse(texts) -> inputs, a row for every text",
    "corrupt": "corrupt(inputs, seed) -> the same with something changed, of the same shape",
    "symbols": "symbols(factor) -> what its codes stand for, a text for each",
}
"""Members of a task that switch things on, and what each is (:func:`interp.loop.protocol.need`). Commands take a task
that has some of them alone."""


class Task(Protocol):
    """Inputs, and what is known of them; :data:`OPTIONAL` has what a task may offer besides."""

    def sample(self, n: int, seed: int = 0) -> Any:
        """Inputs of ``n`` rows, as the loop takes them."""
        ...

    def tokens(self, inputs: Any) -> list[list[str]]:
        """What stands at every position, a list for every row."""
        ...

    def labels(self, inputs: Any) -> pd.DataFrame:
        """One line per position: ``row``, ``pos``, and whatever is known of it, numbers or text."""
        ...


@one_line
@dataclass(frozen=True)
class GraphTask:
    """Computation graphs, as :meth:`models.ComputationGraph.sample` draws them.

    Examples:
        >>> from interp import GraphTask
        >>> from models import load
        >>> task = GraphTask(load("compiled").vocabulary, n_nodes=5)
        >>> task.labels(task.sample(2)).columns.tolist()
        ['row', 'pos', 'node', 'depth', 'value']
    """

    vocabulary: FactoredVocabulary
    n_nodes: int = 8

    def sample(self, n: int, seed: int = 0) -> list[ComputationGraph]:
        """Graphs of ``n_nodes`` nodes, with the operations of the vocabulary."""
        own = self.vocabulary
        sizes = {"modulus": own.modulus, "n_variables": own.n_variables, "n_leaves": min(6, self.n_nodes)}
        seeds = range(seed, seed + n)
        return [ComputationGraph.sample(self.n_nodes, ops=own.ops, seed=each, **sizes) for each in seeds]

    def parse(self, texts: Sequence[str]) -> list[ComputationGraph]:
        """Graphs of their texts.

        Raises:
            GraphError: text that is no graph.
        """
        own = self.vocabulary
        return [ComputationGraph.parse(text, own.modulus, own.n_variables) for text in texts]

    def corrupt(self, inputs: Any, seed: int = 0) -> list[ComputationGraph]:
        """Every graph with another value of one leaf."""
        from models.compiled.graph_loop import with_other_leaf

        generator = torch.Generator().manual_seed(seed)
        return [with_other_leaf(graph, generator) for graph in self._encoded(inputs).graphs]

    def tokens(self, inputs: Any) -> list[list[str]]:
        """The words of the text."""
        return [graph.to_text(" ; ").split() for graph in self._encoded(inputs).graphs]

    def labels(self, inputs: Any) -> pd.DataFrame:
        """A line per node, at its right-hand side: ``node``, ``depth``, ``value``."""
        encoded = self._encoded(inputs)
        row, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
        columns = {"row": row, "pos": encoded.rhs[row, node], "node": node}
        columns |= {"depth": encoded.depths[row, node], "value": encoded.values[row, node]}
        return pd.DataFrame({name: column.numpy() for name, column in columns.items()})

    def oracle_step(self, codes: Mapping[str, Tensor], inputs: Any) -> dict[str, Tensor]:
        """One step of the synchronous algorithm (:mod:`interp.oracle_step`)."""
        state = torch.stack([codes[factor] for factor in FACTORS], dim=-1)
        following = oracle_step(state, self._encoded(inputs), self.vocabulary)
        return {factor: following[..., index] for index, factor in enumerate(FACTORS)}

    def levels(self, inputs: Any) -> Tensor:
        """The depth of the node at its right-hand side."""
        encoded = self._encoded(inputs)
        levels = torch.full(encoded.factors.shape[:2], -1)
        row, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
        levels[row, encoded.rhs[row, node]] = encoded.depths[row, node]
        return levels

    def answers(self, inputs: Any) -> Tensor:
        """The right-hand sides."""
        return self.levels(inputs) >= 0

    def _encoded(
        self, inputs: ComputationGraph | Sequence[ComputationGraph] | EncodedGraphs
    ) -> EncodedGraphs:
        return inputs if isinstance(inputs, EncodedGraphs) else self.vocabulary.encode(inputs)
