"""How large a text, a name or number in it, and a run may be: what is larger is refused before work begins.

A graph of 128 nodes, the paper's largest, is a text of about 4 kB. The bounds are far above that, and low enough that
any text inside them is read or refused within about a second.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Final

from models.graph_errors import MalformedEquationError, TextTooLongError, clip

LARGEST_TEXT: Final = 1_000_000
"""Characters of a graph's text."""
MOST_EQUATIONS: Final = 10_000
"""Equations of a graph's text."""
LONGEST_EQUATION: Final = 100_000
"""Characters of one equation."""
LONGEST_NAME: Final = 100
"""Characters of a node's name: what tables, axes and select boxes can show."""
LARGEST_JSON: Final = 4 * LARGEST_TEXT
"""Characters of a graph as JSON: its equations, and its values, depths and variables by name."""
MOST_STEPS: Final = 10_000
"""Recurrence steps that are computed one by one; a discrete run is continued for nothing once it has settled."""
MOST_MARKS: Final = 30
"""Combining marks (accents) one after the other: as many as Unicode's Stream-Safe Text Format allows (UAX #15).

Bringing them into the canonical order takes a time that grows with the square of their number.
"""


def check_text(text: str) -> None:
    """Raise `TextTooLongError` for a text above `LARGEST_TEXT`, `MalformedEquationError` for above `MOST_MARKS`."""
    if len(text) > LARGEST_TEXT:
        raise TextTooLongError(f"The text has {len(text)} characters", f"Allowed: at most {LARGEST_TEXT}")
    if text.isascii():
        return
    marks = 0
    for place, character in enumerate(text):
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MOST_MARKS:
            problem = f"more than {MOST_MARKS} combining marks (accents) follow each other"
            start = place - MOST_MARKS
            raise MalformedEquationError(
                problem, "Names have letters, digits and '_'", text[start : place + 1]
            )


def check_equations(equations: Sequence[str]) -> None:
    """Raise `TextTooLongError` for more equations than `MOST_EQUATIONS`, or one above `LONGEST_EQUATION`."""
    if len(equations) > MOST_EQUATIONS:
        allowed = f"Allowed: at most {MOST_EQUATIONS}"
        raise TextTooLongError(f"The text has {len(equations)} equations", allowed)
    for equation in equations:
        if len(equation) > LONGEST_EQUATION:
            allowed = f"Allowed: at most {LONGEST_EQUATION}"
            raise TextTooLongError(f"the equation has {len(equation)} characters", allowed, equation)


def check_name(name: str, equation: str = "") -> None:
    """Raise `TextTooLongError` for a name above `LONGEST_NAME`."""
    if len(name) > LONGEST_NAME:
        problem = f"the name '{clip(name)}' has {len(name)} characters"
        raise TextTooLongError(problem, f"Allowed: at most {LONGEST_NAME}", equation)


def json_problem(error: ValueError | RecursionError) -> str:
    """What is wrong with a text that `json.loads` refused, in words of JSON, not of Python."""
    if isinstance(error, RecursionError):
        return "lists and objects are nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeError):
        return str(error)
    return f"a number has more than {sys.get_int_max_str_digits()} digits"


def index_of(text: str) -> int | None:
    """The number from 0 to 999,999,999 that ASCII digits write; None for any other text.

    `str.isdigit` is true of digits that `int` does not read, and `int` refuses thousands of digits.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
