"""One error per mistake in a graph; each says what was given, in which equation, and what is allowed."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex


def clip(text: str, length: int = 40) -> str:
    """The text, shortened in its middle to at most `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[: length - 1 - head]}…{text[len(text) - head :]}"


class GraphError(ValueError):
    """Something that is not a computation graph; `equation` is where it is not ("" if nowhere).

    Examples:
        >>> from models import ComputationGraph, GraphError
        >>> try:
        ...     ComputationGraph.parse("20 = a; a + b = c")
        ... except GraphError as error:
        ...     print(error)
        In 'a + b = c': 'b' is not defined by any equation. Give it an equation of its own, such as '1 = b'
    """

    def __init__(self, problem: str, allowed: str = "", equation: str = "") -> None:
        where = f"In '{clip(equation, 100)}': " if equation else ""
        super().__init__(f"{where}{problem}{'. ' if allowed else ''}{allowed}")
        self.equation = equation


class EmptyInputError(GraphError):
    """There is no equation."""


class TextTooLongError(GraphError):
    """The text has more characters or equations than anybody would type (`models.bounds`)."""


class MalformedEquationError(GraphError):
    """The equation does not follow the grammar."""


class UnknownOperationError(GraphError):
    """Something that is no operation stands between two operands, or is asked for as one."""


class ReservedNameError(GraphError):
    """The word of an operation stands where a name is due."""


class LiteralOperandError(GraphError):
    """A number is an operand; numbers stand only alone, as the value of a leaf."""


class TooManyOperandsError(GraphError):
    """An equation has more operands than a node may have."""


class DuplicateOperandError(GraphError):
    """The same variable is twice an operand of one equation."""


class ValueRangeError(GraphError):
    """The value of a leaf is not a whole number of 0..modulus-1."""


class VariableRangeError(GraphError):
    """`x_k` with k outside the vocabulary."""


class TooManyVariablesError(GraphError):
    """The graph has more nodes than the vocabulary has variables."""


class DuplicateDefinitionError(GraphError):
    """Two equations have the same result."""


class UndefinedVariableError(GraphError):
    """An operand is not the result of any equation."""


class CycleError(GraphError):
    """A node needs its own value."""


class GraphArgumentError(GraphError):
    """An argument of a function that makes graphs is outside what it allows."""


class GraphStructureError(GraphError):
    """Nodes put together by hand are not a graph."""


class GraphFormatError(GraphError):
    """A JSON text is not a graph, or contradicts itself."""


def check_whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """The value as an int; raises `GraphArgumentError` unless it is a whole number of least..most."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = index(value)
        if number >= least and (most is None or number <= most):
            return number
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise GraphArgumentError(f"{name} is {_shown(value)}", f"Allowed: a whole number {allowed}")


def _shown(value: object) -> str:
    """The value as Python writes it, clipped; Python refuses to write integers of more than 4300 digits."""
    try:
        return clip(repr(value))
    except ValueError:
        return "an integer too long to be shown"
