"""Names of looped models, wherever a model's name is given; nothing is imported or run to tell that one is a name.

FILE.py:FUNCTION        a function that makes the model, in a file of one's own
my-loop                 an entry point of the group `recurlens.loops`, in the metadata of an installed package
parity                  a compiled loop
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from models.compiled_names import LOOPS, compiled_operations

GROUP: Final = "recurlens.loops"


def is_file(name: str) -> bool:
    """Whether a name is `FILE.py:FUNCTION`."""
    return name.rpartition(":")[0].endswith(".py")


@cache
def installed() -> dict[str, EntryPoint]:
    """Entry points of the group, by name."""
    return {found.name: found for found in entry_points(group=GROUP)}


def is_loop(name: str) -> bool:
    """Whether a model's name is that of a looped model; a folder of a model that reads graphs is none."""
    if is_file(name):
        return True
    if compiled_operations(name) is not None or (Path(name) / "config.json").is_file():
        return False
    return name in LOOPS or name in installed()


def names() -> list[str]:
    """Those that there are without a file."""
    return [*LOOPS, *installed()]
