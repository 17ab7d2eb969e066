"""The nodes and edges of one step, all positions together: what every circuit of a looped model is made of.

Nodes are (step, component). Writers add to the residual stream: the embedding of the state that enters, every head,
every MLP. Readers take from it: a head's q, k or v input, an MLP's input, the logits. An edge is a writer and a reader
behind it. The weights are the same in every step, so are the edges: a circuit is **tied** if an edge is in it in all
steps or in none, and **per step** otherwise.

Between steps there is one edge, logits -> embedding, through the discrete state. It holds all that one step knows of
another, and is never cut: without it there is no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp.causal.edges import Edge, Reader, Writer
from models.config import RecurrentConfig
from models.one_line import one_line

Component = tuple[Writer, int | None, int | None]
"""Writer, layer, head."""
Input = tuple[Reader, int | None, int | None]
"""Reader, layer, head."""
_OF_HEADS: tuple[Reader, ...] = ("q", "k", "v")


@one_line
@dataclass(frozen=True)
class StepGraph:
    """The edges of a step of a model with ``n_layers`` layers of ``n_heads`` heads.

    Examples:
        >>> from interp import StepGraph
        >>> graph = StepGraph(n_layers=2, n_heads=8)
        >>> len(graph.edges), str(graph.edges[0])
        (310, 'embed -> q 0.0 · all positions')
    """

    n_layers: int
    n_heads: int

    @classmethod
    def of(cls, cfg: RecurrentConfig) -> StepGraph:
        """That of a model's configuration."""
        return cls(cfg.n_layers, cfg.n_heads)

    @cached_property
    def writers(self) -> tuple[Component, ...]:
        """In the order of a step: the embedding, then layer by layer heads and MLP."""
        found: list[Component] = [("embed", None, None)]
        for layer in range(self.n_layers):
            found.extend(("head", layer, head) for head in range(self.n_heads))
            found.append(("mlp", layer, None))
        return tuple(found)

    @cached_property
    def readers(self) -> tuple[Input, ...]:
        """In the order of a step: layer by layer q, k and v of every head and the MLP, then the logits."""
        found: list[Input] = []
        for layer in range(self.n_layers):
            found.extend((kind, layer, head) for kind in _OF_HEADS for head in range(self.n_heads))
            found.append(("mlp", layer, None))
        return (*found, ("logits", None, None))

    def writers_before(self, reader: Input) -> int:
        """How many of :attr:`writers` a reader sees: the first so many."""
        kind, layer, _ = reader
        if layer is None:
            return len(self.writers)
        return 1 + layer * (self.n_heads + 1) + (self.n_heads if kind == "mlp" else 0)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge, reader by reader, at all positions together."""
        return tuple(
            Edge(*writer, *reader)
            for reader in self.readers
            for writer in self.writers[: self.writers_before(reader)]
        )

    @cached_property
    def index(self) -> dict[Edge, int]:
        """Edge -> its place in :attr:`edges`."""
        return {edge: place for place, edge in enumerate(self.edges)}

    @cached_property
    def spans(self) -> dict[Input, slice]:
        """Reader -> its edges, which are the writers before it, in order."""
        found: dict[Input, slice] = {}
        start = 0
        for reader in self.readers:
            found[reader] = slice(start, start := start + self.writers_before(reader))
        return found

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """Int [edge]; the layer before which all of the step is the same without the edge; ``n_layers``: logits."""
        return np.array(
            [self.n_layers if edge.reader_layer is None else edge.reader_layer for edge in self.edges]
        )

    @cached_property
    def writer_of(self) -> NDArray[np.int64]:
        """Int [edge]; the place of the edge's writer in :attr:`writers`."""
        place = {writer: index for index, writer in enumerate(self.writers)}
        return np.array([place[edge.writer, edge.writer_layer, edge.writer_head] for edge in self.edges])

    def heads_of(self, kept: Sequence[bool] | NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Heads, as (layer, head), that read over a kept edge and write over one."""
        chosen = [edge for edge, keep in zip(self.edges, kept, strict=True) if keep]
        write: Any = {(edge.writer_layer, edge.writer_head) for edge in chosen if edge.writer == "head"}
        read: Any = {(edge.reader_layer, edge.reader_head) for edge in chosen if edge.reader_head is not None}
        return sorted(write & read)
