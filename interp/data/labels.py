"""What the oracle says of every token of a graph: its role, node, values, depth, operands; and when, by the schedule.

A row is one token. It belongs to the node whose equation it stands in (a separator to the equation before it), so
``depth``, ``status``, ``n_operands``, ``operation`` and ``operand_k`` describe that equation. ``name`` and ``value``
describe what stands AT the token: of the operand at an operand token, of the node at a right-hand side.

The schedule is that of the synchronous algorithm (:mod:`interp.synchronous`): from all EMPTY, a node of depth d is
written by step d, so in the state that enters step t it waits for its operands while t < d, is due at t == d, and
shows its value when t > d.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from torch import Tensor

from models.graph import ComputationGraph
from models.vocabulary import SYNTAX, EncodedGraphs

STATUSES: Final = ("waiting", "computing", "done")
"""Of a node in the state that enters a step, by the schedule above; ``step_labels["status"]`` are indices into it."""
ROLES: Final = ("rhs", "operand", "leaf value", "operation", "equals", "separator")
"""What a token is in its equation."""
Positions = Literal["rhs", "operands", "all"]
Integers = NDArray[np.int32]

_OPERANDS: Final = 3
_NODE_COLUMNS: Final = ("depth", "n_operands", "operation")


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Rows of a batch of graphs, graph by graph, from left to right.

    graph     int [row]           index in the batch
    pos       int [row]           position in the text
    node_pos  int [row]           where the row's node shows its value
    operand_pos int [row, operand]  where its operands show theirs; -1: no such operand
    columns   name -> int [row]   labels; ``role`` and ``operation`` as indices
    """

    graph: NDArray[np.int64]
    pos: NDArray[np.int64]
    node_pos: NDArray[np.int64]
    operand_pos: NDArray[np.int64]
    columns: Mapping[str, Integers]

    def step_labels(self, entering: Integers, written: Integers) -> dict[str, Integers]:
        """Value symbols int [row] of a step, from those of the states int [batch, pos] before and after it."""
        found = {"shown": entering[self.graph, self.node_pos], "written": written[self.graph, self.node_pos]}
        for k, pos in enumerate(self.operand_pos.T, start=1):
            found[f"operand_shown_{k}"] = np.where(pos < 0, -1, entering[self.graph, pos]).astype(np.int32)
        return found


def check_positions(positions: str) -> Positions:
    """``positions`` where they are known; raises ValueError otherwise."""
    if positions not in get_args(Positions):
        raise ValueError(
            f"positions is {positions!r}; allowed are {', '.join(map(repr, get_args(Positions)))}"
        )
    return cast(Positions, positions)


def n_tokens(graph: ComputationGraph) -> int:
    """Length of a graph's text: 3 tokens for a leaf, 2k + 1 for k operands, one separator between equations."""
    return sum(2 * max(len(node.operands), 1) + 2 for node in graph.nodes) - 1


def n_rows(graph: ComputationGraph, positions: Positions) -> int:
    """How many rows a graph has."""
    if positions == "rhs":
        return len(graph)
    return n_tokens(graph) if positions == "all" else sum(len(node.operands) for node in graph.nodes)


def n_operand_columns(graphs: Sequence[ComputationGraph]) -> int:
    """How many operands are labelled: 3, or as many as the widest node has."""
    return max(_OPERANDS, *(len(node.operands) for graph in graphs for node in graph.nodes))


def operation_names(ops: Sequence[str]) -> tuple[str, ...]:
    """Values of the label ``operation``: ``copy`` is a node of one operand, ``mixed`` one of different operations."""
    return ("leaf", "copy", *ops, "mixed")


def token_rows(
    encoded: EncodedGraphs, positions: Positions, ops: Sequence[str], n_operands: int = _OPERANDS
) -> TokenRows:
    """The rows of a batch and their labels; ``ops``: those of the vocabulary, ``n_operands``: how many are labelled."""
    nodes = _node_labels(encoded, ops, n_operands)
    variable = _numpy(encoded.factors[..., 1])
    role, node, operand = _structure(encoded)
    chosen = {"rhs": role == 0, "operands": role == 1, "all": role >= 0}[positions]
    graph, pos = chosen.nonzero()
    role, node, operand = role[chosen], node[chosen], operand[chosen]
    of_node = {name: column[graph, node] for name, column in nodes.items()}
    stands = np.where(role == 1, _operand_value(of_node, operand, n_operands), of_node["value"])
    columns: dict[str, NDArray[np.int64]] = {
        "node": node,
        "pos": pos,
        "role": role,
        "operand": operand,
        "name": np.where(role <= 1, variable[graph, pos], -1),
        "value": np.where(role <= 2, stands, -1),
        **{name: of_node[name] for name in _NODE_COLUMNS},
        **{name: column for name, column in of_node.items() if name.startswith("operand")},
    }
    rhs, named = _numpy(encoded.rhs), _padded(encoded.operand_nodes, n_operands)
    operand_rhs = np.where(named < 0, -1, rhs[np.arange(len(rhs))[:, None, None], named])
    return TokenRows(
        graph=graph,
        pos=pos,
        node_pos=rhs[graph, node],
        operand_pos=operand_rhs[graph, node],
        columns={name: column.astype(np.int32) for name, column in columns.items()},
    )


def statuses(depth: Integers, step: int) -> Integers:
    """Index into :data:`STATUSES` of nodes of these depths int [row] in the state that enters ``step``."""
    return (np.sign(step - depth) + 1).astype(np.int32)


def label_frame(columns: Mapping[str, Integers], ops: Sequence[str]) -> pd.DataFrame:
    """One line per row; ``role`` and ``operation`` as categories."""
    frame = pd.DataFrame(dict(columns))
    for name, symbols in (("role", ROLES), ("operation", operation_names(ops))):
        frame[name] = pd.Categorical.from_codes(  # pyright: ignore[reportUnknownMemberType]
            columns[name], list(symbols)
        )
    return frame


def _structure(
    encoded: EncodedGraphs,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of every position int [batch, pos]: role (-1 at padding), node, number of the operand (-1 where none is)."""
    syntax, rhs, operands = (_numpy(t) for t in (encoded.factors[..., 0], encoded.rhs, encoded.operands))
    row, index = (rhs >= 0).nonzero()
    is_rhs = np.zeros_like(syntax)
    is_rhs[row, rhs[row, index]] = 1
    operand = np.full_like(syntax, -1)
    row, index, place = (operands >= 0).nonzero()
    operand[row, operands[row, index, place]] = place
    kinds = {"value": 2, "operation": 3, "=": 4, "[sep]": 5}
    role = np.full_like(syntax, -1)
    for symbol, number in kinds.items():
        role[syntax == SYNTAX.index(symbol)] = number
    role[syntax == SYNTAX.index("variable")] = 1
    role[is_rhs == 1] = 0
    before = is_rhs.cumsum(1) - is_rhs
    return role, before - (role == 5), operand


def _node_labels(encoded: EncodedGraphs, ops: Sequence[str], n_operands: int) -> dict[str, NDArray[np.int64]]:
    """Labels int [batch, node] that all tokens of an equation share, and the node's value."""
    values, named = _numpy(encoded.values), _padded(encoded.operand_nodes, n_operands)
    rhs = _numpy(encoded.rhs).clip(0)
    variables = np.take_along_axis(_numpy(encoded.factors[..., 1]), rhs, 1)
    operations = _numpy(encoded.operations)
    width = (named >= 0).sum(-1)
    names = operation_names(ops)
    first = operations.max(-1)
    alike = ((operations == first[..., None]) | (operations < 0)).all(-1)
    operation = np.where(alike, 2 + first, names.index("mixed"))
    labels = {
        "value": values,
        "depth": _numpy(encoded.depths),
        "n_operands": width,
        "operation": np.where(width > 1, operation, width),
    }
    graph = np.arange(len(values))[:, None]
    for label, of_node in (("operand_", variables), ("operand_value_", values)):
        for k in range(n_operands):
            labels[f"{label}{k + 1}"] = np.where(named[..., k] < 0, -1, of_node[graph, named[..., k]])
    return labels


def _operand_value(
    of_node: Mapping[str, NDArray[np.int64]], operand: NDArray[np.int64], n_operands: int
) -> NDArray[np.int64]:
    values = np.stack([of_node[f"operand_value_{k}"] for k in range(1, n_operands + 1)])
    return values[operand.clip(0), np.arange(len(operand))]


def _padded(per_operand: Tensor, n_operands: int) -> NDArray[np.int64]:
    """Int [batch, node, operand] with as many operands as are labelled, -1 where there is none."""
    found = _numpy(per_operand)
    more = n_operands - found.shape[-1]
    return np.pad(found, ((0, 0), (0, 0), (0, more)), constant_values=-1)


def _numpy(tensor: Tensor) -> NDArray[np.int64]:
    return tensor.numpy(force=True)
