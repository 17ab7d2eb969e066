"""Which files of the project a command goes through, from its options to the files that it writes.

    python -m analyses.benchmarks.route [--list] [-- patch --n-nodes 4 --seed 0]

The command runs once, with `--out` into a temporary folder, in this process. Three counts, without `__init__.py`:
*imported* are files that the process has loaded at the end; *executed* are those of which a function was called, not
counting what runs while a file is imported; *on the way* are those that stand on the stack when one of five things
happens: a graph is checked, a model is loaded, a block of a model computes, a figure is made, a file is opened in the
folder. Who follows the command from the option to the written file reads these, and may take the rest on trust.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT)
PACKAGES = ("models", "interp", "analyses", "dashboards")
EXAMPLE = ("patch", "--n-nodes", "4", "--seed", "0", "--quiet")
STATIONS = {
    ("models/graph.py", "ComputationGraph.__post_init__"),
    ("models/loading.py", "load"),
    ("models/components.py", "Block.forward"),
    ("interp/figures/template.py", "make_figure"),
}
"""File and function of what happens on the way, beside the writing of files."""


@dataclass
class Crossed:
    """Paths below the repository; on_the_way: path -> functions that stood on the stack."""

    executed: set[str] = field(default_factory=set[str])
    on_the_way: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


def crossed(arguments: Sequence[str]) -> Crossed:
    """What `recurlens` goes through with these arguments and `--out`. Raises SystemExit where the command fails."""
    from analyses.cli import main

    found = Crossed()
    given = sys.argv
    with tempfile.TemporaryDirectory() as folder, _watched(found, folder):
        sys.argv = ["recurlens", *arguments, "--out", folder]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
        finally:
            sys.argv = given
    return found


@contextmanager
def _watched(found: Crossed, folder: str) -> Iterator[None]:
    watching, known = True, set[CodeType]()

    def called(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event != "call" or code in known:
            return
        path = _own(code)
        station = (path, code.co_qualname) in STATIONS
        if station:
            _note(found, frame)
        if path is not None and path not in found.executed and not _importing(frame):
            found.executed.add(path)
        if not station and (path is None or path in found.executed):
            known.add(code)

    def opened(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and str(arguments[0]).startswith(folder):
            _note(found, sys._getframe(1))

    sys.addaudithook(opened)  # stays for as long as the process does
    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(before)
        watching = False


@cache
def _own(code: CodeType) -> str | None:
    """The path below the repository of code of ours; None for others', and for files as they are imported."""
    path = Path(code.co_filename)
    if code.co_name == "<module>" or path.name == "__init__.py" or not path.is_relative_to(ROOT):
        return None
    below = path.relative_to(ROOT)
    return below.as_posix() if below.parts[0] in PACKAGES and below != HERE else None


def _stack(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _importing(frame: FrameType) -> bool:
    return any(code.co_name == "<module>" and code.co_filename in _files() for code in _stack(frame))


@cache
def _files() -> set[str]:
    """Every file of ours."""
    return {
        str(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path != ROOT / HERE
    }


def _note(found: Crossed, frame: FrameType) -> None:
    for code in _stack(frame):
        path = _own(code)
        if path is not None:
            found.on_the_way.setdefault(path, set()).add(code.co_qualname)


def imported() -> list[str]:
    """Paths of the files that the process has loaded."""
    files = [
        Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    ]
    below = [file.relative_to(ROOT) for file in files if file.is_relative_to(ROOT)]
    return sorted(
        path.as_posix()
        for path in below
        if path.parts[0] in PACKAGES and path.name != "__init__.py" and path != HERE
    )


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="Of `recurlens`, after `--`.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Also print the files on the way.")] = False,
) -> None:
    """Run and print."""
    found = crossed(arguments or EXAMPLE)
    if listed:
        for path, functions in sorted(found.on_the_way.items()):
            print(f"  {path}: {', '.join(sorted(functions))}")
    print(f"imported {len(imported())}, executed {len(found.executed)}, on the way {len(found.on_the_way)}")


if __name__ == "__main__":
    typer.run(main)
