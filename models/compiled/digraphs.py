"""Directed graphs with small weights as texts of tokens: what the two graph loops read.

@  0 1 2 ...  0>1 0>2 ...       a place to rest, the nodes, the edges (with their weight in the weighted loop)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from models.compiled.form import LoopInputError, drawn
from models.compiled.loop import integers, padded

N_NODES: Final = 32
"""Nodes of a graph, at most."""
HEAVIEST: Final = 7
"""Weight of an edge, at most; the lightest is 1."""

_WORD: Final = re.compile(r"@(\d{0,3})|(\d{1,3})|(\d{1,3})>(\d{1,3})(?::(\d{1,3}))?")

REST, NODE, EDGE = range(3)
"""What stands at a position."""


@dataclass(frozen=True)
class Digraph:
    """A directed graph, and the node that searches start from.

    Attributes:
        n_nodes: 1 to 32; nodes are 0, 1, ...
        edges: (tail, head, weight), weight 1 to 7.
        source: a node.

    Raises:
        LoopInputError: sizes, nodes or weights that are not allowed.

    Examples:
        >>> from models.compiled import Digraph
        >>> Digraph(3, ((0, 1, 4), (1, 2, 1))).distances()
        [0, 4, 5]
    """

    n_nodes: int
    edges: tuple[tuple[int, int, int], ...]
    source: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n_nodes <= N_NODES:
            raise LoopInputError(f"n_nodes is {self.n_nodes}; allowed are 1..{N_NODES}")
        if not 0 <= self.source < self.n_nodes:
            raise LoopInputError(f"source is {self.source}; allowed are 0..{self.n_nodes - 1}")
        for edge in self.edges:
            if len(edge) != 3 or not (
                0 <= edge[0] < self.n_nodes and 0 <= edge[1] < self.n_nodes and 1 <= edge[2] <= HEAVIEST
            ):
                raise LoopInputError(
                    f"an edge is {edge}; allowed are (tail, head, weight) with nodes 0..{self.n_nodes - 1} and "
                    f"weights 1..{HEAVIEST}"
                )

    @classmethod
    def parse(cls, text: str) -> Digraph:
        """The graph of edges ``tail>head`` or ``tail>head:weight``; ``@2`` begins searches at node 2.

        A number alone is a node without edges.

        Raises:
            LoopInputError: text that is none of these; sizes, nodes or weights that are not allowed.

        Examples:
            >>> from models.compiled import Digraph
            >>> Digraph.parse("@1 0>2:4 1>0")
            Digraph(n_nodes=3, edges=((0, 2, 4), (1, 0, 1)), source=1)
        """
        source, nodes = 0, {0}
        edges: list[tuple[int, int, int]] = []
        for word in text.replace(",", " ").split():
            found = _WORD.fullmatch(word)
            if found is None:
                raise LoopInputError(
                    f"{word!r} is no part of a graph; allowed are edges (0>1, 0>1:4), nodes (5), and @2 for the source"
                )
            start, node, tail, head, weight = (
                None if one is None else int(one or 0) for one in found.groups()
            )
            source = source if start is None else start
            if tail is not None and head is not None:
                edges.append((tail, head, 1 if weight is None else weight))
            nodes |= {one for one in (start, node, tail, head) if one is not None}
        return cls(max(nodes) + 1, tuple(edges), source)

    def with_other_edge(self, heads: bool, generator: torch.Generator) -> Digraph:
        """The same with another head of one edge, or another weight; both are drawn.

        Raises:
            LoopInputError: no edge, or no other node for it to lead to.
        """
        if not self.edges or (heads and self.n_nodes == 1):
            raise LoopInputError(f"{self} has no edge that could be another")
        at = drawn(len(self.edges), generator)
        tail, head, weight = self.edges[at]
        if heads:
            head = (head + 1 + drawn(self.n_nodes - 1, generator)) % self.n_nodes
        else:
            weight = 1 + (weight + drawn(HEAVIEST - 1, generator)) % HEAVIEST
        return replace(self, edges=(*self.edges[:at], (tail, head, weight), *self.edges[at + 1 :]))

    def distances(self) -> list[int | None]:
        """The least sum of weights from the source to every node, None where there is no way: Dijkstra (1959)."""
        found: list[int | None] = [None] * self.n_nodes
        border = {self.source: 0}
        while border:
            node = min(border, key=lambda candidate: border[candidate])
            found[node] = here = border.pop(node)
            for tail, head, weight in self.edges:
                if tail == node and found[head] is None:
                    border[head] = min(border.get(head, here + weight), here + weight)
        return found


def facts_of(graphs: Sequence[Digraph]) -> dict[str, Tensor]:
    """``kind``, ``node``, ``tail``, ``head``, ``weight``, and ``source`` (0 there), [batch, pos] each, else -1."""

    def by_position(
        of_node: Callable[[Digraph, int], int], of_edge: Callable[[tuple[int, int, int]], int], rest: int = -1
    ) -> Tensor:
        return padded(
            [
                [rest, *(of_node(graph, node) for node in range(graph.n_nodes)), *map(of_edge, graph.edges)]
                for graph in graphs
            ]
        )

    return {
        "kind": by_position(lambda graph, node: NODE, lambda edge: EDGE, REST),
        "node": by_position(lambda graph, node: node, lambda edge: -1),
        "source": by_position(lambda graph, node: 0 if node == graph.source else -1, lambda edge: -1),
        "tail": by_position(lambda graph, node: -1, lambda edge: edge[0]),
        "head": by_position(lambda graph, node: -1, lambda edge: edge[1]),
        "weight": by_position(lambda graph, node: -1, lambda edge: edge[2]),
    }


def tokens(graphs: Sequence[Digraph], weighted: bool) -> list[list[str]]:
    """The text at every position."""
    return [
        [
            "@",
            *map(str, range(graph.n_nodes)),
            *(f"{tail}>{head}" + (f":{weight}" if weighted else "") for tail, head, weight in graph.edges),
        ]
        for graph in graphs
    ]


def sample(n: int, seed: int, heaviest: int) -> list[Digraph]:
    """Graphs of 1 to 32 nodes with 1 to 3 edges per node: half the time a tree from the source and more edges."""
    generator = torch.Generator().manual_seed(seed)

    def below(bound: int) -> int:
        return int(torch.randint(0, bound, (), generator=generator))

    graphs: list[Digraph] = []
    for _ in range(n):
        n_nodes = 1 + below(N_NODES)
        order = integers(torch.randperm(n_nodes, generator=generator))
        pairs = [(below(n_nodes), below(n_nodes)) for _ in range(n_nodes * (1 + below(2)))]
        if below(2):
            nearest = 1 + below(4)  # a small number makes long ways
            pairs += [
                (order[max(0, place - 1 - below(nearest))], order[place]) for place in range(1, n_nodes)
            ]
        edges = tuple((tail, head, 1 + below(heaviest)) for tail, head in dict.fromkeys(pairs))
        graphs.append(Digraph(n_nodes, edges, order[0]))
    return graphs


def at_nodes(facts: Mapping[str, Tensor], values: Tensor, fill: int) -> Tensor:
    """``values`` [batch, pos] by name of node instead of by position, [batch, node]; ``fill`` where there is none."""
    by_name = torch.full((len(values), N_NODES + 1), fill, dtype=values.dtype, device=values.device)
    return by_name.scatter(1, facts["node"] % (N_NODES + 1), values)[:, :N_NODES]
