"""One-line `repr`s of result objects: what they hold and how large it is, never the numbers themselves.

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import islice
from typing import Any, Final, TypeVar, cast

from models.graph_errors import clip

LONGEST: Final = 240
"""Characters of a `repr`; fields that do not fit any more are counted instead."""
LONGEST_FIELD: Final = 60
"""Characters of one field."""

Class = TypeVar("Class", bound=type)


def one_line(cls: Class) -> Class:
    """Class decorator, above `@dataclass`: gives the dataclass the `repr` of :func:`in_one_line`."""
    cls.__repr__ = _repr  # pyright: ignore[reportAttributeAccessIssue]
    return cls


def _repr(self: Any) -> str:
    shown = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
    return in_one_line(type(self).__name__, **shown)


def in_one_line(kind: str, /, *facts: str, **named: Any) -> str:
    """`Kind(fact, name=value)`, each value as :func:`brief` shows it, at most :data:`LONGEST` characters."""
    parts = [*facts, *(f"{name}={brief(value)}" for name, value in named.items())]
    for n_shown in range(len(parts), -1, -1):
        left_out = [f"{len(parts) - n_shown} more"] if n_shown < len(parts) else []
        line = f"{kind}({', '.join([*parts[:n_shown], *left_out])})"
        if len(line) <= LONGEST:
            return line
    return f"{clip(kind)}(...)"


def brief(value: Any) -> str:
    """A value in at most :data:`LONGEST_FIELD` characters.

    Arrays and tensors as `float32[3, 4]`, frames as `DataFrame[240 x 7]`, what is short as it is, longer collections
    as `tuple[32: 'a', 'b', ...]` (without items that are not plain), other objects as `Kind(...)`.
    """
    kind = type(value).__name__
    if isinstance(value, str):
        return repr(clip(value, LONGEST_FIELD - 2))
    if hasattr(value, "shape"):
        dtype = getattr(value, "dtype", None)
        if dtype is None or hasattr(value, "to_frame"):
            return f"{kind}[{' x '.join(map(str, value.shape))}]"
        return f"{str(dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, tuple | list | set | frozenset | Mapping):
        return _collection(cast(Any, value))
    if hasattr(value, "named_modules"):
        return kind
    shown = repr(value)
    return shown if len(shown) <= LONGEST_FIELD and "\n" not in shown else f"{kind}(...)"


def _collection(items: Any) -> str:
    """All of a short collection of plain values; else how many there are, and the first of them (or of the keys)."""
    first: list[object] = list(islice(items, LONGEST_FIELD))
    values: Iterable[object] = items.values() if hasattr(items, "values") else first
    if len(first) == len(items) and all(map(_is_plain, values)) and len(repr(items)) <= LONGEST_FIELD:
        return repr(items)
    kind, n = type(items).__name__, len(items)
    if not all(map(_is_plain, first)):
        return f"{kind}[{n}]"
    for n_shown in range(min(n, LONGEST_FIELD), 0, -1):
        shown = ", ".join([*map(repr, first[:n_shown]), *["..."] * (n_shown < n)])
        if len(f"{kind}[{n}: {shown}]") <= LONGEST_FIELD:
            return f"{kind}[{n}: {shown}]"
    return f"{kind}[{n}]"


def _is_plain(item: object) -> bool:
    return item is None or isinstance(item, str | int | float)
