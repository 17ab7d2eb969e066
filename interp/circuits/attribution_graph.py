"""The attribution graph of one run: how one node's value came about, from the text on.

    (state, equation, factor)      codes; the edges between them are measured by replay (:mod:`state_links`)
    (step, equation, head or MLP)  what makes a value inside a step (:mod:`inside_step`), between the codes

A code that no head or MLP is looked for (names, operations and syntax, which are copied) has its edges from the state
before directly. What reads the embedding inside a step reads the codes that were replaced; they share its score as they
share the edges into the value.

The graph is pruned by influence on the target (:mod:`influence`); its top path stays. Between steps nothing is missing,
since a state holds all that a step is given: :attr:`AttributionGraph.between` checks that. Effects of single codes need
not add up all the same (:attr:`AttributionGraph.additive`), nor those of edges inside a step
(:attr:`AttributionGraph.inside`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from interp.circuits.influence import EDGE_SHARE, NODE_SHARE, influences, normalised, prune
from interp.circuits.inside_step import InsideStep, inside_step
from interp.circuits.state_links import StateLinks, state_links
from interp.engine.interventions import Recording
from interp.progress import followed, phase
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

VALUE = FACTORS.index("value")
_MARGIN = 10
"""So much smaller is the share of influence that is let go before heads and MLPs are looked for."""
_TRIES = 4
"""Draws until what is replaced gives another value."""


@dataclass(frozen=True)
class GraphNode:
    """A code of a state, or a head or MLP at work for the value that an equation has in the next one.

    step: the state (0: the text), or the step. factor: of a code, "" otherwise. layer, head: of a component, -1 where
    there is none.
    """

    step: int
    equation: int
    factor: str = ""
    layer: int = -1
    head: int = -1

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Sorts nodes so that all links lead on: codes of a state, then layer by layer heads and MLP."""
        inside = 0 if self.factor else 1 + 2 * self.layer + (self.head < 0)
        return self.step, inside, self.equation, FACTORS.index(self.factor) if self.factor else self.head

    @property
    def kind(self) -> str:
        """``code``, ``head`` or ``mlp``."""
        return "code" if self.factor else "mlp" if self.head < 0 else "head"

    @property
    def name(self) -> str:
        """Short: ``value``, ``head 1.0``, ``MLP 1``."""
        return self.factor or (f"MLP {self.layer}" if self.head < 0 else f"head {self.layer}.{self.head}")


@one_line
@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """A pruned graph.

    Attributes:
        run: of what.
        target: the code that is explained.
        links: (source, target) -> weight; those into a code or component are shares of what makes it, and may be
            negative.
        influence: node -> influence on the target.
        top_path: the path to the target with the largest product of normalised weights, before pruning; of equal ones
            that over values.
        node_share, edge_share: what pruning kept.
        unpruned: numbers of nodes and links before.
        between: completeness between steps, see :meth:`StateLinks.complete`.
        inside: completeness inside steps, mean over values weighted by their influence; nan where there is none.
        additive, additive_syntax: share of codes that stay when all names, operations and values that no edge leads
            from are replaced at once, and syntax too: see :meth:`StateLinks.additive`.
    """

    run: Recording
    target: GraphNode
    links: dict[tuple[GraphNode, GraphNode], float]
    influence: dict[GraphNode, float]
    top_path: tuple[GraphNode, ...]
    node_share: float
    edge_share: float
    unpruned: tuple[int, int]
    between: float
    inside: float
    additive: float
    additive_syntax: float

    @cached_property
    def nodes(self) -> tuple[GraphNode, ...]:
        """All that have a link, and the target; in the order of the run."""
        found = {self.target, *(node for pair in self.links for node in pair)}
        return tuple(sorted(found, key=lambda node: node.place))

    def symbol(self, node: GraphNode) -> str:
        """What a code says, all of its positions; "" for a component."""
        if node.kind != "code":
            return ""
        factor, vocabulary = FACTORS.index(node.factor), self.run.model.vocabulary
        where = StateLinks(self.run, np.empty(0), 1, 0).positions(node.equation * len(FACTORS) + factor)
        codes: Any = self.run.trajectory.states[node.step, 0, where, factor]
        return " ".join(vocabulary.symbols(node.factor)[int(code)] for code in codes)

    def to_frame(self) -> pd.DataFrame:
        """One row a link: ``from_step``, ``from_equation``, ``from``, ``to_step``, ``to_equation``, ``to``, ``weight``,
        ``influence`` (of the target of the link).
        """
        names = [node.name for node in self.run.graph.nodes]
        return pd.DataFrame(
            [
                {
                    "from_step": source.step,
                    "from_equation": names[source.equation],
                    "from": source.name,
                    "to_step": end.step,
                    "to_equation": names[end.equation],
                    "to": end.name,
                    "weight": weight,
                    "influence": self.influence[end],
                }
                for (source, end), weight in sorted(self.links.items(), key=_by_place)
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """In the schema of circuit-tracer and Neuronpedia: :mod:`interp.circuits.tracer_json`."""
        from interp.circuits.tracer_json import tracer_json

        return tracer_json(self)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.circuits.attribution_graph_figure.attribution_graph_figure`."""
        from interp.circuits.attribution_graph_figure import attribution_graph_figure

        return attribution_graph_figure(self, width)


def attribution_graph(
    model: RecurrentTransformer,
    graph: ComputationGraph,
    node: int | str | None = None,
    draws: int = 4,
    seed: int = 0,
    node_share: float = NODE_SHARE,
    edge_share: float = EDGE_SHARE,
) -> AttributionGraph:
    """Explain a node's value, in the first state from which on it stays.

    Args:
        node: name or index; default: the last of the deepest.
        draws: how often every code is replaced. seed: of what is drawn.
        node_share, edge_share: of influence, what pruning keeps.

    Raises:
        ValueError: a model without a discrete state, an unknown node, fewer than one draw, a share not in 0..1.

    Examples:
        >>> from interp import attribution_graph
        >>> from models import ComputationGraph, load
        >>> found = attribution_graph(load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c"))
        >>> found.between, 0.8 < found.inside <= 1
        (1.0, True)
    """
    equation = _target(graph, node)
    with phase(0.0, 0.7):
        links = state_links(model, graph, draws, seed)
    end = _settled(links.run, equation)
    target = GraphNode(end, equation, "value")
    # What prunes away at the end need not be looked into; a larger share is kept until weights inside steps are known.
    codes = prune(_links(links, end), target, 1 - (1 - node_share) / _MARGIN, edge_share)
    with phase(0.7, 0.9):
        whole, completeness = _with_components(links, codes, seed)
    influence = influences(whole, target)
    path = _top_path(whole, target)
    left = {pair: whole[pair] for pair in pairwise(path)} | prune(whole, target, node_share, edge_share)
    looked_into = {one: completeness[one] for one in completeness if one in influence}
    weights = np.array([influence[one] for one in looked_into])
    inside = float((weights * list(looked_into.values())).sum() / weights.sum()) if len(weights) else math.nan
    of_codes = sorted(
        (one.step, one.equation * len(FACTORS) + FACTORS.index(one.factor))
        for one in {end for _, end in codes}
    )
    return AttributionGraph(
        run=links.run,
        target=target,
        links=left,
        influence=influence,
        top_path=path,
        node_share=node_share,
        edge_share=edge_share,
        unpruned=(len(influence), len(whole)),
        between=links.complete(of_codes),
        inside=inside,
        additive=links.additive(of_codes, FACTORS[1:]),
        additive_syntax=links.additive(of_codes),
    )


def _top_path(links: dict[tuple[GraphNode, GraphNode], float], target: GraphNode) -> tuple[GraphNode, ...]:
    into: dict[GraphNode, list[tuple[GraphNode, float]]] = {}
    for (source, end), share in normalised(links).items():
        into.setdefault(end, []).append((source, math.log(share)))
    best: dict[GraphNode, tuple[float, int, GraphNode | None]] = {}
    for node in sorted({target, *(one for pair in links for one in pair)}, key=lambda one: one.place):
        sources = sorted(into.get(node, ()), key=lambda one: one[0].place)
        found = [
            (best[source][0] + share, best[source][1] + (source.factor == "value"), source)
            for source, share in sources
        ]
        best[node] = max(found, key=lambda one: (round(one[0], 9), one[1])) if found else (0.0, 0, None)
    path: list[GraphNode] = [target]
    while (before := best[path[-1]][2]) is not None:
        path.append(before)
    return tuple(reversed(path))


def _target(graph: ComputationGraph, node: int | str | None) -> int:
    names = [one.name for one in graph.nodes]
    if node is None:
        depths = graph.depths_by_node
        return max(range(len(names)), key=lambda index: (depths[index], index))
    if node in names:
        return names.index(str(node))
    index = int(node) if str(node).isdecimal() else -1
    if not 0 <= index < len(names):
        raise ValueError(
            f"there is no node {node!r}; allowed: 0 to {len(names) - 1}, or one of {', '.join(names)}"
        )
    return index


def _settled(run: Recording, equation: int) -> int:
    """The first state, 1 or later, from which on the value stays."""
    shown: Any = run.trajectory.values[:, 0, equation]
    values: list[int] = shown.tolist()
    state = len(values) - 1
    while state > 1 and values[state - 1] == values[-1]:
        state -= 1
    return state


def _links(links: StateLinks, end: int) -> dict[tuple[GraphNode, GraphNode], float]:
    found: dict[tuple[GraphNode, GraphNode], float] = {}
    for step in range(end):
        weights = links.weights[step]
        for after, before in np.argwhere(weights):
            pair = _code(step, int(before)), _code(step + 1, int(after))
            found[pair] = float(weights[after, before])
    return found


def _code(state: int, node: int) -> GraphNode:
    equation, factor = divmod(node, len(FACTORS))
    return GraphNode(state, equation, FACTORS[factor])


def _with_components(
    links: StateLinks, codes: dict[tuple[GraphNode, GraphNode], float], seed: int
) -> tuple[dict[tuple[GraphNode, GraphNode], float], dict[GraphNode, float]]:
    """The links with heads and MLPs between the values; and the completeness of each value that was looked into."""
    rng = np.random.default_rng([seed, 1])
    whole: dict[tuple[GraphNode, GraphNode], float] = {}
    completeness: dict[GraphNode, float] = {}
    known: dict[tuple[bytes, int, tuple[tuple[int, str], ...]], InsideStep | None] = {}
    for code in followed(sorted({end for _, end in codes}, key=lambda one: one.place)):
        parents = {source: weight for (source, end), weight in codes.items() if end == code}
        found = None
        if code.factor == "value":
            entering = links.run.trajectory.states[code.step - 1, 0].numpy(force=True).tobytes()
            key = entering, code.equation, tuple(sorted((one.equation, one.factor) for one in parents))
            if key not in known:
                known[key] = _looked_into(links, code, list(parents), rng)
            found = known[key]
        if found is None:
            whole |= {(source, code): weight for source, weight in parents.items()}
            continue
        completeness[code] = found.completeness
        for pair, weight in _inside(found, code, parents):
            whole[pair] = whole.get(pair, 0.0) + weight
    return whole, completeness


def _looked_into(
    links: StateLinks, code: GraphNode, parents: list[GraphNode], rng: np.random.Generator
) -> InsideStep | None:
    nodes = [one.equation * len(FACTORS) + FACTORS.index(one.factor) for one in parents]
    for _ in range(_TRIES):
        state = links.replaced(code.step - 1, nodes, rng)
        found = inside_step(links.run, code.step - 1, code.equation, state)
        if found is not None:
            return found
    return None


def _inside(
    found: InsideStep, code: GraphNode, parents: dict[GraphNode, float]
) -> Iterator[tuple[tuple[GraphNode, GraphNode], float]]:
    step, total = code.step - 1, sum(parents.values())
    for edge, score in zip(found.graph.edges, found.scores.tolist(), strict=True):
        if not score:
            continue
        end = code
        if edge.reader_layer is not None:
            head = -1 if edge.reader_head is None else edge.reader_head
            end = GraphNode(step, code.equation, layer=edge.reader_layer, head=head)
        if edge.writer_layer is None:
            for source, weight in parents.items():
                yield (source, end), score * weight / total
        else:
            head = -1 if edge.writer_head is None else edge.writer_head
            yield (GraphNode(step, code.equation, layer=edge.writer_layer, head=head), end), score


def _by_place(link: tuple[tuple[GraphNode, GraphNode], float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return link[0][0].place, link[0][1].place
