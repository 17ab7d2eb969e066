"""Batches of random graphs, straight to factor arrays.

`ComputationGraph.sample` builds one graph as an object; training needs tens of thousands of graphs a
minute, so this module draws whole batches with array operations and never builds an object. With the
curriculum knobs off (`Recipe()`), the distribution is the one of `ComputationGraph.sample`: names are a
random permutation of the vocabulary; nodes are created in order, the first `leaves` of them leaves with a
uniform value; every later node draws its number of operands k uniformly in 1..3, then k distinct parents
uniformly from all nodes created before it (fewer where fewer exist), and one operation uniformly for each
pair of neighbours. The text lists the nodes generation by generation (generation = depth); inside a
generation a node stands where its last parent frees it, as in Kahn's algorithm.

Everything below is numpy int64. Axes: `batch`, `pos` (token position), `node` (text order), `operand`.
Absent entries are -1, except in `factors`, where padding is the syntax symbol [pad] and N/A in the other
factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.graph import ComputationGraph
    from models.vocabulary import FactoredVocabulary

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_OPERANDS = 3
VARIABLE, OPERATION, VALUE, EQUALS, SEPARATOR, PADDING = range(6)
"""Syntax symbols, in the vocabulary's order."""
SYNTAX, NAME, OPERATOR, NUMBER = range(4)
"""Columns of `factors`, in the vocabulary's order (syntax, variable, operation, value)."""


@dataclass(frozen=True)
class Recipe:
    """What graphs to draw. The defaults are the paper's training distribution (Altabaa et al. 2025).

    sizes: smallest and largest number of nodes, drawn uniformly.
    leaves: smallest and largest number of leaves, drawn uniformly (never more than the number of nodes).
    operand_weights: relative frequency of nodes with 1, 2, 3 operands.
    max_depth: graphs deeper than this are drawn again at the same size; None for no limit. With 1, operands are drawn
    among the leaves at once, since hardly any other draw would do.
    """

    sizes: tuple[int, int] = (8, 32)
    leaves: tuple[int, int] = (6, 6)
    operand_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    max_depth: int | None = 6

    def __post_init__(self) -> None:
        for name, (low, high) in (("sizes", self.sizes), ("leaves", self.leaves)):
            if not 1 <= low <= high:
                raise ValueError(f"{name} must be (low, high) with 1 <= low <= high, got {(low, high)}")
        if min(self.operand_weights) < 0 or sum(self.operand_weights) <= 0:
            raise ValueError(f"operand_weights must be >= 0 and not all 0, got {self.operand_weights}")
        if self.max_depth is not None and self.max_depth < 1:
            raise ValueError(f"max_depth must be at least 1, got {self.max_depth}")


@dataclass(frozen=True)
class GraphBatch:
    """A batch of graphs as arrays (see the module docstring for axes and absent entries).

    factors [batch, pos, 4]: the state before step 0, every variable token EMPTY.
    mask [batch, pos]: True on real tokens.
    rhs [batch, node]: position of the node's right-hand side.
    operand_nodes [batch, node, 3]: node index of each operand.
    operations [batch, node, 2]: operation index between neighbouring operands.
    leaf_values [batch, node]: given value of a leaf, -1 for inner nodes.
    n_operands [batch, node]: 0 for a leaf, -1 for no such node.
    depths [batch, node]: 0 for a leaf.
    names [batch, node]: index of the node's variable.
    """

    factors: Ints
    mask: Bools
    rhs: Ints
    operand_nodes: Ints
    operations: Ints
    leaf_values: Ints
    n_operands: Ints
    depths: Ints
    names: Ints

    def __len__(self) -> int:
        return int(self.factors.shape[0])

    def rows(self, index: Ints) -> GraphBatch:
        """The batch made of these rows (int64 [example]), in this order; a row may come more than once."""
        return GraphBatch(**{name: array[index] for name, array in vars(self).items()})

    @property
    def exists(self) -> Bools:
        """bool [batch, node]: True where the graph has that node."""
        return self.rhs >= 0

    @property
    def n_nodes(self) -> Ints:
        """int64 [batch]: nodes of each graph."""
        return self.exists.sum(axis=1)


def sample_batch(
    rng: np.random.Generator, vocabulary: FactoredVocabulary, n_graphs: int, recipe: Recipe | None = None
) -> GraphBatch:
    """Draw `n_graphs` graphs.

    Raises:
        ValueError: the recipe asks for more nodes than the vocabulary has names, or for a depth no draw
            reaches.
    """
    recipe = recipe or Recipe()
    if recipe.sizes[1] > vocabulary.n_variables:
        raise ValueError(
            f"graphs of {recipe.sizes[1]} nodes need as many names; the vocabulary has {vocabulary.n_variables}"
        )
    sizes = rng.integers(recipe.sizes[0], recipe.sizes[1] + 1, n_graphs)
    leaves = np.minimum(rng.integers(recipe.leaves[0], recipe.leaves[1] + 1, n_graphs), sizes)
    n_operands, parents, depths = _draw_structure(rng, sizes, leaves, recipe)
    order = _text_order(n_operands, parents, depths)
    n_operands, operand_nodes, depths = _reorder(order, n_operands, parents, depths)

    width = int(sizes.max())
    used = np.arange(MAX_OPERANDS - 1) < n_operands[..., None] - 1
    operations = np.where(used, rng.integers(0, len(vocabulary.ops), (n_graphs, width, MAX_OPERANDS - 1)), -1)
    leaf_values = np.where(n_operands == 0, rng.integers(0, vocabulary.modulus, (n_graphs, width)), -1)
    names = rng.permuted(np.tile(np.arange(vocabulary.n_variables), (n_graphs, 1)), axis=1)[:, :width]
    return _write_tokens(vocabulary, names, n_operands, operand_nodes, operations, leaf_values, depths)


def batch_of(graphs: Sequence[ComputationGraph], vocabulary: FactoredVocabulary) -> GraphBatch:
    """The same arrays for given graphs.

    Raises:
        ValueError: no graphs, or a graph with an operation the vocabulary lacks.
    """
    if not graphs:
        raise ValueError("batch_of needs at least one graph")
    shape = (len(graphs), max(len(graph.nodes) for graph in graphs))
    n_operands, leaf_values, depths, names = (np.full(shape, -1, dtype=np.int64) for _ in range(4))
    operand_nodes = np.full((*shape, MAX_OPERANDS), -1, dtype=np.int64)
    operations = np.full((*shape, MAX_OPERANDS - 1), -1, dtype=np.int64)
    for row, graph in enumerate(graphs):
        depths[row, : len(graph.nodes)] = graph.depths_by_node
        for column, node in enumerate(graph.nodes):
            unknown = sorted(set(node.operations) - set(vocabulary.ops))
            if unknown:
                raise ValueError(
                    f"graph uses {unknown}; this vocabulary has the operations {list(vocabulary.ops)}"
                )
            n_operands[row, column] = len(node.operands)
            names[row, column] = node.variable
            operand_nodes[row, column, : len(node.operands)] = node.operands
            operations[row, column, : len(node.operations)] = [
                vocabulary.ops.index(op) for op in node.operations
            ]
            if node.value is not None:
                leaf_values[row, column] = node.value
    return _write_tokens(vocabulary, names, n_operands, operand_nodes, operations, leaf_values, depths)


def _draw_structure(
    rng: np.random.Generator, sizes: Ints, leaves: Ints, recipe: Recipe
) -> tuple[Ints, Ints, Ints]:
    """Operand counts [batch, node], parents [batch, node, 3] and depths [batch, node], all in creation order."""
    shape = (len(sizes), int(sizes.max()))
    n_operands, depths = np.full(shape, -1, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    parents = np.full((*shape, MAX_OPERANDS), -1, dtype=np.int64)
    todo = np.arange(len(sizes))
    for _ in range(1000):
        drawn = _draw_once(rng, sizes[todo], leaves[todo], recipe, shape[1])
        n_operands[todo], parents[todo], depths[todo] = drawn
        if recipe.max_depth is None:
            return n_operands, parents, depths
        todo = todo[drawn[2].max(axis=1) > recipe.max_depth]
        if not len(todo):
            return n_operands, parents, depths
    raise ValueError(
        f"no graph of {int(sizes[todo].max())} nodes with depth <= {recipe.max_depth} in 1000 draws"
    )


def _draw_once(
    rng: np.random.Generator, sizes: Ints, leaves: Ints, recipe: Recipe, width: int
) -> tuple[Ints, Ints, Ints]:
    index = np.arange(width)
    earlier = np.broadcast_to(index, (len(sizes), width))  # how many nodes operands are drawn from
    if recipe.max_depth == 1:
        earlier = np.minimum(earlier, leaves[:, None])
    cumulative = np.cumsum(np.asarray(recipe.operand_weights, dtype=np.float64))
    k = np.searchsorted(cumulative / cumulative[-1], rng.random((len(sizes), width)), side="right") + 1
    k = np.minimum(k, earlier)
    k = np.where(index < leaves[:, None], 0, k)
    k = np.where(index < sizes[:, None], k, -1)

    # Ordered draws without replacement: each is uniform over what is left, shifted past the earlier ones in
    # ascending order.
    uniform = rng.random((len(sizes), width, MAX_OPERANDS))
    first = (uniform[..., 0] * earlier).astype(np.int64)
    second = (uniform[..., 1] * np.maximum(earlier - 1, 0)).astype(np.int64)
    second += second >= first
    third = (uniform[..., 2] * np.maximum(earlier - 2, 0)).astype(np.int64)
    third += third >= np.minimum(first, second)
    third += third >= np.maximum(first, second)
    parents = np.where(np.arange(MAX_OPERANDS) < k[..., None], np.stack([first, second, third], axis=-1), -1)

    depths = np.where(k >= 0, 0, -1)
    rows = np.arange(len(sizes))[:, None]
    for node in range(1, width):
        of_parents = np.where(parents[:, node] >= 0, depths[rows, parents[:, node]], -1).max(axis=1)
        depths[:, node] = np.where(k[:, node] > 0, of_parents + 1, depths[:, node])
    return k, parents, depths


def _text_order(n_operands: Ints, parents: Ints, depths: Ints) -> Ints:
    """int64 [batch, node]: creation index of the node at each text position; absent nodes last."""
    n_graphs, width = int(n_operands.shape[0]), int(n_operands.shape[1])
    index: Ints = np.arange(width, dtype=np.int64)
    rows: Ints = np.arange(n_graphs, dtype=np.int64)[:, None]
    place: Ints = np.broadcast_to(index, (n_graphs, width)).copy()  # order inside the node's own generation
    for depth in range(1, int(depths.max()) + 1):
        freeing = np.where(
            (parents >= 0) & (depths[rows[..., None], parents] == depth - 1),
            place[rows[..., None], parents],
            -1,
        )
        key = np.where(depths == depth, freeing.max(axis=-1) * width + index, width * (width + 1))
        ranks = np.empty_like(place)
        ranks[rows, np.argsort(key, axis=1, kind="stable")] = index
        place = np.where(depths == depth, ranks, place)
    generation = np.where(depths < 0, width, depths)
    return np.argsort(generation * width + place, axis=1, kind="stable")


def _reorder(order: Ints, n_operands: Ints, parents: Ints, depths: Ints) -> tuple[Ints, Ints, Ints]:
    rows = np.arange(len(order))[:, None]
    position = np.empty_like(order)
    position[rows, order] = np.arange(order.shape[1])
    moved = parents[rows, order]
    operand_nodes = np.where(moved >= 0, position[rows[..., None], moved], -1)
    return n_operands[rows, order], operand_nodes, depths[rows, order]


def _write_tokens(
    vocabulary: FactoredVocabulary,
    names: Ints,
    n_operands: Ints,
    operand_nodes: Ints,
    operations: Ints,
    leaf_values: Ints,
    depths: Ints,
) -> GraphBatch:
    exists = n_operands >= 0
    n_graphs = len(n_operands)
    length = np.where(
        exists, np.where(n_operands == 0, 3, 2 * n_operands + 1) + 1, 0
    )  # tokens and the separator after
    end = np.cumsum(length, axis=1)
    total = end[:, -1] - 1  # no separator after the last equation
    n_pos = int(total.max())
    start, rhs = end - length, np.where(exists, end - 2, -1)

    factors = np.empty((n_graphs, n_pos, 4), dtype=np.int64)
    factors[:] = (PADDING, *(vocabulary.n_a(factor) for factor in ("variable", "operation", "value")))
    rows = np.broadcast_to(np.arange(n_graphs)[:, None], exists.shape)

    def put(where: Bools, position: Ints, column: int, symbols: Ints | int) -> None:
        factors[rows[where], position[where], column] = (
            symbols if isinstance(symbols, int) else symbols[where]
        )

    def put_variable(where: Bools, position: Ints, variable: Ints) -> None:
        put(where, position, SYNTAX, VARIABLE)
        put(where, position, NAME, variable)
        put(where, position, NUMBER, vocabulary.empty)

    names = np.where(exists, names, -1)
    put_variable(exists, rhs, names)
    put(exists, rhs - 1, SYNTAX, EQUALS)
    put(exists & (end < end[:, -1:]), rhs + 1, SYNTAX, SEPARATOR)
    leaf = n_operands == 0
    put(leaf, start, SYNTAX, VALUE)
    put(leaf, start, NUMBER, leaf_values)
    for operand in range(MAX_OPERANDS):
        used = n_operands > operand
        put_variable(
            used,
            start + 2 * operand,
            np.take_along_axis(names, np.maximum(operand_nodes[..., operand], 0), axis=1),
        )
        if operand < MAX_OPERANDS - 1:
            joined = n_operands > operand + 1
            put(joined, start + 2 * operand + 1, SYNTAX, OPERATION)
            put(joined, start + 2 * operand + 1, OPERATOR, operations[..., operand])
    mask = np.arange(n_pos) < total[:, None]
    return GraphBatch(factors, mask, rhs, operand_nodes, operations, leaf_values, n_operands, depths, names)
