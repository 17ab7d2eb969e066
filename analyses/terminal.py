"""How a command meets the terminal: what it prints can always be encoded, a message is one printable line, and an
output that cannot be written is a message too.

Exit codes of a process: 0 success; 1 where a section of a report failed, or the reader of a pipe went away; 2 bad
input, or an output that cannot be written.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from analyses.inputs import InputError
from models.graph_errors import clip
from models.printable import printable

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
LONGEST_LINE = 500
"""Characters of a line of a usage error; longer ones are clipped in their middle."""


def say_error(message: str) -> None:
    """One message on stderr, nothing in it hidden; a stderr that cannot be written is not worth another error."""
    with suppress(OSError):
        typer.echo(f"Error: {printable(message)}", err=True)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """The errors of the command line itself quote what was typed."""
    try:
        yield
    except TyperException as error:
        # A panel of many thousand characters takes seconds to be drawn.
        error.message = "\n".join(printable(clip(line, LONGEST_LINE)) for line in error.message.split("\n"))
        raise


def reports_bad_input(command: Callable[P, R]) -> Callable[P, R]:
    """Decorator: an InputError inside `command` becomes one message on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            say_error(str(error))
            raise typer.Exit(BAD_INPUT) from error

    return wrapped


class Command(TyperCommand):
    """A command whose usage errors are printable."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """As typer's."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)


class Group(TyperGroup):
    """Commands whose usage errors, and those of unknown commands, are printable."""

    def invoke(self, ctx: Any) -> Any:
        """As typer's."""
        with _printable_errors():
            return super().invoke(ctx)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """As typer's."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)


def run(application: typer.Typer) -> None:
    """Run an application as the whole process; exits with its code.

    What the encoding of stdout or stderr does not have (all of it but ASCII, say) is written as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            application()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(1)
    except OSError as error:
        where = "the output" if error.filename is None else str(error.filename)
        say_error(f"Cannot write {where}: {(error.strerror or str(error)).lower()}.")
        _discard_output()
        sys.exit(BAD_INPUT)


def _discard_output() -> None:
    """Let the interpreter flush into nothing what could not be written."""
    with suppress(OSError, io.UnsupportedOperation):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
