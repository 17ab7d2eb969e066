"""Text <-> four factors per position <-> one packed id per position (paper.md, section 2).

A position carries one symbol of each factor. A leaf `20 = x_7` is three tokens, a node of k operands 2k + 1, and one
`[sep]` stands between two equations. The value factor is the value itself at a leaf's value token, EMPTY at every
variable token of the state before step 0, and N/A elsewhere; a solved state differs at right-hand sides only.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from models.graph import OPERATIONS, ComputationGraph

FACTORS: Final = ("syntax", "variable", "operation", "value")
SYNTAX: Final = ("variable", "operation", "value", "=", "[sep]", "[pad]")
N_A: Final = "N/A"
EMPTY: Final = "EMPTY"

_VARIABLE, _OPERATION, _VALUE, _EQUALS, _SEP, _PAD = range(len(SYNTAX))


class VocabularyError(ValueError):
    """A graph, symbol or id that the vocabulary does not have."""


@dataclass(frozen=True, eq=False)
class EncodedGraphs:
    """Graphs as tensors, padded on the right; -1 where there is no such node or operand.

    factors  int64 [batch, pos, factor]    the state before step 0: every variable EMPTY
    packed   int64 [batch, pos]            the same, one id per position
    mask     bool  [batch, pos]            True at tokens, False at padding
    rhs      int64 [batch, node]           position where the node's value appears
    operands       int64 [batch, node, operand]  position of each operand token, on the left-hand side
    operand_nodes  int64 [batch, node, operand]  node whose value that operand is
    operations     int64 [batch, node, operand]  symbol of the operation in front of the operand (-1 at the first)
    values   int64 [batch, node]           true values, 0..modulus-1
    depths   int64 [batch, node]           depths

    Nodes are in text order; the operand axis is as long as the widest node of the batch, and at least 1.
    """

    graphs: tuple[ComputationGraph, ...]
    factors: Tensor
    packed: Tensor
    mask: Tensor
    rhs: Tensor
    operands: Tensor
    operand_nodes: Tensor
    operations: Tensor
    values: Tensor
    depths: Tensor

    def __len__(self) -> int:
        """The number of graphs."""
        return len(self.graphs)

    def to(self, device: torch.device | str) -> EncodedGraphs:
        """The same graphs with every tensor on the device."""
        tensors = {field.name: getattr(self, field.name).to(device) for field in fields(self)[1:]}
        return EncodedGraphs(self.graphs, **tensors)


@dataclass(frozen=True)
class FactoredVocabulary:
    """The symbols of the four factors; hashable. Raises `VocabularyError` for sizes that make no vocabulary.

    Symbols, in the order of their ids: syntax `SYNTAX`; variable x_0.., N/A; operation `ops`, N/A; value 0.., N/A, EMPTY.
    """

    n_variables: int = 128
    modulus: int = 23
    ops: tuple[str, ...] = ("ADD",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        if self.n_variables < 1 or self.modulus < 2:
            given = f"n_variables is {self.n_variables} and modulus {self.modulus}"
            raise VocabularyError(f"{given}. Allowed: n_variables of at least 1, modulus of at least 2")
        if not self.ops or len(set(self.ops)) < len(self.ops) or not set(self.ops) <= set(OPERATIONS):
            allowed = f"Allowed: at least one of {', '.join(OPERATIONS)}, each once"
            raise VocabularyError(f"ops is {self.ops}. {allowed}")

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """The number of symbols of each factor."""
        return len(SYNTAX), self.n_variables + 1, len(self.ops) + 1, self.modulus + 2

    @property
    def offsets(self) -> tuple[int, int, int, int]:
        """Where each factor starts in the concatenation of the factors."""
        syntax, variable, operation, _ = self.sizes
        return 0, syntax, syntax + variable, syntax + variable + operation

    @property
    def d_vocab(self) -> int:
        """The length of the concatenation: the number of symbols of all factors together."""
        return sum(self.sizes)

    @property
    def n_packed(self) -> int:
        """The number of packed ids: one for every combination of four symbols."""
        syntax, variable, operation, value = self.sizes
        return syntax * variable * operation * value

    @property
    def empty(self) -> int:
        """The id of EMPTY in the value factor."""
        return self.modulus + 1

    def n_a(self, factor: str) -> int:
        """The id of N/A in a factor; raises `VocabularyError` for syntax, which has none."""
        absent = (None, self.n_variables, len(self.ops), self.modulus)[_factor_index(factor)]
        if absent is None:
            raise VocabularyError("The syntax factor has no N/A. Allowed: variable, operation, value")
        return absent

    def slice(self, factor: str) -> builtins.slice[int, int, None]:
        """Where the factor's symbols are in the concatenation of the factors."""
        index = _factor_index(factor)
        return builtins.slice(self.offsets[index], self.offsets[index] + self.sizes[index])

    def symbols(self, factor: str) -> tuple[str, ...]:
        """The factor's symbols, in the order of their ids."""
        return (
            SYNTAX,
            (*(f"x_{index}" for index in range(self.n_variables)), N_A),
            (*self.ops, N_A),
            (*(str(value) for value in range(self.modulus)), N_A, EMPTY),
        )[_factor_index(factor)]

    def symbol_id(self, factor: str, symbol: str) -> int:
        """The id of a symbol; raises `VocabularyError` if the factor does not have it."""
        symbols = self.symbols(factor)
        if symbol not in symbols:
            shown = symbols if len(symbols) <= 6 else (*symbols[:2], "...", *symbols[-3:])
            raise VocabularyError(f"There is no {factor} {symbol!r}. Allowed: {', '.join(shown)}")
        return symbols.index(symbol)

    # ---- factors <-> packed --------------------------------------------------------------------------------------

    def pack(self, factors: Tensor) -> Tensor:
        """Factors int [..., factor] -> one id int64 [...], with the value as the lowest digit of a mixed radix.

        Raises `VocabularyError` for another last axis than 4, and for an id outside its factor.
        """
        if factors.ndim == 0 or factors.shape[-1] != len(FACTORS):
            raise VocabularyError(
                f"Factors have shape {tuple(factors.shape)}. Allowed: [..., {len(FACTORS)}]"
            )
        syntax, variable, operation, value = factors.long().unbind(-1)
        for name, size, ids in zip(FACTORS, self.sizes, (syntax, variable, operation, value), strict=True):
            _check_ids(name, ids, size)
        _, n_variables, n_operations, n_values = self.sizes
        return ((syntax * n_variables + variable) * n_operations + operation) * n_values + value

    def unpack(self, packed: Tensor) -> Tensor:
        """One id int [...] -> factors int64 [..., factor]; raises `VocabularyError` for an id outside 0..n_packed-1."""
        _check_ids("packed", packed, self.n_packed)
        rest = packed.long()
        digits: list[Tensor] = []
        for size in self.sizes[:0:-1]:
            digits.append(rest % size)
            rest = rest // size
        return torch.stack([rest, *reversed(digits)], dim=-1)

    # ---- graphs and text -> factors ------------------------------------------------------------------------------

    def encode(self, graphs: ComputationGraph | str | Sequence[ComputationGraph | str]) -> EncodedGraphs:
        """Graphs, or texts to be parsed, as one padded batch of CPU tensors in the state before step 0.

        Raises `VocabularyError` for no graph, and for one with a modulus, variables or operations that are not in the
        vocabulary; `GraphError` for a text that is not a graph.
        """
        batch = self._accept(graphs)
        nodes = [node for graph in batch for node in graph.nodes]
        n_nodes = torch.tensor([len(graph) for graph in batch])
        row = torch.repeat_interleave(n_nodes)
        widths = torch.tensor([len(node.operands) for node in nodes])
        lengths = (2 * widths + 1).clamp(min=3)
        n_pos = torch.zeros_like(n_nodes).index_add_(0, row, lengths + 1) - 1
        first_node = n_nodes.cumsum(0) - n_nodes
        index = torch.arange(len(nodes)) - first_node[row]
        begin = (lengths + 1).cumsum(0) - (lengths + 1)
        begin = begin - begin[first_node][row]
        rhs = begin + lengths - 1
        shape = (len(batch), int(n_pos.max()))
        node_shape = (len(batch), int(n_nodes.max()))

        syntax = torch.full(shape, _PAD)
        variable = torch.full(shape, self.n_a("variable"))
        operation = torch.full(shape, self.n_a("operation"))
        value = torch.full(shape, self.n_a("value"))
        mask = torch.arange(shape[1]) < n_pos[:, None]

        variable_of = torch.tensor([node.variable for node in nodes])
        syntax[row, rhs - 1] = _EQUALS
        syntax[row, rhs] = _VARIABLE
        variable[row, rhs] = variable_of
        value[row, rhs] = self.empty
        between = index < n_nodes[row] - 1
        syntax[row[between], rhs[between] + 1] = _SEP
        leaf = widths == 0
        syntax[row[leaf], begin[leaf]] = _VALUE
        value[row[leaf], begin[leaf]] = torch.tensor(
            [node.value for node in nodes if node.value is not None], dtype=torch.int64
        )

        owner = torch.repeat_interleave(widths)  # of every operand, the node that has it
        place = torch.arange(len(owner)) - (widths.cumsum(0) - widths)[owner]
        operand_node = torch.tensor([o for node in nodes for o in node.operands], dtype=torch.int64)
        position = begin[owner] + 2 * place
        syntax[row[owner], position] = _VARIABLE
        variable[row[owner], position] = variable_of[first_node[row[owner]] + operand_node]
        value[row[owner], position] = self.empty
        later = place > 0
        ids = {name: number for number, name in enumerate(self.ops)}
        symbol = torch.tensor([ids[name] for node in nodes for name in node.operations], dtype=torch.int64)
        syntax[row[owner[later]], position[later] - 1] = _OPERATION
        operation[row[owner[later]], position[later] - 1] = symbol

        operand_shape = (*node_shape, max(1, int(widths.max())))
        operands = torch.full(operand_shape, -1)
        operand_nodes = torch.full(operand_shape, -1)
        operations = torch.full(operand_shape, -1)
        cell = (row[owner], index[owner], place)
        operands[cell] = position
        operand_nodes[cell] = operand_node
        operations[row[owner[later]], index[owner[later]], place[later]] = symbol

        def per_node(flat: Tensor) -> Tensor:
            padded = torch.full(node_shape, -1)
            padded[row, index] = flat
            return padded

        factors = torch.stack([syntax, variable, operation, value], dim=-1)
        return EncodedGraphs(
            graphs=batch,
            factors=factors,
            packed=self.pack(factors),
            mask=mask,
            rhs=per_node(rhs),
            operands=operands,
            operand_nodes=operand_nodes,
            operations=operations,
            values=per_node(torch.tensor([v for graph in batch for v in graph.values_by_node])),
            depths=per_node(torch.tensor([d for graph in batch for d in graph.depths_by_node])),
        )

    def _accept(
        self, graphs: ComputationGraph | str | Sequence[ComputationGraph | str]
    ) -> tuple[ComputationGraph, ...]:
        """The graphs, parsed where they are texts, after checking that the vocabulary has all that is in them."""
        items = (graphs,) if isinstance(graphs, ComputationGraph | str) else graphs
        batch = tuple(
            ComputationGraph.parse(item, self.modulus, self.n_variables) if isinstance(item, str) else item
            for item in items
        )
        if not batch:
            raise VocabularyError("There is no graph to encode. Allowed: at least one")
        for number, graph in enumerate(batch):
            missing = [name for name in graph.ops if name not in self.ops]
            if graph.modulus != self.modulus:
                problem = f"has modulus {graph.modulus}. Allowed: {self.modulus}"
            elif graph.n_variables > self.n_variables:
                problem = f"draws on {graph.n_variables} variables. Allowed: up to {self.n_variables}"
            elif missing:
                problem = f"uses {', '.join(missing)}. Allowed: {', '.join(self.ops)}"
            else:
                continue
            raise VocabularyError(f"Graph {number} {problem}, which is what the vocabulary has")
        return batch

    # ---- factors -> text -----------------------------------------------------------------------------------------

    def token_strings(
        self, factors: Tensor, graph: ComputationGraph | Sequence[ComputationGraph] | None = None
    ) -> list[list[str]]:
        """The string of every token, padding included, one list per row of the batch.

        factors: int [batch, pos, factor], or packed ids int [batch, pos] or [pos] (a batch of one). A token is shown as
        its syntax says: a variable's, operation's or value's symbol, or `=`, `[sep]`, `[pad]`.
        graph: whose own names to show for its variables; one for all rows, or one per row.
        Raises `VocabularyError` for another shape, an id outside its factor, or another number of graphs than rows.
        """
        if factors.ndim not in (1, 2, 3):
            allowed = "[batch, pos, 4], or packed ids [batch, pos] or [pos]"
            raise VocabularyError(f"A state has shape {tuple(factors.shape)}. Allowed: {allowed}")
        packed = self.pack(factors) if factors.ndim == 3 else torch.atleast_2d(factors)
        syntax, *ids = self.unpack(packed).unbind(-1)
        shown = torch.stack([*ids, *[syntax] * 3], dim=-1).gather(-1, syntax[..., None])[..., 0]
        rest = [SYNTAX] * 3
        tables = [self.symbols("variable"), self.symbols("operation"), self.symbols("value"), *rest]
        rows: list[list[str]] = []
        kinds: list[list[int]] = syntax.tolist()
        numbers: list[list[int]] = shown.tolist()
        for kind, number, own in zip(kinds, numbers, self._own_names(graph, len(packed)), strict=True):
            tables[_VARIABLE] = own
            rows.append([tables[k][n] for k, n in zip(kind, number, strict=True)])
        return rows

    def decode(
        self, factors: Tensor, graph: ComputationGraph | Sequence[ComputationGraph] | None = None
    ) -> list[str]:
        """The text of every row, tokens separated by spaces and padding left out; arguments as for `token_strings`."""
        rows = self.token_strings(factors, graph)
        return [" ".join(token for token in row if token != SYNTAX[_PAD]) for row in rows]

    def _own_names(
        self, graph: ComputationGraph | Sequence[ComputationGraph] | None, n_rows: int
    ) -> Iterator[tuple[str, ...]]:
        """For each row the strings of the variable symbols."""
        names = self.symbols("variable")
        graphs = [graph] * n_rows if graph is None or isinstance(graph, ComputationGraph) else list(graph)
        if len(graphs) != n_rows:
            raise VocabularyError(
                f"There are {len(graphs)} graphs for {n_rows} rows. Allowed: one, or one per row"
            )
        for one in graphs:
            own = {} if one is None else {node.variable: node.name for node in one.nodes}
            yield tuple(own.get(index, name) for index, name in enumerate(names)) if own else names


def _factor_index(factor: str) -> int:
    if factor not in FACTORS:
        raise VocabularyError(f"There is no factor {factor!r}. Allowed: {', '.join(FACTORS)}")
    return FACTORS.index(factor)


def _check_ids(what: str, ids: Tensor, size: int) -> None:
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise VocabularyError(f"The {what} ids have dtype {ids.dtype}. Allowed: an integer dtype")
    if ids.numel():
        low, high = (int(bound) for bound in torch.aminmax(ids))
        if low < 0 or high >= size:
            wrong = low if low < 0 else high
            raise VocabularyError(f"A {what} id is {wrong}. Allowed: 0 to {size - 1}")
