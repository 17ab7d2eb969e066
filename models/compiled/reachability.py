"""Breadth-first search: every step reaches the nodes one edge further, and each keeps who reached it first.

    layer 0   head tail          an edge looks up its tail: has it been reached?
              head grandparent   a decoy: a node looks up its parent and copies that one's parent where nothing
                                 reads it
    layer 1   head arrive        a node looks at the edges that lead to it from a reached tail, and copies the tail's
                                 name; of several the smallest. It has a twin.
              MLP                a node that was not reached, and is now, gets this parent; the source is always
                                 reached

Who finds nothing rests at ``@``, which has nothing to copy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from models.compiled import digraphs
from models.compiled.digraphs import N_NODES, REST, Digraph
from models.compiled.form import Symbols, listed
from models.compiled.loop import CompiledLoop, LoopContext
from models.compiled.wiring import SHARPNESS, Wiring

ROOT: Final = N_NODES
"""The parent of the source."""
UNREACHED: Final = N_NODES + 1
"""The parent of a node that is not reached."""

_FITS: Final = 2 * SHARPNESS * N_NODES
"""What one condition of ``arrive`` is worth: half of it exceeds all preference between tails."""


class ReachabilityLoop(CompiledLoop):
    """Inputs are :class:`Digraph`; ``parent`` is a node, 32 (the source's) or 33 (unreached), ``reached`` 0 or 1.

    Examples:
        >>> from models.compiled import Digraph, make
        >>> loop = make("reachability")
        >>> state, context = loop.begin(Digraph(3, ((0, 1, 1), (1, 2, 1))))
        >>> state = loop.step(state, 0, context)
        >>> loop.codes(state, context)["reached"][0, 1:4].tolist()  # 2 is one edge further
        [1, 1, 0]
    """

    name = "reachability"
    about = "nodes one edge further are reached, and get their parent"
    carried = ("reached", "parent")
    factors = ("parent",)

    def wire(self) -> Wiring:
        """Two blocks of two heads."""
        n = N_NODES
        widths = {"rest": 1, "node": n, "source": 1, "tail": n, "head": n, "reached": 1, "parent": n}
        wiring = Wiring(2, widths | {"live": 1, "found": n, "grandparent": n})
        rest, both = {"rest": SHARPNESS}, ("parent", "reached")
        wiring.head(0, "tail", {"reached": "live"}, {("tail", "node"): 2 * SHARPNESS}, rest, breaks=both)
        wiring.head(
            0,
            "grandparent",
            {"parent": "grandparent"},
            {("parent", "node"): 2 * SHARPNESS},
            rest,
            necessity="decoy",
        )
        smallest = -SHARPNESS * torch.arange(n)
        wiring.head(
            1,
            "arrive",
            {"tail": "found"},
            {("node", "head"): _FITS},
            {"live": _FITS, "rest": 1.5 * _FITS, "tail": smallest},
            breaks=both,
        )
        wiring.twin(1, "arrive")
        # Without the second group, what both twins have found would count twice.
        for sign, bias in ((1.0, 0.0), (-1.0, -1.0)):
            reads = {"found": 1.0, "reached": -2.0, "source": -2.0}
            writes = {"parent": sign, "reached": sign}
            wiring.neurons(1, "newly reached: takes the tail as parent", n, reads, writes, bias)
        wiring.neurons(1, "the source is reached", 1, {"source": 1.0, "reached": -1.0}, {"reached": 1.0})
        return wiring

    def readouts(self) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
        """A parent outweighs being reached, which outweighs nothing."""
        parent = torch.cat([3 * torch.eye(N_NODES), torch.zeros(2, N_NODES)])
        reached = torch.zeros(N_NODES + 2, 1)
        reached[ROOT] = 2.0
        bias = torch.zeros(N_NODES + 2)
        bias[UNREACHED] = 1.0
        return {
            "parent": ({"parent": parent, "reached": reached}, bias),
            "reached": ({"reached": torch.tensor([[0.0], [1.0]])}, torch.tensor([0.5, 0.0])),
        }

    def facts_of(self, inputs: Any) -> dict[str, Tensor]:
        """See :func:`models.compiled.digraphs.facts_of`."""
        return digraphs.facts_of(listed(inputs, Digraph))

    def given(self, facts: Mapping[str, Tensor]) -> Tensor:
        """Names, edges, the source."""
        stream = self.blank(facts)
        self.put_one_hot(stream, "rest", torch.where(facts["kind"] == REST, 0, -1))
        for slot in ("node", "source", "tail", "head"):
            self.put_one_hot(stream, slot, facts[slot])
        return stream

    def start(self, context: LoopContext) -> Symbols:
        """The source alone is reached."""
        return self._symbols(torch.where(context.facts["source"] == 0, ROOT, UNREACHED))

    def embed(self, symbols: Symbols, context: LoopContext) -> Tensor:
        """A flag, and one dimension for every parent."""
        stream = self.blank(context.facts)
        self.put_one_hot(stream, "reached", torch.where(symbols["parent"] == UNREACHED, -1, 0))
        self.put_one_hot(stream, "parent", symbols["parent"])
        return stream

    def oracle_step(self, symbols: Symbols, context: LoopContext, without: Collection[str] = ()) -> Symbols:
        """Edges from reached tails; the smallest tail becomes parent."""
        facts, parent = context.facts, symbols["parent"]
        reached = digraphs.at_nodes(facts, (parent != UNREACHED).long(), fill=0)
        tail, head = facts["tail"], facts["head"]
        live = (tail >= 0) & (reached.gather(1, tail.clamp_min(0)) == 1)
        if "tail" in without:
            live = torch.zeros_like(live)
        smallest = torch.full((len(parent), N_NODES), UNREACHED, device=parent.device)
        smallest = smallest.scatter_reduce(1, head.clamp_min(0), torch.where(live, tail, UNREACHED), "amin")
        if "arrive" in without:
            smallest = torch.full_like(smallest, UNREACHED)
        found = torch.where(facts["node"] >= 0, smallest.gather(1, facts["node"].clamp_min(0)), UNREACHED)
        found = torch.where(facts["source"] == 0, ROOT, found)
        return self._symbols(torch.where(parent == UNREACHED, found, parent))

    def scramble(self, context: LoopContext, generator: torch.Generator) -> Symbols:
        """Any parent at every node."""
        kind = context.facts["kind"]
        anything = torch.randint(0, UNREACHED + 1, kind.shape, generator=generator)
        unreached = torch.rand(kind.shape, generator=generator) < 0.5
        at_node = (context.facts["node"] >= 0) & ~unreached
        return self._symbols(torch.where(at_node, anything, UNREACHED))

    def may_change(self, context: LoopContext) -> Tensor:
        """The nodes."""
        return context.facts["node"] >= 0

    def tokens(self, inputs: Any) -> list[list[str]]:
        """``@``, nodes, and edges such as ``0>1``."""
        return digraphs.tokens(listed(inputs, Digraph), weighted=False)

    def sample(self, n: int, seed: int = 0) -> list[Digraph]:
        """Graphs of 1 to 32 nodes, weights 1."""
        return digraphs.sample(n, seed, heaviest=1)

    def parse(self, texts: Sequence[str]) -> list[Digraph]:
        """As :meth:`Digraph.parse`."""
        return [Digraph.parse(text) for text in texts]

    def changed(self, given: Digraph, generator: torch.Generator) -> Digraph:
        """One edge to another node."""
        return given.with_other_edge(heads=True, generator=generator)

    def n_steps(self, inputs: Any) -> int:
        """As many as the largest graph has nodes."""
        return max(graph.n_nodes for graph in listed(inputs, Digraph))

    def _symbols(self, parent: Tensor) -> Symbols:
        return {"parent": parent, "reached": (parent != UNREACHED).long()}
