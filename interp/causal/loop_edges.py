"""Edges of any loop, within a step and from step to step: what one site gives another, and nothing in between.

Nodes are the sites that are named, in each step and call, and heads of their own where a site is ``z``; the output is
one more. Of the edge (u, v), v is recomputed with the clean activation of u in place of the corrupt one while all other
nodes stay as they are in the corrupt run: what u gives v straight, along the residual stream or from step to step in
the state. Then all behind v follows (path patching, Goldowsky-Dill et al. 2023, arXiv 2304.05969):

    exact    metric(corrupt run with v so) - metric(corrupt run)
    EAP      (u clean - u corrupt) . (d v / d u, all else held) ^ T . d metric / d v

the second with the loop's true gradients, to first order, for all edges at once (Syed et al. 2023, arXiv 2310.10348;
EAP-IG, Hanna et al. 2024, arXiv 2403.17806, takes gradients on the way from corrupt to clean: here what *all* nodes
give is moved together, in ``ig_steps`` equal parts). Through rounding, snapping and saturated attention there are no
gradients, and exact patching alone finds the edge. By construction the scores of what goes into a node add up to its
own attribution, up to what comes from the context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.causal.loop_metrics import Metric, metric_between, need_gradient
from interp.loop.edits import StepEdit
from interp.loop.protocol import Loop, LoopedError, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from models.one_line import one_line

OUTPUT: Final = "output"
_HEADS: Final = 2
"""The head axis of ``z``, [batch, pos, head, d_head]."""


class LoopNode(NamedTuple):
    """A site in one call of one step; ``head`` is -1 where it is not split. The output's site is ``"output"``."""

    site: str
    step: int
    call: int
    head: int


@one_line
@dataclass(frozen=True, eq=False)
class LoopEdges:
    """Scores of edges.

    Attributes:
        method: ``"exact"``, ``"EAP"`` or ``"EAP-IG (n)"``.
        edges: writer and reader.
        scores: float [edge, batch], in units of the metric.
        clean, corrupt: float [batch], the metric of the two runs.
    """

    method: str
    edges: tuple[tuple[LoopNode, LoopNode], ...]
    scores: Tensor
    clean: Tensor
    corrupt: Tensor

    def score(self, writer: LoopNode, reader: LoopNode) -> float:
        """The mean over the batch of one edge.

        Raises:
            LoopedError: there is no such edge.
        """
        if (writer, reader) not in self.edges:
            raise LoopedError(f"there is no edge from {writer} to {reader}; `edges` has those that are")
        return float(self.scores[self.edges.index((writer, reader))].mean())

    def to_frame(self) -> pd.DataFrame:
        """Line per edge: ``writer``, ``writer_step``, ``_call``, ``_head``, the same of ``reader``, mean ``score``."""
        columns: dict[str, Any] = {}
        for index, end in enumerate(("writer", "reader")):
            nodes = [edge[index] for edge in self.edges]
            columns[end] = [node.site for node in nodes]
            columns |= {
                f"{end}_{name}": [getattr(node, name) for node in nodes] for name in ("step", "call", "head")
            }
        return pd.DataFrame(columns | {"score": self.scores.mean(1).numpy()})


def loop_edge_attribution(
    loop: Loop,
    clean: Any,
    corrupt: Any,
    sites: Collection[str],
    metric: Metric | str,
    n_steps: int | None = None,
    ig_steps: int = 1,
) -> LoopEdges:
    """EAP of every edge between sites, of all steps; ``ig_steps`` above 1: EAP-IG.

    Args:
        clean, corrupt: inputs of one shape.
        sites: in the order in which a step calls them.

    Raises:
        LoopedError: as :func:`interp.run_loop`; sites that hold integers. ValueError: ``ig_steps`` below 1.

    Examples:
        >>> from interp import logit_difference, loop_edge_attribution
        >>> from models.compiled import make
        >>> metric = logit_difference("parity", pos=4, clean=0, corrupt=1)
        >>> found = loop_edge_attribution(make("parity"), ["11"], ["01"], ["0.z", "0.mlp_out"], metric, ig_steps=2)
        >>> frame = found.to_frame()
        >>> across = frame[(frame.writer == "0.mlp_out") & (frame.reader == "0.z") & (frame.score.abs() > 1)]
        >>> across[["writer_step", "reader_step", "reader_head"]].values.tolist()  # the parity before, by both twins
        [[0, 1, 1], [0, 1, 2]]
    """
    if ig_steps < 1:
        raise ValueError(f"ig_steps is {ig_steps}; allowed is 1 or more")
    need_gradient(metric)
    runs = _Runs(loop, clean, corrupt, sites, metric, n_steps)
    total: dict[tuple[LoopNode, LoopNode], Tensor] = {}
    for part in range(ig_steps):
        for edge, score in runs.gradients(part / ig_steps).items():
            total[edge] = total.get(edge, torch.zeros(())) + score / ig_steps
    method = "EAP" if ig_steps == 1 else f"EAP-IG ({ig_steps})"
    return LoopEdges(method, tuple(total), torch.stack(list(total.values())), *runs.ends)


@torch.no_grad()
def exact_loop_edges(
    loop: Loop,
    clean: Any,
    corrupt: Any,
    sites: Collection[str],
    metric: Metric | str,
    n_steps: int | None = None,
) -> LoopEdges:
    """Every edge patched by itself; the arguments are those of :func:`loop_edge_attribution`. A run an edge.

    Examples:
        >>> from interp import exact_loop_edges, logit_difference
        >>> from models.compiled import make
        >>> metric = logit_difference("parity", pos=4, clean=0, corrupt=1)
        >>> found = exact_loop_edges(make("parity"), ["11"], ["01"], ["0.z", "0.mlp_out"], metric)
        >>> frame = found.to_frame()
        >>> into_output = frame[(frame.reader == "output") & (frame.score != 0)]
        >>> into_output[["writer", "writer_step", "score"]].values.tolist()
        [['0.mlp_out', 1, 60.0]]
    """
    runs = _Runs(loop, clean, corrupt, sites, metric, n_steps)
    edges: list[tuple[LoopNode, LoopNode]] = []
    scores: list[Tensor] = []
    for number, writer in enumerate(runs.nodes):
        arrived, output = runs.arrivals({writer: runs.of(runs.whole, writer)})
        for reader in runs.nodes[number + 1 :]:
            if runs.place(reader) == runs.place(writer):
                continue
            change = _only(arrived[reader] - runs.of(runs.base, reader), reader.head)
            edges.append((writer, reader))
            scores.append(runs.effect(reader, change) if bool(change.any()) else torch.zeros_like(output))
        edges.append((writer, runs.output))
        scores.append(output - runs.ends[1])
    return LoopEdges("exact", tuple(edges), torch.stack(scores), *runs.ends)


class _Runs:
    """The two runs, and runs in which every node gives what it is told to."""

    def __init__(
        self,
        loop: Loop,
        clean: Any,
        corrupt: Any,
        sites: Collection[str],
        metric: Metric | str,
        n_steps: int | None,
    ) -> None:
        self.loop, self.sites = loop, list(dict.fromkeys(sites))
        self.count = steps_of(loop, clean, n_steps, "edges")
        self.whole, self.base = (
            run_loop(loop, given, self.count, record=self.sites, keep_logits=True)
            for given in (clean, corrupt)
        )
        self.metric = metric_between(metric, self.whole.last_read, self.base.last_read)
        self.ends = self._last(self.whole), self._last(self.base)
        self.output = LoopNode(OUTPUT, self.count, 0, -1)
        self.places = self._order()
        self.nodes = [
            LoopNode(*place, head)
            for place in self.places
            for head in (range(self._n_heads(place[0])) if self._n_heads(place[0]) else [-1])
        ]

    def place(self, node: LoopNode) -> tuple[str, int, int]:
        """A node without its head."""
        return node.site, node.step, node.call

    def of(self, run: LoopRun, node: LoopNode) -> Tensor:
        """The activation at the node's place, [batch, ...]."""
        return run.of(node.site, node.step, node.call)

    def effect(self, node: LoopNode, change: Tensor) -> Tensor:
        """The change of the metric when ``change`` is added to what a node gives in the corrupt run, float [batch]."""
        edit = StepEdit(node.site, node.step, lambda found: found + change, node.call)
        run = run_loop(self.loop, None, self.count, start=self.base.at(node.step), edits=[edit], read=False)
        _, state, context = run.at(self.count)
        return self.metric(self.loop.read(state, context)) - self.ends[1]

    def arrivals(self, clean: Mapping[LoopNode, Tensor]) -> tuple[dict[LoopNode, Tensor], Tensor]:
        """What arrives at every node when some give what they are told, the others what they give in the corrupt run.

        And the metric; of nodes that are heads, all heads of what arrives.
        """
        given = {place: self.of(self.base, LoopNode(*place, -1)) for place in self.places}
        for node, value in clean.items():
            place = self.place(node)
            given[place] = given[place] + _only(value - given[place], node.head)
        arrived, scores = self._held(given, grad=False)
        return {node: arrived[self.place(node)] for node in self.nodes}, scores

    def gradients(self, share: float) -> dict[tuple[LoopNode, LoopNode], Tensor]:
        """Of every edge the score with gradients at ``share`` of the way from corrupt to clean, float [batch]."""
        bases = {place: self.of(self.base, LoopNode(*place, -1)) for place in self.places}
        moves = {place: self.of(self.whole, LoopNode(*place, -1)) - bases[place] for place in self.places}
        given = {place: (bases[place] + share * moves[place]).requires_grad_() for place in self.places}
        arrived, scores = self._held(given, grad=True)
        slopes = {place: torch.zeros_like(base) for place, base in bases.items()}
        found: dict[tuple[LoopNode, LoopNode], Tensor] = {}

        def follow(
            reader: LoopNode, value: Tensor, along: Tensor, before: list[tuple[str, int, int]]
        ) -> None:
            leaves = [given[place] for place in before]
            parts = (
                torch.autograd.grad(value, leaves, along, retain_graph=True, allow_unused=True)
                if leaves and value.requires_grad
                else [None] * len(leaves)
            )
            for place, part in zip(before, parts, strict=True):
                slope = torch.zeros_like(bases[place]) if part is None else part
                slopes[place] = slopes[place] + slope
                product = (moves[place] * slope).detach()
                for head in range(self._n_heads(place[0])) if self._n_heads(place[0]) else [-1]:
                    writer = LoopNode(*place, head)
                    found[writer, reader] = _only(product, head).flatten(1).sum(1)

        follow(self.output, scores, torch.ones_like(scores), self.places)
        for number in range(len(self.places) - 1, 0, -1):
            place = self.places[number]
            for head in range(self._n_heads(place[0])) if self._n_heads(place[0]) else [-1]:
                along = _only(slopes[place], head)
                follow(LoopNode(*place, head), arrived[place], along, self.places[:number])
        return found

    def _held(
        self, given: Mapping[tuple[str, int, int], Tensor], grad: bool
    ) -> tuple[dict[tuple[str, int, int], Tensor], Tensor]:
        """A corrupt run in which every node gives ``given``; what would have been there, and the metric."""
        queues = {site: iter([place for place in self.places if place[0] == site]) for site in self.sites}
        arrived: dict[tuple[str, int, int], Tensor] = {}

        def held(site: str) -> Any:
            def edit(found: Tensor) -> Tensor:
                place = next(queues[site])
                arrived[place] = found
                return given[place]

            return edit

        edits = [StepEdit(site, "all", held(site)) for site in self.sites]
        run = run_loop(
            self.loop, None, self.count, start=self.base.at(0), edits=edits, grad=grad, keep_logits=True
        )
        return arrived, self._last(run)

    def _order(self) -> list[tuple[str, int, int]]:
        """The places in the order in which the loop comes to them."""
        order: list[tuple[str, int, int]] = []
        queues = {site: iter(self.base.places(site)) for site in self.sites}

        def seen(site: str) -> Any:
            def edit(found: Tensor) -> Tensor:
                if not found.is_floating_point():
                    raise LoopedError(f"{site!r} holds {found.dtype}; allowed are sites that hold floats")
                order.append((site, *next(queues[site])))
                return found

            return edit

        edits = [StepEdit(site, "all", seen(site)) for site in self.sites]
        run_loop(self.loop, None, self.count, start=self.base.at(0), edits=edits, read=False)
        return order

    def _n_heads(self, site: str) -> int:
        """0 where a site is not split."""
        if site.rsplit(".", 1)[-1] != "z":
            return 0
        return self.base[site].shape[_HEADS + 2]

    def _last(self, run: LoopRun) -> Tensor:
        return self.metric(run.last_read)


def _only(change: Tensor, head: int) -> Tensor:
    """A change of one head alone, all of it for -1."""
    if head < 0:
        return change
    kept = torch.zeros_like(change)
    kept[:, :, head] = change[:, :, head]
    return kept
