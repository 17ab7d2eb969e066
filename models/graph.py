"""The task: modular arithmetic on a computational graph, and its symbolic oracle (Altabaa et al. 2025,
arXiv 2510.14095).

A graph is a tuple of nodes in topological order, the order of its text. A leaf has a value in 0..modulus-1.
Any other node is computed from different earlier nodes, from left to right with no precedence, every
operation modulo `modulus`. Depth of a leaf: 0; of any other node: 1 + the largest depth of its operands.
Nothing here needs torch.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from models.bounds import LARGEST_JSON, LONGEST_NAME, json_problem
from models.graph_errors import (
    EmptyInputError,
    GraphArgumentError,
    GraphError,
    GraphFormatError,
    GraphStructureError,
    TextTooLongError,
    check_whole_number,
    clip,
)
from models.one_line import in_one_line
from models.operations import OPERATIONS, apply_operations
from models.parsing import Node, is_name, parse_nodes, variable_index
from models.sampling import sample_nodes

if TYPE_CHECKING:
    import networkx

__all__ = ["OPERATIONS", "ComputationGraph", "GraphError", "Node"]

_MAX_OPERANDS: Final = 3


@dataclass(frozen=True)
class ComputationGraph:
    """A DAG of modular arithmetic: `nodes` in text order, which is topological; immutable and hashable.

    Raises `GraphStructureError` where the nodes are not such a graph, `GraphArgumentError` for impossible
    sizes.

    Examples:
        >>> from models import ComputationGraph
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a * b = c; c - a + b = d")
        >>> graph.evaluate()
        {'a': 20, 'b': 2, 'c': 17, 'd': 22}
        >>> graph.depths()
        {'a': 0, 'b': 0, 'c': 1, 'd': 2}
    """

    nodes: tuple[Node, ...]
    modulus: int = 23
    n_variables: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "modulus", check_whole_number("modulus", self.modulus, 2))
        object.__setattr__(self, "n_variables", check_whole_number("n_variables", self.n_variables, 1))
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

    @classmethod
    def parse(
        cls, text: str, modulus: int = 23, n_variables: int = 128, max_operands: int = _MAX_OPERANDS
    ) -> ComputationGraph:
        """The graph of a text such as `20 = x_7; 2 = x_42; x_7 + x_42 = total`; grammar: `models.parsing`.

        Keeps the order typed if it is topological. Raises the `GraphError` of the first mistake, and nothing
        else.
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
        """As `parse`, from one string per equation."""
        if isinstance(equations, str):
            raise GraphArgumentError("equations is one string", "Allowed: a list; a text is for parse()")
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
        """A random graph with the distribution of the paper's generator (Altabaa et al. 2025).

        Names are drawn without replacement. Nodes are made one after the other: first `n_leaves` leaves with
        uniform values; then each node draws its number of operands uniformly from 1..max_operands (at most as
        many as there are nodes to choose from), that many different earlier nodes in random order, and each
        operation uniformly from `ops`. The text order is then generation by generation, as
        `networkx.topological_sort` gives it. `max_depth` lets operands be drawn only from nodes less deep
        than that (None: no limit). `seed`: an int gives the same graph every time, a Generator is advanced,
        None gives another graph every time.

        Raises `GraphArgumentError` for an argument outside its range: 1 <= n_leaves <= n_nodes <=
        n_variables, max_operands >= 1, modulus >= 2, max_depth >= 1 (0 if all nodes are leaves), seed >= 0,
        `ops` not empty and without repetition; `UnknownOperationError` for one of `ops` that is none of
        `OPERATIONS`.
        """
        nodes = sample_nodes(n_nodes, ops, n_leaves, max_operands, modulus, seed, max_depth, n_variables)
        return cls(nodes, modulus, n_variables)

    @classmethod
    def from_json(cls, text: str, modulus: int = 23, n_variables: int = 128) -> ComputationGraph:
        """The graph of a JSON object as `to_json` writes it; only its `equations` are required.

        Where the object does not say: `modulus` and `n_variables` as given here, max_operands 3, free names mapped as
        by `parse`. Where `n_nodes`, `ops`, `values` or `depths` are given they must agree with the equations; other
        keys are ignored. Raises `GraphFormatError` for what is not such an object, otherwise as `parse`.
        """
        data = _json_object(text)
        sizes = {"modulus": modulus, "n_variables": n_variables, "max_operands": _MAX_OPERANDS}
        for key in sizes:
            if type(value := data.get(key, sizes[key])) is not int:
                raise GraphFormatError(f"'{key}' is {reprlib.repr(value)}", "Allowed: a whole number")
            sizes[key] = value
        equations: object = data.get("equations")
        parts = cast("list[object]", equations) if isinstance(equations, list) else [None]
        if not all(isinstance(part, str) for part in parts):
            given = (
                f"'equations' is {reprlib.repr(data['equations'])}"
                if "equations" in data
                else "There are no 'equations'"
            )
            raise GraphFormatError(given, "Allowed: a list of strings such as ['20 = x_7', 'x_7 = x_1']")
        graph = cls.from_equations(cast("list[str]", parts), **sizes)
        if "variables" in data:
            graph = _with_variables(graph, data["variables"])
        _check_claims(graph, data)
        return graph

    @property
    def equations(self) -> list[str]:
        """One canonical string per node, in text order, own names: `20 = x_7`, `x_7 ADD x_42 = total`."""
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
        """One line of JSON; `from_json` gives an equal graph. Values and depths are for other readers."""
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

    @cached_property
    def values_by_node(self) -> tuple[int, ...]:
        """The value of every node, 0..modulus-1, in text order."""
        values: list[int] = []
        for node in self.nodes:
            read = [values[operand] for operand in node.operands]
            known = node.value
            values.append(apply_operations(node.operations, read, self.modulus) if known is None else known)
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

    def __repr__(self) -> str:
        text, depth = clip(self.to_text(), 80), max(self.depths_by_node)
        return in_one_line("ComputationGraph", repr(text), nodes=len(self), depth=depth, modulus=self.modulus)

    def __len__(self) -> int:
        """The number of nodes, leaves among them."""
        return len(self.nodes)

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """The operations that occur, in the order of `OPERATIONS`."""
        return OPERATIONS.ordered(operation for node in self.nodes for operation in node.operations)

    def to_networkx(self) -> networkx.DiGraph[str]:
        """A `networkx.DiGraph` of own names with edges operand -> result.

        Node attributes: variable, value (true), depth, leaf, equation. Edge attributes: position of the
        operand in the equation (from 0) and operation, the one in front of it (None for the first).
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
    own = variable_index(node.name)
    if not 0 <= node.variable < graph.n_variables:
        problem = f"its variable is {node.variable}, allowed are 0 to {graph.n_variables - 1}"
    elif not is_name(node.name):
        problem = "allowed names: a letter or '_', then letters, digits, '_'; no word of an operation"
    elif len(node.name) > LONGEST_NAME:
        problem = f"its name has {len(node.name)} characters, allowed are at most {LONGEST_NAME}"
    elif own is not None and node.name != f"x_{node.variable}":
        problem = f"its variable is {node.variable}, and the name x_k belongs to variable k alone"
    elif (node.value is None) != bool(node.operands):
        problem = "allowed are either operands or, for a leaf, a value"
    elif node.value is not None and not 0 <= node.value < graph.modulus:
        problem = f"its value is {node.value}, allowed are 0 to {graph.modulus - 1}"
    elif any(not 0 <= operand < index for operand in node.operands):
        problem = f"its operands are the nodes {node.operands}, allowed are the {index} before it"
    elif len(set(node.operands)) < len(node.operands):
        problem = f"its operands {node.operands} are not all different"
    elif len(node.operations) != max(0, len(node.operands) - 1) or not OPERATIONS.keys() >= {
        *node.operations
    }:
        allowed = f"allowed is one of {', '.join(OPERATIONS)} between two operands"
        problem = f"its operations are {node.operations}, {allowed}"
    else:
        return
    raise GraphStructureError(f"Node {index} '{clip(node.name)}': {problem}")


def _json_object(text: str) -> dict[str, Any]:
    if len(text) > LARGEST_JSON:
        raise TextTooLongError(f"The JSON has {len(text)} characters", f"Allowed: at most {LARGEST_JSON}")
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        allowed = "Allowed: an object; what is cut short is not valid JSON"
        raise GraphFormatError(
            f"This is not JSON ({json_problem(error)}): {clip(text)!r}", allowed
        ) from error
    if not isinstance(data, dict):
        raise GraphFormatError(f"The JSON is {clip(text)!r}", "Allowed: an object with 'equations'")
    return cast("dict[str, Any]", data)


def _with_variables(graph: ComputationGraph, variables: object) -> ComputationGraph:
    """The graph with the vocabulary variables that a JSON object gives to its names."""
    names = [node.name for node in graph.nodes]
    given = cast("dict[str, object]", variables) if isinstance(variables, dict) else {}
    if set(given) != set(names) or any(type(index) is not int for index in given.values()):
        allowed = "Allowed: an object with a whole number for each name of the equations, and no other name"
        raise GraphFormatError(f"'variables' is {reprlib.repr(cast('object', variables))}", allowed)
    nodes = (replace(node, variable=cast("int", given[node.name])) for node in graph.nodes)
    return ComputationGraph(tuple(nodes), graph.modulus, graph.n_variables)


def _check_claims(graph: ComputationGraph, data: Mapping[str, Any]) -> None:
    """Raise `GraphFormatError` where a JSON object says of its equations what is not so."""
    truth = {"n_nodes": len(graph), "values": graph.evaluate(), "depths": graph.depths()}
    for key, true in truth.items():
        if key in data and data[key] != true:
            problem = f"'{key}' is {reprlib.repr(data[key])}, the equations say {reprlib.repr(true)}"
            raise GraphFormatError(problem, f"Correct '{key}' or leave it out")
    listed: object = data.get("ops", list(graph.ops))
    if not isinstance(listed, list) or not all(name in cast("list[object]", listed) for name in graph.ops):
        problem = f"'ops' is {reprlib.repr(data['ops'])}, the equations use {list(graph.ops)}"
        raise GraphFormatError(problem, "Allowed: a list with at least these, or leave it out")
