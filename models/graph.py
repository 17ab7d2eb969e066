"""The task: modular arithmetic on a computational graph, and its symbolic oracle (paper.md, section 1).

A graph is a tuple of nodes in topological order, the order of its text. A leaf has a value in 0..modulus-1. Any other
node is computed from different earlier nodes, from left to right with no precedence, every operation modulo `modulus`.
Depth of a leaf: 0; of any other node: 1 + the largest depth of its operands. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from models.graph_errors import (
    EmptyInputError,
    GraphArgumentError,
    GraphError,
    GraphFormatError,
    GraphStructureError,
    UnknownOperationError,
    check_whole_number,
    clip,
)
from models.parsing import OPERATIONS, Node, check_limits, is_name, parse_nodes, variable_index

if TYPE_CHECKING:
    import networkx

__all__ = ["OPERATIONS", "ComputationGraph", "GraphError", "Node"]

_MAX_OPERANDS: Final = 3


@dataclass(frozen=True)
class ComputationGraph:
    """A DAG of modular arithmetic: `nodes` in text order, which is topological; immutable and hashable.

    Raises `GraphStructureError` where the nodes are not such a graph, `GraphArgumentError` for impossible sizes.
    """

    nodes: tuple[Node, ...]
    modulus: int = 23
    n_variables: int = 128

    def __post_init__(self) -> None:
        check_limits(self.modulus, self.n_variables, max_operands=1)
        if not self.nodes:
            raise EmptyInputError("A graph has no nodes", "Allowed: at least one, a leaf")
        for index, node in enumerate(self.nodes):
            _check_node(index, node, self)
        if len({node.variable for node in self.nodes}) < len(self.nodes):
            raise GraphStructureError(
                "Two nodes have the same variable", "Allowed: a different one for each node"
            )
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise GraphStructureError(
                "Two nodes have the same name", "Allowed: a different one for each node"
            )

    # ---- making graphs -------------------------------------------------------------------------------------------

    @classmethod
    def parse(
        cls, text: str, modulus: int = 23, n_variables: int = 128, max_operands: int = _MAX_OPERANDS
    ) -> ComputationGraph:
        """The graph a text describes, such as `20 = x_7; 2 = x_42; x_7 + x_42 = total`; grammar: `models.parsing`.

        Keeps the order typed if it is topological. Raises the `GraphError` of the first mistake, and nothing else.
        """
        return cls(parse_nodes(text, modulus, n_variables, max_operands), modulus, n_variables)

    @classmethod
    def from_equations(
        cls,
        equations: Iterable[str],
        modulus: int = 23,
        n_variables: int = 128,
        max_operands: int = _MAX_OPERANDS,
    ) -> ComputationGraph:
        """As `parse`, from one string per equation; `from_equations(graph.equations)` reads as `parse(to_text())`."""
        if isinstance(equations, str):
            raise GraphArgumentError(
                "equations is one string", "Allowed: a list of strings; a text is for parse()"
            )
        parts = list(cast("Iterable[object]", equations))
        for index, part in enumerate(parts):
            if not isinstance(part, str):
                raise GraphArgumentError(f"Equation {index} is {clip(repr(part))}", "Allowed: strings")
        return cls.parse("\n".join(cast("list[str]", parts)), modulus, n_variables, max_operands)

    @classmethod
    def sample(
        cls,
        n_nodes: int,
        ops: Sequence[str] = ("ADD",),
        n_leaves: int = 6,
        max_operands: int = _MAX_OPERANDS,
        modulus: int = 23,
        seed: int | np.random.Generator | None = None,
        max_depth: int | None = None,
        n_variables: int = 128,
    ) -> ComputationGraph:
        """A random graph with the distribution of the paper's generator (paper.md, section 1).

        Names are drawn without replacement. Nodes are made one after the other: first `n_leaves` leaves with uniform
        values; then each node draws its number of operands uniformly from 1..max_operands (at most as many as there
        are nodes to choose from), that many different earlier nodes in random order, and each operation uniformly
        from `ops`. The text order is then generation by generation, as `networkx.topological_sort` gives it.
        `max_depth` lets operands be drawn only from nodes less deep than that (None: no limit).
        `seed`: an int gives the same graph every time; a Generator is advanced; None is different every time.

        Raises `GraphArgumentError` for an argument outside its range, `UnknownOperationError` for one of `ops`.
        """
        check_limits(modulus, n_variables, max_operands)
        n_nodes = check_whole_number("n_nodes", n_nodes, 1, n_variables)
        n_leaves = check_whole_number("n_leaves", n_leaves, 1)
        if n_leaves > n_nodes:
            problem = f"n_leaves is {n_leaves} and n_nodes is {n_nodes}, and leaves are nodes too"
            allowed = f"Allowed: n_leaves from 1 to n_nodes ({n_nodes}), or at least {n_leaves} nodes"
            raise GraphArgumentError(problem, allowed)
        if max_depth is not None:
            check_whole_number("max_depth", max_depth, 0 if n_leaves == n_nodes else 1)
        ops = _check_operations(ops)
        nodes = _sample_nodes(
            _generator(seed), n_nodes, ops, n_leaves, max_operands, modulus, max_depth, n_variables
        )
        return cls(nodes, modulus, n_variables)

    @classmethod
    def from_json(cls, text: str) -> ComputationGraph:
        """The graph of a JSON object as `to_json` writes it; only its `equations` are required.

        Defaults: modulus 23, n_variables 128, max_operands 3, free names mapped as by `parse`. Where `n_nodes`, `ops`,
        `values` or `depths` are given they must agree with the equations; other keys are ignored.
        Raises `GraphFormatError` for what is not such an object, otherwise as `parse`.
        """
        data = _json_object(text)
        sizes = {"modulus": 23, "n_variables": 128, "max_operands": _MAX_OPERANDS}
        for key in sizes:
            if type(value := data.get(key, sizes[key])) is not int:
                raise GraphFormatError(f"'{key}' is {clip(repr(value))}", "Allowed: a whole number")
            sizes[key] = value
        equations = data.get("equations")
        if not isinstance(equations, list) or not all(
            isinstance(e, str) for e in cast("list[object]", equations)
        ):
            problem = (
                f"'equations' is {clip(repr(equations))}"
                if "equations" in data
                else "There are no 'equations'"
            )
            raise GraphFormatError(problem, "Allowed: a list of strings such as ['20 = x_7', 'x_7 = x_1']")
        graph = cls.from_equations(cast("list[str]", equations), **sizes)
        if "variables" in data:
            graph = _with_variables(graph, data["variables"])
        _check_claims(graph, data)
        return graph

    # ---- text and JSON -------------------------------------------------------------------------------------------

    @property
    def equations(self) -> list[str]:
        """One canonical string per node, in text order, with own names: `20 = x_7`, `x_7 ADD x_42 = total`."""
        return [self.equation(index) for index in range(len(self.nodes))]

    def equation(self, index: int) -> str:
        """The canonical equation of one node."""
        node = self.nodes[index]
        words = [str(node.value)] if node.value is not None else [self.nodes[node.operands[0]].name]
        for operation, operand in zip(node.operations, node.operands[1:], strict=True):
            words += [operation, self.nodes[operand].name]
        return f"{' '.join(words)} = {node.name}"

    def to_text(self, sep: str = "; ") -> str:
        """The equations joined by `sep`."""
        return sep.join(self.equations)

    def to_json(self) -> str:
        """One line of JSON that `from_json` turns into an equal graph; values and depths are there for other readers."""
        data = {
            "n_nodes": len(self),
            "ops": list(self.ops),
            "equations": self.equations,
            "values": self.evaluate(),
            "depths": self.depths(),
            "variables": {node.name: node.variable for node in self.nodes},
            "modulus": self.modulus,
            "n_variables": self.n_variables,
            "max_operands": max(_MAX_OPERANDS, *(len(node.operands) for node in self.nodes)),
        }
        return json.dumps(data, ensure_ascii=False)

    # ---- the oracle ----------------------------------------------------------------------------------------------

    @cached_property
    def values_by_node(self) -> tuple[int, ...]:
        """The value of every node, 0..modulus-1, in text order."""
        values: list[int] = []
        for node in self.nodes:
            if node.value is not None:
                values.append(node.value)
                continue
            total = values[node.operands[0]]
            for operation, operand in zip(node.operations, node.operands[1:], strict=True):
                total = OPERATIONS[operation](total, values[operand]) % self.modulus
            values.append(total)
        return tuple(values)

    @cached_property
    def depths_by_node(self) -> tuple[int, ...]:
        """The depth of every node, in text order."""
        depths: list[int] = []
        for node in self.nodes:
            depths.append(1 + max([depths[operand] for operand in node.operands], default=-1))
        return tuple(depths)

    def evaluate(self) -> dict[str, int]:
        """Own name -> value, in text order."""
        return {node.name: value for node, value in zip(self.nodes, self.values_by_node, strict=True)}

    def depths(self) -> dict[str, int]:
        """Own name -> depth, in text order."""
        return {node.name: depth for node, depth in zip(self.nodes, self.depths_by_node, strict=True)}

    def __len__(self) -> int:
        """The number of nodes, leaves among them."""
        return len(self.nodes)

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """The operations that occur, in the order ADD, SUB, MUL."""
        used = {operation for node in self.nodes for operation in node.operations}
        return tuple(operation for operation in OPERATIONS if operation in used)

    def to_networkx(self) -> networkx.DiGraph[str]:
        """A `networkx.DiGraph` of own names with edges operand -> result.

        Node attributes: variable, value (true), depth, leaf, equation. Edge attributes: position of the operand in the
        equation (from 0) and operation, the one in front of it (None for the first).
        """
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        for index, node in enumerate(self.nodes):
            graph.add_node(
                node.name,
                variable=node.variable,
                value=self.values_by_node[index],
                depth=self.depths_by_node[index],
                leaf=node.value is not None,
                equation=self.equation(index),
            )
            for position, operand in enumerate(node.operands):
                operation = node.operations[position - 1] if position else None
                graph.add_edge(self.nodes[operand].name, node.name, position=position, operation=operation)
        return graph


def _check_node(index: int, node: Node, graph: ComputationGraph) -> None:
    """Raise `GraphStructureError` unless the node can stand at this place of the graph."""
    rules = (
        (
            0 <= node.variable < graph.n_variables,
            f"its variable is {node.variable}, allowed are 0 to {graph.n_variables - 1}",
        ),
        (
            is_name(node.name),
            "allowed names: a letter or '_', then letters, digits, '_'; no word of an operation",
        ),
        (
            variable_index(node.name) is None or node.name == f"x_{node.variable}",
            f"its variable is {node.variable}, and names x_k belong to variable k",
        ),
        (
            (node.value is None) == bool(node.operands),
            "allowed are either operands (value None) or, for a leaf, a value",
        ),
        (
            node.value is None or 0 <= node.value < graph.modulus,
            f"its value is {node.value}, allowed are 0 to {graph.modulus - 1}",
        ),
        (
            all(0 <= operand < index for operand in node.operands),
            f"its operands are nodes {node.operands}, allowed are those before it, from 0 to {index - 1}",
        ),
        (
            len(set(node.operands)) == len(node.operands),
            f"its operands {node.operands} are not all different",
        ),
        (
            len(node.operations) == max(0, len(node.operands) - 1)
            and all(operation in OPERATIONS for operation in node.operations),
            f"its operations are {node.operations}, allowed is one of {', '.join(OPERATIONS)} between any two operands",
        ),
    )
    for holds, problem in rules:
        if not holds:
            raise GraphStructureError(f"Node {index} '{clip(node.name)}': {problem}")


def _check_operations(ops: Sequence[str]) -> tuple[str, ...]:
    if isinstance(ops, str) or not ops:
        raise GraphArgumentError(
            f"ops is {ops!r}", f"Allowed: a list of at least one of {', '.join(OPERATIONS)}"
        )
    for operation in ops:
        if operation not in OPERATIONS:
            allowed = f"Allowed: {', '.join(OPERATIONS)}"
            raise UnknownOperationError(
                f"ops has {clip(repr(operation))}, which is not an operation", allowed
            )
    if len(set(ops)) < len(ops):
        raise GraphArgumentError(f"ops is {tuple(ops)}", "Allowed: each operation once")
    return tuple(ops)


def _generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    if seed is None or isinstance(seed, np.random.Generator):
        return np.random.default_rng(seed)
    return np.random.default_rng(check_whole_number("seed", seed, 0))


def _sample_nodes(
    rng: np.random.Generator,
    n_nodes: int,
    ops: tuple[str, ...],
    n_leaves: int,
    max_operands: int,
    modulus: int,
    max_depth: int | None,
    n_variables: int,
) -> tuple[Node, ...]:
    """Draw the nodes in the order they are made, then put them in text order."""
    variables: list[int] = rng.permutation(n_variables)[:n_nodes].tolist()
    values: list[int] = rng.integers(0, modulus, n_leaves).tolist()
    choices: list[list[int]] = rng.integers(0, len(ops), (n_nodes, max_operands - 1)).tolist()
    uniforms: list[list[float]] = rng.random((n_nodes, max_operands + 1)).tolist()
    operands: list[list[int]] = [[] for _ in range(n_leaves)]
    depths = [0] * n_leaves
    eligible = list(range(n_leaves))
    for node in range(n_leaves, n_nodes):
        draw = uniforms[node]
        n_operands = 1 + int(draw[0] * min(max_operands, len(eligible)))
        for place in range(n_operands):  # the first places of a shuffle of the eligible nodes
            other = place + int(draw[place + 1] * (len(eligible) - place))
            eligible[place], eligible[other] = eligible[other], eligible[place]
        operands.append(eligible[:n_operands])
        depths.append(1 + max(depths[operand] for operand in operands[node]))
        if max_depth is None or depths[node] < max_depth:
            eligible.append(node)
    order = _generation_order(operands, depths)
    place_of = {node: place for place, node in enumerate(order)}
    return tuple(
        Node(
            variable=variables[node],
            name=f"x_{variables[node]}",
            operands=tuple([place_of[operand] for operand in operands[node]]),
            operations=tuple([ops[choice] for choice in choices[node][: max(0, len(operands[node]) - 1)]]),
            value=values[node] if node < n_leaves else None,
        )
        for node in order
    )


def _generation_order(operands: Sequence[Sequence[int]], depths: Sequence[int]) -> list[int]:
    """Nodes by depth; in one depth by the place of the operand that comes last, then as made (Kahn, breadth first)."""
    generations: list[list[int]] = [[] for _ in range(max(depths) + 1)]
    for node, depth in enumerate(depths):
        generations[depth].append(node)
    place: dict[int, int] = {}
    for generation in generations:
        generation.sort(key=lambda node: max([place[operand] for operand in operands[node]], default=0))
        for node in generation:
            place[node] = len(place)
    return list(place)


def _json_object(text: str) -> dict[str, Any]:
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphFormatError(f"This is not JSON ({error}): {clip(text)!r}", "Allowed: an object") from error
    if not isinstance(data, dict):
        raise GraphFormatError(f"The JSON is {clip(repr(data))}", "Allowed: an object with 'equations'")
    return cast("dict[str, Any]", data)


def _with_variables(graph: ComputationGraph, variables: object) -> ComputationGraph:
    """The graph with the vocabulary variables that a JSON object gives to its names."""
    names = [node.name for node in graph.nodes]
    given = cast("dict[str, object]", variables) if isinstance(variables, dict) else {}
    if set(given) != set(names) or any(type(index) is not int for index in given.values()):
        allowed = "Allowed: an object with a whole number for each name of the equations, and no other name"
        raise GraphFormatError(f"'variables' is {clip(repr(variables))}", allowed)
    nodes = (replace(node, variable=cast("int", given[node.name])) for node in graph.nodes)
    return ComputationGraph(tuple(nodes), graph.modulus, graph.n_variables)


def _check_claims(graph: ComputationGraph, data: Mapping[str, Any]) -> None:
    """Raise `GraphFormatError` where a JSON object says of its equations what is not so."""
    truth = {"n_nodes": len(graph), "values": graph.evaluate(), "depths": graph.depths()}
    for key, true in truth.items():
        if key in data and data[key] != true:
            problem = f"'{key}' is {clip(repr(data[key]))}, the equations say {clip(repr(true))}"
            raise GraphFormatError(problem, f"Correct '{key}' or leave it out")
    if "ops" in data and not (
        isinstance(data["ops"], list) and set(graph.ops) <= set(cast("list[str]", data["ops"]))
    ):
        problem = f"'ops' is {clip(repr(data['ops']))}, the equations use {list(graph.ops)}"
        raise GraphFormatError(problem, "Allowed: a list with at least these, or leave it out")
