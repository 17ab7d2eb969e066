"""Text -> the nodes of a computation graph.

Grammar (whitespace is free, operation words in any case)::

    text      = equation { separator equation }      surplus separators are ignored
    separator = newline | ";" | "," | "[sep]"
    equation  = value arrow name                     a leaf:  20 = x_7
              | operands arrow name                  a node:  x_7 ADD x_42 = x_23   (x_7 = x_1 copies x_7)
              | name arrow value                     a leaf with its sides exchanged:  x_7 = 20
              | name arrow operands                  the same for a node with operations:  total = a + b
    operands  = name { operation name }              worked out from left to right, no precedence
    operation = a spelling of one of `models.operations.OPERATIONS`:  ADD | PLUS | "+"   SUB | MINUS | "-"  ...
    arrow     = "=" | "->" | "→" | "=>"
    name      = a letter or "_", then letters, digits and "_", in any script

The single-name side of an equation is its result. Where both sides are single names the RIGHT one is, as in
the paper: `a = b` copies a into b. The letter `x` is the times sign where an operation is due and a name
where an operand is due. `x_0` ... `x_127` are the vocabulary's variables; every other name is free, and is
given the first vocabulary variable that is neither in the text nor given away, in the order of the equations
of the finished graph.

The order of the equations is kept if it is topological. Otherwise the next equation is always the first one
typed of those whose operands are all there. Whatever the text, nothing is raised but the errors of
`graph_errors`.
"""

from __future__ import annotations

import difflib
import heapq
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from models.bounds import check_equations, check_name, check_text
from models.graph_errors import (
    CycleError,
    DuplicateDefinitionError,
    DuplicateOperandError,
    EmptyInputError,
    LiteralOperandError,
    MalformedEquationError,
    ReservedNameError,
    TooManyOperandsError,
    TooManyVariablesError,
    UndefinedVariableError,
    UnknownOperationError,
    ValueRangeError,
    VariableRangeError,
    check_whole_number,
    clip,
)
from models.operations import OPERATIONS

_SEPARATOR = re.compile(r"\[\s*sep\s*\]|[;,\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", re.IGNORECASE)
_VARIABLE = re.compile(r"x_([0-9]+)")
_MINUS = "-−–"


@lru_cache(maxsize=8)
def _token_pattern(symbols: tuple[str, ...]) -> re.Pattern[str]:
    """What a token is, with these symbols of operations; letters among them are words."""
    signs = sorted((symbol for symbol in symbols if not symbol.isalpha()), key=len, reverse=True)
    return re.compile(
        r"(?P<arrow>=>|->|→|⇒|⟶|=)"
        rf"|(?P<symbol>{'|'.join(map(re.escape, signs))})"
        r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?!\w))"
        r"|(?P<word>\w+)"
        r"|(?P<other>[^\s\u200b\ufeff])"
    )


@dataclass(frozen=True, slots=True)
class Node:
    """One equation: a leaf with its `value`, or `operands` joined from left to right by `operations`.

    `variable` is an index of the vocabulary, `name` what the person typed ("x_7" for a vocabulary variable),
    `operands` are indices of earlier nodes of the graph, `operations` has one name fewer, `value` is None off
    leaves.
    """

    variable: int
    name: str
    operands: tuple[int, ...] = ()
    operations: tuple[str, ...] = ()
    value: int | None = None


@dataclass(frozen=True, slots=True)
class _Equation:
    text: str
    result: str
    operands: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    value: int | None = None


@dataclass(frozen=True, slots=True)
class _Limits:
    modulus: int
    n_variables: int
    max_operands: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of an equation: operands (`number` or `word` tokens) and the operations between them."""

    operands: tuple[_Token, ...]
    operations: tuple[str, ...]

    @property
    def is_name(self) -> bool:
        return len(self.operands) == 1 and self.operands[0].kind == "word"

    @property
    def is_number(self) -> bool:
        return len(self.operands) == 1 and self.operands[0].kind == "number"


def is_name(text: str) -> bool:
    """Whether the text can name a node: a letter or "_", then letters, digits, "_"; no operation's word."""
    return (
        re.fullmatch(r"\w+", text) is not None
        and (text[0].isalpha() or text[0] == "_")
        and text.lower() not in OPERATIONS.words
    )


def variable_index(name: str) -> int | None:
    """The k of a vocabulary variable's name `x_k`, None for every other name."""
    match = _VARIABLE.fullmatch(name)
    return _whole_number(match[1]) if match else None


def check_limits(modulus: int, n_variables: int, max_operands: int) -> None:
    """Raise `GraphArgumentError` if no graph can have these sizes."""
    check_whole_number("modulus", modulus, 2)
    check_whole_number("n_variables", n_variables, 1)
    check_whole_number("max_operands", max_operands, 1)


def parse_nodes(
    text: str, modulus: int = 23, n_variables: int = 128, max_operands: int = 3
) -> tuple[Node, ...]:
    """The nodes a text describes, in topological order; grammar and order: see this module's docstring.

    Raises the `GraphError` of the first mistake: first those of a single equation in the order typed, then
    variables defined twice, too many variables, undefined variables, cycles.
    """
    check_limits(modulus, n_variables, max_operands)
    limits = _Limits(modulus, n_variables, max_operands)
    check_text(text)
    pieces = (piece.strip() for piece in _SEPARATOR.split(unicodedata.normalize("NFC", text)))
    written = [piece for piece in pieces if piece.strip("\u200b\ufeff")]
    check_equations(written)
    equations = [_read_equation(piece, limits) for piece in written]
    if not equations:
        allowed = "Type some, such as '20 = x_7; 2 = x_42; x_7 + x_42 = x_23'"
        raise EmptyInputError("There is no equation", allowed)
    operands = _resolve(equations, n_variables)
    order = _topological_order(equations, operands)
    place = {index: position for position, index in enumerate(order)}
    taken = {index for e in equations if (index := variable_index(e.result)) is not None}
    free = (index for index in range(n_variables) if index not in taken)
    return tuple(
        Node(
            variable=next(free) if (own := variable_index(equations[index].result)) is None else own,
            name=equations[index].result,
            operands=tuple(place[operand] for operand in operands[index]),
            operations=equations[index].operations,
            value=equations[index].value,
        )
        for index in order
    )


def _read_equation(text: str, limits: _Limits) -> _Equation:
    pattern = _token_pattern(tuple(OPERATIONS.symbols))
    tokens = [_Token(match.lastgroup or "", match[0]) for match in pattern.finditer(text)]
    arrows = [position for position, token in enumerate(tokens) if token.kind == "arrow"]
    if len(arrows) != 1:
        problem = f"there are {len(arrows)} of '=', '->', '→'" if arrows else "there is no '=', '->' or '→'"
        raise MalformedEquationError(
            problem, _example(limits) + ". Separate equations by ';' or a new line", text
        )
    left = _read_side(tokens[: arrows[0]], "left", limits, text)
    right = _read_side(tokens[arrows[0] + 1 :], "right", limits, text)
    if right.is_name:
        body, result = left, right
    elif left.is_name:
        body, result = right, left
    else:
        problem = "no side is a single name, so it is not clear which node is defined"
        raise MalformedEquationError(problem, _example(limits), text)
    name = result.operands[0].text
    if body.is_number:
        return _Equation(text, name, value=_read_value(body.operands[0].text, limits, text))
    for operand in body.operands:
        if operand.kind == "number":
            _refuse_literal(operand.text, limits, text)
    names = tuple(operand.text for operand in body.operands)
    if len(names) > limits.max_operands:
        allowed = f"Allowed: 1 to {limits.max_operands}; split the equation with a variable in between"
        raise TooManyOperandsError(f"there are {len(names)} operands", allowed, text)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        allowed = "Allowed: different variables; copy it first ('a = b') to use it twice"
        raise DuplicateOperandError(f"'{clip(twice)}' is an operand twice", allowed, text)
    return _Equation(text, name, names, body.operations)


def _read_side(tokens: Sequence[_Token], side: str, limits: _Limits, text: str) -> _Side:
    operands: list[_Token] = []
    operations: list[str] = []
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if len(operands) == len(operations):
            if token.text in _MINUS and following is not None and following.kind == "number":
                if len(tokens) == 2:
                    _read_value(f"-{following.text}", limits, text)
                _refuse_literal(f"-{following.text}", limits, text)
            operands.append(_read_operand(token, limits, text))
        else:
            operations.append(_read_operation(token, operands[-1], following, limits, text))
    if len(operands) == len(operations):
        problem = (
            f"an operand is missing after '{clip(tokens[-1].text)}'"
            if tokens
            else f"the {side} side is empty"
        )
        raise MalformedEquationError(problem, _example(limits), text)
    return _Side(tuple(operands), tuple(operations))


def _read_operand(token: _Token, limits: _Limits, text: str) -> _Token:
    shown = clip(token.text)
    if token.kind == "number":
        return token
    if token.kind == "symbol":
        raise MalformedEquationError(f"an operand is missing before '{shown}'", _example(limits), text)
    if token.kind == "other":
        raise _stray(token, limits, text)
    if token.text.lower() in OPERATIONS.words:
        reserved = ", ".join(word.upper() for word in OPERATIONS.words)
        problem = f"'{shown}' stands where a variable is due, and it is the word of an operation"
        raise ReservedNameError(problem, f"Names cannot be {reserved}, in any case", text)
    if not is_name(token.text):
        allowed = "Names start with a letter or '_' and go on with letters, digits and '_'"
        raise MalformedEquationError(f"'{shown}' is neither a number nor a name", allowed, text)
    if (match := _VARIABLE.fullmatch(token.text)) is None:
        check_name(token.text, text)
        return token
    index = _whole_number(match[1])
    if index >= limits.n_variables:
        allowed = f"Variables of the vocabulary are x_0 to x_{limits.n_variables - 1}; any other name is free"
        raise VariableRangeError(f"there is no variable '{shown}'", allowed, text)
    return _Token("word", f"x_{index}")


def _read_operation(token: _Token, before: _Token, after: _Token | None, limits: _Limits, text: str) -> str:
    word = token.text.lower()
    if token.kind == "symbol" or (token.kind == "word" and word in OPERATIONS.symbols):
        return OPERATIONS.symbols[word]
    if word in OPERATIONS.words:
        return OPERATIONS.words[word]
    if token.kind == "other" and unicodedata.category(token.text) != "Sm" and token.text not in "/%^&@!?":
        raise _stray(token, limits, text)
    if token.kind == "other" or (token.kind == "word" and after is not None):
        allowed = f"{_allowed_operations()}, and names have no spaces in them"
        raise UnknownOperationError(f"'{clip(token.text)}' is not an operation", allowed, text)
    problem = f"an operation is missing between '{clip(before.text)}' and '{clip(token.text)}'"
    raise MalformedEquationError(problem, _allowed_operations(), text)


def _allowed_operations() -> str:
    return f"Operations are {OPERATIONS.listed()}"


def _stray(token: _Token, limits: _Limits, text: str) -> MalformedEquationError:
    if token.text in "()[]{}":
        allowed = "There are no brackets: operations are worked out from left to right"
    else:
        allowed = f"Names have letters, digits and '_'. {_allowed_operations()}. {_example(limits)}"
    return MalformedEquationError(f"the character {token.text!r} has no meaning here", allowed, text)


def _read_value(digits: str, limits: _Limits, text: str) -> int:
    value = _whole_number(digits) if digits.isdecimal() else -1
    if not 0 <= value < limits.modulus:
        allowed = (
            f"Allowed: the whole numbers 0 to {limits.modulus - 1}, since values are modulo {limits.modulus}"
        )
        raise ValueRangeError(f"the value {clip(digits)} is out of range", allowed, text)
    return value


def _whole_number(digits: str) -> int:
    """The number, cut to 300 digits: longer ones are out of every range, and slow (or refused) to convert."""
    return int(digits.lstrip("0")[:300] or "0")


def _refuse_literal(number: str, limits: _Limits, text: str) -> NoReturn:
    value = number if number.isdecimal() and _whole_number(number) < limits.modulus else "1"
    allowed = f"A number stands only alone, as the value of a leaf: write '{value} = n' and use n"
    raise LiteralOperandError(f"the number {clip(number)} is an operand", allowed, text)


def _example(limits: _Limits) -> str:
    return f"Equations look like '{min(20, limits.modulus - 1)} = x_7' (a leaf) or 'x_7 + x_42 = x_23'"


def _resolve(equations: Sequence[_Equation], n_variables: int) -> list[tuple[int, ...]]:
    """For each equation the indices of the equations that define its operands."""
    defined: dict[str, int] = {}
    for index, equation in enumerate(equations):
        first = equations[defined.setdefault(equation.result, index)]
        if first is not equation:
            allowed = f"Each variable is defined once; the first time is '{clip(first.text)}'"
            if len(equation.operands) == 1:
                allowed += f". A copy has its result on the right: this copies '{clip(equation.operands[0])}'"
            name = clip(equation.result)
            raise DuplicateDefinitionError(f"'{name}' is defined a second time", allowed, equation.text)
    if len(equations) > n_variables:
        problem = f"the text defines {len(equations)} variables, and this is number {n_variables + 1}"
        raise TooManyVariablesError(problem, f"Allowed: at most {n_variables}", equations[n_variables].text)
    for equation in equations:
        for name in equation.operands:
            if name not in defined:
                raise _undefined(name, defined, equation)
    return [tuple(defined[name] for name in equation.operands) for equation in equations]


def _undefined(name: str, defined: dict[str, int], equation: _Equation) -> UndefinedVariableError:
    candidates = [known for known in defined if len(known) <= 40 and known != equation.result]
    close = difflib.get_close_matches(name, candidates) if len(name) <= 40 else []
    hint = f". Did you mean {' or '.join(close)}?" if close else ""
    allowed = f"Give it an equation of its own, such as '1 = {clip(name)}'{hint}"
    return UndefinedVariableError(f"'{clip(name)}' is not defined by any equation", allowed, equation.text)


def _topological_order(equations: Sequence[_Equation], operands: Sequence[tuple[int, ...]]) -> list[int]:
    """Kahn's order that always takes the equation typed first; the identity if that is topological."""
    missing = [len(nodes) for nodes in operands]
    users: list[list[int]] = [[] for _ in equations]
    for index, nodes in enumerate(operands):
        for node in nodes:
            users[node].append(index)
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for user in users[order[-1]]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(equations):
        raise _cycle(equations, operands, set(range(len(equations))) - set(order))
    return order


def _cycle(
    equations: Sequence[_Equation], operands: Sequence[tuple[int, ...]], stuck: set[int]
) -> CycleError:
    """The cycle met by walking from the first stuck equation from operand to operand."""
    node, place = min(stuck), dict[int, int]()  # the equations on the way, in their order
    while node not in place:
        place[node] = len(place)
        node = next(operand for operand in operands[node] if operand in stuck)
    cycle = list(place)[place[node] :][::-1]
    start = cycle.index(min(cycle))
    names = [clip(equations[node].result, 20) for node in [*cycle[start:], *cycle[: start + 1]]]
    shown = names if len(names) <= 14 else [*names[:7], "…", *names[-6:]]
    problem = f"'{names[0]}' needs its own value: {' -> '.join(shown)}"
    return CycleError(problem, "A node is computed from nodes before it", equations[min(cycle)].text)
