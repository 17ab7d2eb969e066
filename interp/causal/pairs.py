"""Minimal clean/corrupt pairs: two graphs whose texts differ in one thing, and what that may change.

Four kinds, :data:`KINDS`: a leaf's value, an operand's identity, an operation, the values of two leaves swapped.
Names, variables and numbers of operands stay, so both texts have the same tokens but the edited ones, at the same
positions, and an activation of one run has its counterpart in the other.

Every random choice is uniform: first a node among those that admit an edit of the kind, then an edit among that
node's. No edit is preferred for reaching more of the graph. An edit counts only if the edited node's true value
changes (so that something differs in every pair); :func:`operand_identity` can be told to make the opposite, a control.
Operands have one preference more, for edits that leave the depths as they are, see there.

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from models.bounds import index_of
from models.graph import ComputationGraph
from models.graph_errors import check_whole_number
from models.one_line import one_line
from models.operations import OPERATIONS, apply_operations
from models.parsing import Node

KINDS: Final = ("leaf-value", "operand", "operation", "leaf-swap")

GIVEN: Final = "given"
"""Kind of a pair that somebody put together; it may be edited in several places."""

_MAX_DRAWS: Final = 100
"""Graphs that are drawn for one pair before it is given up."""


class PairError(ValueError):
    """There is no such pair; the message says what would be one."""


@one_line
@dataclass(frozen=True)
class Pair:
    """Two graphs that differ in a few equations, which have the same shape: a leaf stays a leaf, three operands three.

    All node sets are indices in text order, the same in both graphs. A node of :attr:`differing` must change between
    the two runs, one of :attr:`descendants` may, one of :attr:`unaffected` must not.

    kind: one of :data:`KINDS`, or :data:`GIVEN`.

    Raises:
        PairError: an unknown kind, graphs that are equal, or that differ in more than leaf values, operands and
            operations.
    """

    clean: ComputationGraph
    corrupt: ComputationGraph
    kind: str

    def __post_init__(self) -> None:
        _check_kind(self.kind, (*KINDS, GIVEN))
        clean, corrupt = self.clean, self.corrupt
        sizes = [(len(graph), graph.modulus, graph.n_variables) for graph in (clean, corrupt)]
        if sizes[0] != sizes[1]:
            raise PairError(
                f"the graphs have (nodes, modulus, variables) {sizes[0]} and {sizes[1]}; allowed: the same"
            )
        for index, (one, other) in enumerate(zip(clean.nodes, corrupt.nodes, strict=True)):
            if _shape(one) != _shape(other):
                raise PairError(
                    f"node {index} is '{clean.equation(index)}' and '{corrupt.equation(index)}'; "
                    "allowed: the same name, variable and number of operands"
                )
        if not self.changed_nodes:
            raise PairError("the two graphs are equal; allowed: at least one equation that differs")

    @cached_property
    def changed_nodes(self) -> tuple[int, ...]:
        """Nodes whose equation is edited."""
        both = zip(self.clean.nodes, self.corrupt.nodes, strict=True)
        return tuple(index for index, (one, other) in enumerate(both) if one != other)

    @cached_property
    def descendants(self) -> tuple[int, ...]:
        """Nodes that may change: those edited and all that depend on one of them.

        The same in both graphs: a node that is not edited has the same operands in both.
        """
        reached = set(self.changed_nodes)
        for index, node in enumerate(self.clean.nodes):
            if not reached.isdisjoint(node.operands):
                reached.add(index)
        return tuple(sorted(reached))

    @cached_property
    def differing(self) -> tuple[int, ...]:
        """Nodes whose true value differs; all of them descendants, not all descendants of them."""
        both = zip(self.clean.values_by_node, self.corrupt.values_by_node, strict=True)
        return tuple(index for index, (one, other) in enumerate(both) if one != other)

    @cached_property
    def unaffected(self) -> tuple[int, ...]:
        """Nodes that must not change: all but :attr:`descendants`."""
        return tuple(sorted({*range(len(self.clean))} - {*self.descendants}))

    def __str__(self) -> str:
        """``operation: a ADD b = c -> a SUB b = c``; edits separated by ``;``."""
        edits = (f"{self.clean.equation(i)} -> {self.corrupt.equation(i)}" for i in self.changed_nodes)
        return f"{self.kind}: {'; '.join(edits)}"


@dataclass(frozen=True)
class _Edit:
    """New equations of some nodes; those of a lower `rank` are preferred."""

    nodes: dict[int, Node]
    rank: int = 0


def leaf_value(
    graph: ComputationGraph,
    node: int | str | None = None,
    seed: int | np.random.Generator = 0,
    *,
    value: int | None = None,
) -> Pair:
    """One leaf has another value.

    node: index or own name of the leaf. value: the new one, 0..modulus-1. What is not given is drawn from `seed`.

    Raises:
        PairError: no such leaf, or `value` is its own value or outside 0..modulus-1.
    """

    def edits(index: int) -> Iterator[_Edit]:
        leaf = graph.nodes[index]
        for new in range(graph.modulus):
            if new != leaf.value and value in (None, new):
                yield _Edit({index: replace(leaf, value=new)})

    allowed = f"a leaf and another value than its own, of 0 to {graph.modulus - 1}"
    return _draw(graph, "leaf-value", _candidates(graph, node, leaf=True), edits, seed, allowed)


def operand_identity(
    graph: ComputationGraph,
    node: int | str | None = None,
    seed: int | np.random.Generator = 0,
    *,
    operand: int | None = None,
    replacement: int | str | None = None,
    keep_value: bool = False,
) -> Pair:
    """One operand of a node is another earlier node, which was no operand of it.

    Preferred is a replacement of the same depth as the operand replaced, then one that leaves the node's own depth as
    it is, then any: a later preference counts only where no edit (of the nodes asked for) meets an earlier one. In
    the first two, the depth of every node of the graph is the same in both texts.

    node: index or own name. operand: which one, from 0. replacement: index or own name of the new operand.
    What is not given is drawn from `seed`. keep_value: only edits after which the node's true value is the same, so
    that no value differs anywhere; otherwise only those that change it.

    Raises:
        PairError: no such node or operand, or no replacement of this kind.
    """
    wanted = None if replacement is None else _index(graph, replacement)
    depths, values = graph.depths_by_node, graph.values_by_node

    def edits(index: int) -> Iterator[_Edit]:
        old = graph.nodes[index]
        for place, replaced in enumerate(old.operands):
            others = range(index) if wanted is None else (wanted,)
            for other in others if operand in (None, place) else ():
                if other >= index or other in old.operands:
                    continue
                new = replace(old, operands=(*old.operands[:place], other, *old.operands[place + 1 :]))
                if keep_value != (_result(new, values, graph.modulus) == values[index]):
                    continue
                same_depth = 1 + max(depths[o] for o in new.operands) == depths[index]
                yield _Edit({index: new}, 0 if depths[other] == depths[replaced] else 1 if same_depth else 2)

    effect = "keeps" if keep_value else "changes"
    allowed = f"an operand of a node, and an earlier node that is none and {effect} the node's value"
    return _draw(graph, "operand", _candidates(graph, node, leaf=False), edits, seed, allowed)


def operation(
    graph: ComputationGraph,
    node: int | str | None = None,
    seed: int | np.random.Generator = 0,
    *,
    ops: Sequence[str] | None = None,
) -> Pair:
    """One operation of a node is another, and the node's true value changes.

    node: index or own name; drawn from `seed` if not given, as the operation is. ops: the operations to draw from, a
    model's vocabulary's (``model.vocabulary.ops``); by default those of the graph, so that a model that reads the one
    text reads the other.

    Raises:
        PairError: fewer than two operations to draw from, no such node, or none whose value another operation changes.
    """
    names = tuple(graph.ops if ops is None else ops)
    _check_operations(names)
    values = graph.values_by_node

    def edits(index: int) -> Iterator[_Edit]:
        old = graph.nodes[index]
        for place, before in enumerate(old.operations):
            for name in names:
                if name == before:
                    continue
                new = replace(old, operations=(*old.operations[:place], name, *old.operations[place + 1 :]))
                if _result(new, values, graph.modulus) != values[index]:
                    yield _Edit({index: new})

    allowed = f"a node of several operands, whose value another operation of {', '.join(names)} changes"
    return _draw(graph, "operation", _candidates(graph, node, leaf=False), edits, seed, allowed)


def leaf_swap(
    graph: ComputationGraph,
    node: int | str | None = None,
    seed: int | np.random.Generator = 0,
    *,
    other: int | str | None = None,
) -> Pair:
    """Two leaves of different values have exchanged them.

    node, other: index or own name of the two. What is not given is drawn from `seed`.

    Raises:
        PairError: no such leaves, or their values are the same.
    """
    first, second = (_candidates(graph, one, leaf=True) for one in (node, other))

    def edits(index: int) -> Iterator[_Edit]:
        one = graph.nodes[index]
        for partner in second:
            two = graph.nodes[partner]
            if one.value != two.value:
                yield _Edit({index: replace(one, value=two.value), partner: replace(two, value=one.value)})

    return _draw(graph, "leaf-swap", first, edits, seed, "two leaves of different values")


def make_pair(
    graph: ComputationGraph,
    kind: str,
    seed: int | np.random.Generator = 0,
    *,
    node: int | str | None = None,
    ops: Sequence[str] | None = None,
) -> Pair:
    """A pair of one of :data:`KINDS`; the same as that kind's own function gives.

    ops: for "operation" only, see :func:`operation`.

    Raises:
        PairError: an unknown kind, or the graph admits no such edit.

    Examples:
        >>> from interp import make_pair
        >>> from models import ComputationGraph
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> pair = make_pair(graph, "leaf-value", seed=0)
        >>> pair.clean.to_text(), pair.corrupt.to_text()
        ('20 = a; 2 = b; a ADD b = c', '14 = a; 2 = b; a ADD b = c')
    """
    _check_kind(kind)
    if kind == "operation":
        return operation(graph, node, seed, ops=ops)
    make = {"leaf-value": leaf_value, "operand": operand_identity, "leaf-swap": leaf_swap}[kind]
    return make(graph, node, seed)


def sample_pairs(
    n: int,
    kind: str,
    n_nodes: int,
    ops: Sequence[str] = ("ADD",),
    seed: int = 0,
    *,
    n_leaves: int = 6,
    max_operands: int = 3,
    modulus: int = 23,
    n_variables: int = 128,
    max_depth: int | None = None,
) -> list[Pair]:
    """`n` pairs of sampled graphs, arguments as for :meth:`models.graph.ComputationGraph.sample`.

    Pair k depends on `seed` and k alone, so that a longer list begins with the shorter. A graph that admits no edit of
    the kind is drawn anew.

    Raises:
        PairError: an unknown kind, "operation" with fewer than two `ops`, or a hundred graphs in a row admit no edit.
        GraphError: `n`, `seed` or a size outside its range.
    """
    _check_kind(kind)
    if kind == "operation":
        _check_operations(tuple(ops))
    seed = check_whole_number("seed", seed, 0)

    def sample(number: int) -> Pair:
        rng = np.random.default_rng([seed, number])
        problem = ""
        for _ in range(_MAX_DRAWS):
            graph = ComputationGraph.sample(
                n_nodes, ops, n_leaves, max_operands, modulus, rng, max_depth, n_variables
            )
            try:
                return make_pair(graph, kind, rng, ops=ops)
            except PairError as error:
                problem = str(error)
        raise PairError(f"{_MAX_DRAWS} graphs of {n_nodes} nodes were drawn, and for the last: {problem}")

    return [sample(number) for number in range(check_whole_number("n", n, 0))]


def _draw(
    graph: ComputationGraph,
    kind: str,
    candidates: Sequence[int],
    edits: Callable[[int], Iterator[_Edit]],
    seed: int | np.random.Generator,
    allowed: str,
) -> Pair:
    """The pair of a node drawn among those that have an edit of the lowest rank, and of one of these edits."""
    rng = (
        seed
        if isinstance(seed, np.random.Generator)
        else np.random.default_rng(check_whole_number("seed", seed, 0))
    )
    best: list[_Edit] = []
    for index in rng.permutation(np.array(candidates, dtype=int)).tolist():
        found = list(edits(index))
        lowest = min((edit.rank for edit in found), default=None)
        if lowest is not None and (not best or lowest < best[0].rank):
            best = [edit for edit in found if edit.rank == lowest]
        if best and best[0].rank == 0:
            break
    if not best:
        where = (
            f"node {candidates[0]} '{graph.equation(candidates[0])}'"
            if len(candidates) == 1
            else "this graph"
        )
        raise PairError(f"{where} admits no edit of kind {kind!r} as asked for; allowed: {allowed}")
    chosen = best[rng.integers(len(best))].nodes
    nodes = tuple(chosen.get(index, node) for index, node in enumerate(graph.nodes))
    return Pair(graph, replace(graph, nodes=nodes), kind)


def _result(node: Node, values: Sequence[int], modulus: int) -> int:
    """The value of a node that is no leaf, from the values of all nodes before it."""
    return apply_operations(node.operations, [values[operand] for operand in node.operands], modulus)


def _shape(node: Node) -> tuple[str, int, int]:
    """What the two equations of a node have in common in every pair."""
    return node.name, node.variable, len(node.operands)


def _candidates(graph: ComputationGraph, node: int | str | None, leaf: bool) -> list[int]:
    """The leaves, or all other nodes; only the one asked for, if one is."""
    found = [index for index, known in enumerate(graph.nodes) if (known.value is not None) == leaf]
    if node is None:
        return found
    index = _index(graph, node)
    if index not in found:
        kind = "a leaf" if leaf else "a node with operands"
        raise PairError(f"node {node!r} is '{graph.equation(index)}'; allowed: {kind}, of {found}")
    return [index]


def _index(graph: ComputationGraph, node: int | str) -> int:
    """The index of a node given by index, also as a text, or by own name."""
    names = [known.name for known in graph.nodes]
    if node in names:
        return names.index(node)
    index = node if isinstance(node, int) else index_of(node)
    if index is None or not 0 <= index < len(names):
        allowed = f"0 to {len(names) - 1}, or a name of {', '.join(names)}"
        raise PairError(f"there is no node {node!r}; allowed: {allowed}")
    return index


def _check_kind(kind: str, kinds: Sequence[str] = KINDS) -> None:
    if kind not in kinds:
        raise PairError(f"there is no kind of pair {kind!r}; allowed: {', '.join(kinds)}")


def _check_operations(names: tuple[str, ...]) -> None:
    if len(set(names)) < 2 or not set(names) <= set(OPERATIONS):
        raise PairError(
            f"to exchange an operation, ops is {names}; allowed: at least two of {', '.join(OPERATIONS)}"
        )
