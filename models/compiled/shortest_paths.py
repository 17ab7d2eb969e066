"""Bellman-Ford: every step relaxes all edges at once, and each node keeps over which neighbour its best way leads.

Inside, a distance is the nearness ``255 - distance``: what has no way yet is 0, and a relaxation takes the largest.

    layer 0   head tail    an edge looks up how near its tail is; it has a twin, with a slot of its own
              MLP          edges offer the tail's nearness less their weight, nodes what they have; the source offers
                           all there is
    layer 1   head relax   a node looks at its own offer and at those of the edges that lead to it, and takes the
                           best: its nearness, and over whom. Equally good: its own, then the smallest tail.
              head worst   a decoy: looks at the worst of these offers and copies it where nothing reads it
              MLP          replaces nearness and neighbour by what was taken
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from models.compiled import digraphs
from models.compiled.digraphs import HEAVIEST, N_NODES, NODE, REST, Digraph
from models.compiled.form import Symbols, listed
from models.compiled.loop import CompiledLoop, LoopContext, nearest_integer
from models.compiled.wiring import SHARPNESS, Wiring

INFINITE: Final = 255
"""The distance of a node that no way leads to; ways have at most 31 * 7 = 217."""
NOBODY: Final = N_NODES
"""The neighbour of a node that was not reached over another."""

_UNIT: Final = SHARPNESS * (N_NODES + 2)
"""What a unit of nearness is worth: it exceeds all preference between tails."""
_FITS: Final = float(2**21)
"""What leading to the node is worth: it exceeds all nearness. Scores are integers below 2^24, exact in float32."""
_GATE: Final = 2.0 * INFINITE


class ShortestPathsLoop(CompiledLoop):
    """Inputs are :class:`Digraph`; ``distance`` is 0..254 or 255 (infinite), ``over`` a node or 32 (nobody).

    Examples:
        >>> from models.compiled import Digraph, make
        >>> loop = make("shortest-paths")
        >>> state, context = loop.begin(Digraph(3, ((0, 1, 1), (1, 2, 1), (0, 2, 5))))
        >>> for step in range(2):
        ...     state = loop.step(state, step, context)
        ...     print(loop.codes(state, context)["distance"][0, 1:4].tolist())
        [0, 1, 5]
        [0, 1, 2]
    """

    name = "shortest-paths"
    about = "all edges are relaxed once: ways of one edge more"
    carried = ("near", "over")
    factors = ("distance", "over")

    def wire(self) -> Wiring:
        """Two blocks of two heads."""
        n = N_NODES
        widths = {"rest": 1, "node": n, "is_node": 1, "source": 1, "tail": n, "serves": n, "weight": 1}
        widths |= {"near": 1, "over": n}
        widths |= {"tail:near": 1, "tail:near:twin": 1, "offer:near": 1, "offer:over": n}
        wiring = Wiring(2, widths | {"best:near": 1, "best:over": n, "worst": 1})
        both = ("distance", "over")
        matches, rest = {("tail", "node"): 2 * SHARPNESS}, {"rest": SHARPNESS}
        wiring.head(0, "tail", {"near": "tail:near"}, matches, rest, breaks=both)
        wiring.twin(0, "tail", {"near": "tail:near:twin"})
        # t - w, if one of the twins says t and the other t or nothing.
        less = "an edge offers its tail's nearness less its weight"
        offer = {"offer:near": 1.0}
        wiring.neurons(0, less, 1, {"tail:near": 1.0, "weight": -1.0}, offer)
        wiring.neurons(0, less, 1, {"tail:near:twin": 1.0, "tail:near": -1.0, "weight": -1.0}, offer)
        wiring.neurons(0, "a node offers what it has", 1, {"near": 1.0}, offer)
        wiring.neurons(0, "a node offers what it has", n, {"over": 1.0}, {"offer:over": 1.0})
        wiring.neurons(0, "the source offers all", 1, {"source": float(INFINITE), "near": -1.0}, offer)

        own_first = -SHARPNESS * (1.0 + torch.arange(n))
        fits = {("node", "serves"): _FITS}
        wiring.head(
            1,
            "relax",
            {"offer:near": "best:near", "offer:over": "best:over"},
            fits,
            {"offer:near": _UNIT, "tail": own_first},
            breaks=both,
        )
        wiring.head(1, "worst", {"offer:near": "worst"}, fits, {"offer:near": -_UNIT}, necessity="decoy")
        takes = "a node takes the best offer"
        wiring.neurons(1, takes, 1, {"best:near": 1.0, "is_node": _GATE}, {"near": 1.0}, bias=-_GATE)
        wiring.neurons(1, takes, n, {"best:over": 1.0, "is_node": 1.0}, {"over": 1.0}, bias=-1.0)
        wiring.neurons(1, "erases what it had", 1, {"near": 1.0}, {"near": -1.0})
        wiring.neurons(1, "erases what it had", n, {"over": 1.0}, {"over": -1.0})
        return wiring

    def readouts(self) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
        """The nearest integer, and a neighbour or nobody."""
        weights, bias = nearest_integer(INFINITE - torch.arange(INFINITE + 1.0))
        over = torch.cat([torch.eye(N_NODES), torch.zeros(1, N_NODES)])
        nobody = torch.zeros(N_NODES + 1)
        nobody[NOBODY] = 0.5
        return {"distance": ({"near": weights}, bias), "over": ({"over": over}, nobody)}

    def facts_of(self, inputs: Any) -> dict[str, Tensor]:
        """See :func:`models.compiled.digraphs.facts_of`."""
        return digraphs.facts_of(listed(inputs, Digraph))

    def given(self, facts: Mapping[str, Tensor]) -> Tensor:
        """Names, edges with their weight, the source; an edge's offer leads over its tail."""
        stream = self.blank(facts)
        for slot, kind in (("rest", REST), ("is_node", NODE)):
            self.put_one_hot(stream, slot, torch.where(facts["kind"] == kind, 0, -1))
        for slot, fact in (("node", "node"), ("source", "source"), ("tail", "tail"), ("offer:over", "tail")):
            self.put_one_hot(stream, slot, facts[fact])
        self.put_one_hot(stream, "serves", torch.maximum(facts["node"], facts["head"]))
        stream[..., self.slots["weight"]] = facts["weight"].clamp_min(0)[..., None].to(stream)
        return stream

    def start(self, context: LoopContext) -> Symbols:
        """The source is at distance 0, and all else infinitely far."""
        source = context.facts["source"]
        return {
            "distance": torch.where(source == 0, 0, INFINITE),
            "over": torch.full_like(source, NOBODY),
        }

    def embed(self, symbols: Symbols, context: LoopContext) -> Tensor:
        """One scalar, and one dimension for every neighbour."""
        stream = self.blank(context.facts)
        stream[..., self.slots["near"]] = (INFINITE - symbols["distance"])[..., None].to(stream)
        self.put_one_hot(stream, "over", symbols["over"])
        return stream

    def oracle_step(self, symbols: Symbols, context: LoopContext, without: Collection[str] = ()) -> Symbols:
        """``min(own, tail + weight)``; what is equally good leaves the neighbour as it is."""
        facts = context.facts
        node, tail, head = facts["node"], facts["tail"], facts["head"]
        distance = torch.where(facts["source"] == 0, 0, symbols["distance"])
        if "relax" in without:
            return {"distance": torch.full_like(node, INFINITE), "over": torch.full_like(node, NOBODY)}
        by_name = digraphs.at_nodes(facts, symbols["distance"], fill=INFINITE)
        offer = (by_name.gather(1, tail.clamp_min(0)) + facts["weight"]).clamp_max(INFINITE)
        offer = torch.where((tail < 0) | ("tail" in without), INFINITE, offer)
        order = offer * (N_NODES + 1) + tail  # the smallest tail among the nearest
        best = torch.full((len(node), N_NODES), INFINITE * (N_NODES + 1), device=node.device)
        best = best.scatter_reduce(1, head.clamp_min(0), torch.where(tail < 0, best.max(), order), "amin")
        best = best.gather(1, node.clamp_min(0))
        nearer = (node >= 0) & (best // (N_NODES + 1) < distance)
        return {
            "distance": torch.where(nearer, best // (N_NODES + 1), distance),
            "over": torch.where(nearer, best % (N_NODES + 1), symbols["over"]),
        }

    def scramble(self, context: LoopContext, generator: torch.Generator) -> Symbols:
        """Any distance and neighbour at every node; half of the distances small, so that they compete."""
        node = context.facts["node"]
        bound = torch.where(torch.rand(node.shape, generator=generator) < 0.5, 20, INFINITE + 1)
        distance = (torch.rand(node.shape, generator=generator) * bound).long()
        over = torch.randint(0, NOBODY + 1, node.shape, generator=generator)
        return {
            "distance": torch.where(node >= 0, distance, INFINITE),
            "over": torch.where(node >= 0, over, NOBODY),
        }

    def may_change(self, context: LoopContext) -> Tensor:
        """The nodes."""
        return context.facts["node"] >= 0

    def tokens(self, inputs: Any) -> list[list[str]]:
        """``@``, nodes, and edges such as ``0>1:5``."""
        return digraphs.tokens(listed(inputs, Digraph), weighted=True)

    def sample(self, n: int, seed: int = 0) -> list[Digraph]:
        """Graphs of 1 to 32 nodes, weights 1 to 7."""
        return digraphs.sample(n, seed, heaviest=HEAVIEST)

    def parse(self, texts: Sequence[str]) -> list[Digraph]:
        """As :meth:`Digraph.parse`."""
        return [Digraph.parse(text) for text in texts]

    def changed(self, given: Digraph, generator: torch.Generator) -> Digraph:
        """One edge of another weight."""
        return given.with_other_edge(heads=False, generator=generator)

    def n_steps(self, inputs: Any) -> int:
        """As many as the largest graph has nodes."""
        return max(graph.n_nodes for graph in listed(inputs, Digraph))
