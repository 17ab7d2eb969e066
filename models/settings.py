"""Whether a value is of the kind that its field is declared with, and for a number within what any model can have."""

from __future__ import annotations

import math
import types
from functools import cache
from numbers import Integral, Real
from typing import Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

LARGEST_SIZE: Final = 1_000_000
"""Of every size in a configuration. Three of them multiplied are still a number of bytes that a tensor can name."""


@cache
def declared_kinds(cls: type) -> dict[str, Any]:
    """Field -> its declared type, of a class and those it extends."""
    return get_type_hints(cls)


def fault(value: object, kind: Any) -> str:
    """What is wrong with a value of a field that is declared as ``kind``; "" where nothing is.

    A whole number is no boolean and has at most 64 bits; any other number is finite. Which strings a choice may be is
    left to the class that offers it.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        faults = [fault(value, option) for option in get_args(kind)]
        return "" if "" in faults else " or ".join(dict.fromkeys(faults))
    if origin is tuple:
        (item, *_) = get_args(kind)
        parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else None
        right = parts is not None and not any(fault(part, item) for part in parts)
        return "" if right else "a list of strings"
    if kind is types.NoneType:
        return "" if value is None else "null"
    if kind is int:
        right = not isinstance(value, bool) and isinstance(value, Integral) and -(2**63) <= int(value) < 2**63
        return "" if right else "a whole number of at most 64 bits"
    if kind is float:
        right = not isinstance(value, bool) and isinstance(value, Real) and _is_finite(value)
        return "" if right else "a finite number"
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    if kind is str or origin is Literal:
        return "" if isinstance(value, str) else "a string"
    return "" if not isinstance(kind, type) or isinstance(value, kind) else f"a {kind.__name__}"


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
