"""A function of a user's own file, given as `FILE.py:FUNCTION`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from analyses.inputs import InputError
from models.graph_errors import clip

OWN = "FILE.py:FUNCTION"


class Sourced(Protocol):
    """A record that says where it is from."""

    @property
    def source(self) -> str:
        """`FILE.py:FUNCTION`, or empty for one of ours."""
        ...


def own_name(
    text: str,
    what: str,
    known: Mapping[str, Sourced],
    unknown: str,
    add: Callable[[str, str, Callable[..., Any]], object],
) -> str:
    """The name of a record that is there; one of `FILE.py:FUNCTION` is added first, under its function's name.

    what: what the function could be, with an article. unknown: how the message on a name that is not there begins.
    add: of name, label and function. Raises InputError for what names no record, a file that cannot be run, or a name
    that is taken.
    """
    if text in known:
        return text
    if ":" not in text:
        raise InputError(f"{unknown} {', '.join(known)}, or {OWN}.")
    name, function, label = own_function(text, what)
    if name in known and known[name].source == text:
        return name
    try:
        add(name, label, function)
    except ValueError as error:
        raise InputError(f"{clip(text)}: {error}.") from error
    return name


def own_function(text: str, what: str) -> tuple[str, Callable[..., Any], str]:
    """Name, function and label (the first line of its docstring) of `FILE.py:FUNCTION`.

    what: what the function could be, with an article. Raises InputError for a file that cannot be run or has no such
    function.
    """
    path, _, name = text.rpartition(":")
    function = _function(Path(path), name, what)
    label = (function.__doc__ or f"{name} of {Path(path).name}").strip().splitlines()[0].rstrip(".")
    return name, function, label


@contextmanager
def importing_beside(text: str) -> Iterator[None]:
    """Modules that lie beside the file of `FILE.py:FUNCTION` can be imported, as where Python runs the file itself."""
    folder = str(Path(text.rpartition(".py:")[0] or text).resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _function(path: Path, name: str, what: str) -> Callable[..., Any]:
    if not path.is_file():
        raise InputError(f"There is no file {clip(str(path))}, of which {clip(name)!r} could be {what}.")
    try:
        with importing_beside(str(path)):
            found = runpy.run_path(str(path))
    except Exception as error:  # a user's file can fail in any way
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}.") from error
    function = found.get(name)
    if not callable(function):
        own = [key for key, value in found.items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{path} has no function {clip(name)!r}; it has {', '.join(own) or 'none'}.")
    return function
