"""Text <-> four factors per position <-> one packed id per position (Altabaa et al. 2025,
arXiv 2510.14095).

A position carries one symbol of each factor. A leaf `20 = x_7` is three tokens, a node of k operands 2k + 1,
and one `[sep]` stands between two equations. The value factor is the value itself at a leaf's value token,
EMPTY at every variable token of the state before step 0, and N/A elsewhere; a solved state differs at
right-hand sides only.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from models.factors import EMPTY as EMPTY
from models.factors import FACTORS as FACTORS
from models.factors import N_A as N_A
from models.factors import SYNTAX as SYNTAX
from models.graph import ComputationGraph
from models.one_line import in_one_line
from models.operations import OPERATIONS

_VARIABLE, _OPERATION, _VALUE, _EQUALS, _SEP, _PAD = range(len(SYNTAX))


class VocabularyError(ValueError):
    """A graph, symbol or id that the vocabulary does not have."""


@dataclass(frozen=True, eq=False)
class EncodedGraphs:
    """Graphs as tensors, padded on the right; -1 where there is no such node or operand.

    factors        int64 [batch, pos, factor]    the state before step 0: every variable EMPTY
    packed         int64 [batch, pos]            the same, one id per position
    mask           bool  [batch, pos]            True at tokens, False at padding
    rhs            int64 [batch, node]           position where the node's value appears
    operands       int64 [batch, node, operand]  position of the operand's token, on the left-hand side
    operand_nodes  int64 [batch, node, operand]  node whose value the operand is
    operations     int64 [batch, node, operand]  symbol of the operation before the operand (-1 at the first)
    values         int64 [batch, node]           true value, 0..modulus-1
    depths         int64 [batch, node]           depth

    Nodes are in text order; the operand axis is as long as the widest node of the batch, and at least 1.

    Examples:
        >>> from models import FactoredVocabulary
        >>> encoded = FactoredVocabulary().encode("20 = a; 2 = b; a + b = c")
        >>> encoded.rhs.tolist(), encoded.values.tolist(), encoded.depths.tolist()
        ([[2, 6, 12]], [[20, 2, 22]], [[0, 0, 1]])
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

    def __repr__(self) -> str:
        nodes, positions = self.rhs.shape[1], self.mask.shape[1]
        return in_one_line("EncodedGraphs", graphs=len(self), nodes=nodes, positions=positions)

    def to(self, device: torch.device | str) -> EncodedGraphs:
        """The same graphs with every tensor on the device."""
        tensors = {field.name: getattr(self, field.name).to(device) for field in fields(self)[1:]}
        return EncodedGraphs(self.graphs, **tensors)


@dataclass(frozen=True, eq=False)
class _FlatNodes:
    """Where everything is, for all nodes of a batch in one row, and for all their operands in another.

    Of every node, int64 [all nodes]: `row` its graph, `index` its number in that graph, `width` its number of
    operands, `begin` the position of its first token, `rhs` of its last. Of every operand, int64 [all operands]:
    `owner` its node as an index of the lists above, `place` its number in the equation, `operand_position` of its
    token, `operand_index` the number of the node it names in its graph. Of every graph, int64 [batch]: `first` its
    first node as an index of the lists above.
    """

    first: Tensor
    row: Tensor
    index: Tensor
    width: Tensor
    begin: Tensor
    rhs: Tensor
    owner: Tensor
    place: Tensor
    operand_position: Tensor
    operand_index: Tensor

    @classmethod
    def of(cls, batch: Sequence[ComputationGraph]) -> _FlatNodes:
        """Equations of 3 tokens (a leaf) or 2k + 1 (k operands) and a separator, one after the other."""
        n_nodes = _int64(len(graph) for graph in batch)
        first = n_nodes.cumsum(0) - n_nodes
        row = torch.repeat_interleave(n_nodes)
        width = _int64(len(node.operands) for graph in batch for node in graph.nodes)
        length = (2 * width + 1).clamp(min=3)
        begin = (length + 1).cumsum(0) - (length + 1)
        begin -= begin[first][row]
        owner = torch.repeat_interleave(width)
        place = torch.arange(len(owner)) - (width.cumsum(0) - width)[owner]
        return cls(
            first=first,
            row=row,
            index=torch.arange(len(row)) - first[row],
            width=width,
            begin=begin,
            rhs=begin + length - 1,
            owner=owner,
            place=place,
            operand_position=begin[owner] + 2 * place,
            operand_index=_int64(o for graph in batch for node in graph.nodes for o in node.operands),
        )


@dataclass(frozen=True)
class FactoredVocabulary:
    """The symbols of the four factors; hashable. Raises `VocabularyError` for sizes that make no vocabulary.

    Symbols, in the order of their ids: syntax `SYNTAX`; variable x_0.., N/A; operation `ops`, N/A; value 0..,
    N/A, EMPTY.

    Examples:
        >>> from models import FactoredVocabulary
        >>> vocabulary = FactoredVocabulary()
        >>> vocabulary.sizes, vocabulary.slice("value")
        ((6, 129, 2, 25), slice(137, 162, None))
        >>> encoded = vocabulary.encode("20 = a; 2 = b; a + b = c")
        >>> vocabulary.unpack(vocabulary.pack(encoded.factors)).equal(encoded.factors)
        True
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
        return _symbols(self.n_variables, self.modulus, self.ops)[_factor_index(factor)]

    @property
    def padding(self) -> Tensor:
        """Int64 [factor]: what stands where no graph is, ``[pad]`` and N/A."""
        return torch.tensor([_PAD, self.n_a("variable"), self.n_a("operation"), self.n_a("value")])

    def symbol_id(self, factor: str, symbol: str) -> int:
        """The id of a symbol; raises `VocabularyError` if the factor does not have it."""
        symbols = self.symbols(factor)
        if symbol not in symbols:
            shown = symbols if len(symbols) <= 6 else (*symbols[:2], "...", *symbols[-3:])
            raise VocabularyError(f"There is no {factor} {symbol!r}. Allowed: {', '.join(shown)}")
        return symbols.index(symbol)

    def pack(self, factors: Tensor) -> Tensor:
        """Factors int [..., factor] -> one id int64 [...]: ``d_vocab`` plus a mixed radix, value the lowest digit.

        Ids below ``d_vocab`` are left to single symbols (rows of ``W_E``), so that no id has two meanings.
        Raises `VocabularyError` for another last axis than 4, and for an id outside its factor.
        """
        if factors.ndim == 0 or factors.shape[-1] != len(FACTORS):
            raise VocabularyError(f"Factors have shape {tuple(factors.shape)}. Allowed: [..., 4]")
        syntax, variable, operation, value = factors.long().unbind(-1)
        for name, size, ids in zip(FACTORS, self.sizes, (syntax, variable, operation, value), strict=True):
            _check_ids(name, ids, size)
        _, n_variables, n_operations, n_values = self.sizes
        radix = ((syntax * n_variables + variable) * n_operations + operation) * n_values + value
        return radix + self.d_vocab

    def unpack(self, packed: Tensor) -> Tensor:
        """One id int [...] -> factors int64 [..., factor]; raises `VocabularyError` for an id `pack` does not give."""
        _check_ids("packed", packed, self.d_vocab + self.n_packed, low=self.d_vocab)
        rest = packed.long() - self.d_vocab
        digits: list[Tensor] = []
        for size in self.sizes[:0:-1]:
            digits.append(rest % size)
            rest = rest // size
        return torch.stack([rest, *reversed(digits)], dim=-1)

    def encode(self, graphs: ComputationGraph | str | Sequence[ComputationGraph | str]) -> EncodedGraphs:
        """Graphs, or texts to be parsed, as one padded batch of CPU tensors in the state before step 0.

        Raises `VocabularyError` for no graph, and for one with a modulus, variables or operations that are
        not in the vocabulary; `GraphError` for a text that is not a graph.
        """
        batch = self._accept(graphs)
        nodes = _FlatNodes.of(batch)
        operations = {name: number for number, name in enumerate(self.ops)}
        symbols = _int64(
            operations[name] for graph in batch for node in graph.nodes for name in node.operations
        )
        factors = self._initial_state(batch, nodes, symbols)
        shape = (len(batch), max(map(len, batch)))
        cell = (nodes.row, nodes.index)
        operand_shape = (*shape, max(1, int(nodes.width.max())))
        operand_cell = (nodes.row[nodes.owner], nodes.index[nodes.owner], nodes.place)
        later_cell = tuple(axis[nodes.place > 0] for axis in operand_cell)
        return EncodedGraphs(
            graphs=batch,
            factors=factors,
            packed=self.pack(factors),
            mask=factors[..., 0] != _PAD,
            rhs=_scatter(shape, cell, nodes.rhs),
            operands=_scatter(operand_shape, operand_cell, nodes.operand_position),
            operand_nodes=_scatter(operand_shape, operand_cell, nodes.operand_index),
            operations=_scatter(operand_shape, later_cell, symbols),
            values=_scatter(shape, cell, _int64(value for graph in batch for value in graph.values_by_node)),
            depths=_scatter(shape, cell, _int64(depth for graph in batch for depth in graph.depths_by_node)),
        )

    def _initial_state(self, batch: Sequence[ComputationGraph], nodes: _FlatNodes, symbols: Tensor) -> Tensor:
        """Factors int64 [batch, pos, factor] with every variable EMPTY; symbols: of every operation, in order."""
        factors = self.padding.repeat(len(batch), int(nodes.rhs.max()) + 1, 1)
        syntax, variable, operation, value = factors.unbind(-1)
        variables = _int64(node.variable for graph in batch for node in graph.nodes)

        syntax[nodes.row, nodes.rhs] = _VARIABLE
        variable[nodes.row, nodes.rhs] = variables
        value[nodes.row, nodes.rhs] = self.empty
        syntax[nodes.row, nodes.rhs - 1] = _EQUALS
        after_first = nodes.index > 0
        syntax[nodes.row[after_first], nodes.begin[after_first] - 1] = _SEP

        leaf = nodes.width == 0
        given = _int64(node.value for graph in batch for node in graph.nodes if node.value is not None)
        syntax[nodes.row[leaf], nodes.begin[leaf]] = _VALUE
        value[nodes.row[leaf], nodes.begin[leaf]] = given

        row = nodes.row[nodes.owner]
        syntax[row, nodes.operand_position] = _VARIABLE
        variable[row, nodes.operand_position] = variables[nodes.first[row] + nodes.operand_index]
        value[row, nodes.operand_position] = self.empty
        later = nodes.place > 0
        syntax[row[later], nodes.operand_position[later] - 1] = _OPERATION
        operation[row[later], nodes.operand_position[later] - 1] = symbols
        return factors

    def _accept(
        self, graphs: ComputationGraph | str | Sequence[ComputationGraph | str]
    ) -> tuple[ComputationGraph, ...]:
        """The graphs, parsed where they are texts; raises for what the vocabulary does not have."""
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

    def token_strings(
        self, factors: Tensor, graph: ComputationGraph | Sequence[ComputationGraph] | None = None
    ) -> list[list[str]]:
        """The string of every token, padding included, one list per row of the batch.

        factors: int [batch, pos, factor] or [pos, factor], or packed ids int [batch, pos] or [pos]; without a
        batch axis they are a batch of one. (No text is 4 tokens long, so a last axis of 4 is the factors.)
        A token is shown as its syntax says: a variable's, operation's or value's symbol, `=`, `[sep]`, `[pad]`.
        graph: whose own names to show for its variables; one for all rows, or one per row.
        Raises `VocabularyError` for another shape, an id outside its factor, or another number of graphs.
        """
        is_factors = factors.ndim > 1 and factors.shape[-1] == len(FACTORS)
        if factors.ndim - is_factors not in (1, 2):
            allowed = "factors [batch, pos, 4] or [pos, 4], packed ids [batch, pos] or [pos]"
            raise VocabularyError(f"A state has shape {tuple(factors.shape)}. Allowed: {allowed}")
        packed = self.pack(factors) if is_factors else factors
        packed = packed if packed.ndim == 2 else packed[None]
        syntax, *ids = self.unpack(packed).unbind(-1)
        shown = torch.stack([*ids, *[syntax] * 3], dim=-1).gather(-1, syntax[..., None])[..., 0]
        tables = [self.symbols("variable"), self.symbols("operation"), self.symbols("value"), *[SYNTAX] * 3]
        rows: list[list[str]] = []
        own_names = self._own_names(graph, len(packed))
        for kind, number, own in zip(_lists(syntax), _lists(shown), own_names, strict=True):
            tables[_VARIABLE] = own
            rows.append([tables[k][n] for k, n in zip(kind, number, strict=True)])
        return rows

    def decode(
        self, factors: Tensor, graph: ComputationGraph | Sequence[ComputationGraph] | None = None
    ) -> list[str]:
        """The text of every row without padding, tokens separated by spaces; arguments as `token_strings`."""
        rows = self.token_strings(factors, graph)
        return [" ".join(token for token in row if token != SYNTAX[_PAD]) for row in rows]

    def _own_names(
        self, graph: ComputationGraph | Sequence[ComputationGraph] | None, n_rows: int
    ) -> Iterator[tuple[str, ...]]:
        """For each row the strings of the variable symbols."""
        names = self.symbols("variable")
        graphs = [graph] * n_rows if graph is None or isinstance(graph, ComputationGraph) else list(graph)
        if len(graphs) != n_rows:
            given = f"There are {len(graphs)} graphs for {n_rows} rows"
            raise VocabularyError(f"{given}. Allowed: one, or one per row")
        for one in graphs:
            own = {} if one is None else {node.variable: node.name for node in one.nodes}
            yield tuple(own.get(index, name) for index, name in enumerate(names)) if own else names


def _factor_index(factor: str) -> int:
    if factor not in FACTORS:
        raise VocabularyError(f"There is no factor {factor!r}. Allowed: {', '.join(FACTORS)}")
    return FACTORS.index(factor)


def _check_ids(what: str, ids: Tensor, size: int, low: int = 0) -> None:
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise VocabularyError(f"The {what} ids have dtype {ids.dtype}. Allowed: an integer dtype")
    if ids.numel():
        smallest, largest = (int(bound) for bound in torch.aminmax(ids))
        if smallest < low or largest >= size:
            wrong = smallest if smallest < low else largest
            raise VocabularyError(f"A {what} id is {wrong}. Allowed: {low} to {size - 1}")


@lru_cache
def _symbols(n_variables: int, modulus: int, ops: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return (
        SYNTAX,
        (*(f"x_{index}" for index in range(n_variables)), N_A),
        (*ops, N_A),
        (*(str(value) for value in range(modulus)), N_A, EMPTY),
    )


def _int64(numbers: Iterable[int]) -> Tensor:
    return torch.tensor(list(numbers), dtype=torch.int64)


def _scatter(shape: tuple[int, ...], cell: tuple[Tensor, ...], values: Tensor) -> Tensor:
    """int64 [*shape] with the values at their cells and -1 elsewhere."""
    return torch.full(shape, -1).index_put_(cell, values)


def _lists(ids: Tensor) -> list[list[int]]:
    return cast("Any", ids).tolist()
