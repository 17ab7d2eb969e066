"""Names of compiled models: ``compiled`` knows ADD, SUB and MUL; ``compiled-max`` knows MAX too; and of compiled loops.

A compiled model is built for any operations in a moment, so that a name says which it has beside those three: in lower
case, in the order of :data:`models.operations.OPERATIONS`, joined by ``-``. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from models.operations import OPERATIONS

COMPILED: Final = "compiled"
COMPILED_OPERATIONS: Final = ("ADD", "SUB", "MUL")
"""What every compiled model that is loaded by name knows."""
LOOPS: Final = {
    "graphs": "models.compiled.graph_loop:GraphLoop",
    "parity": "models.compiled.parity:ParityLoop",
    "reachability": "models.compiled.reachability:ReachabilityLoop",
    "shortest-paths": "models.compiled.shortest_paths:ShortestPathsLoop",
    "machine": "models.compiled.machine:MachineLoop",
}
"""Compiled loops (:func:`models.compiled.make`) and their classes."""


def compiled_name(ops: Iterable[str] = ()) -> str:
    """The name of the compiled model that knows :data:`COMPILED_OPERATIONS` and all operations among ``ops``."""
    further = [name.lower() for name in OPERATIONS.ordered(ops) if name not in COMPILED_OPERATIONS]
    return "-".join([COMPILED, *further])


def compiled_operations(name: str) -> tuple[str, ...] | None:
    """The operations of the compiled model of a name, in their canonical order; None for every other name."""
    first, *further = name.split("-")
    ops = OPERATIONS.ordered([*COMPILED_OPERATIONS, *(part.upper() for part in further)])
    return ops if first == COMPILED and compiled_name(ops) == name else None


def fitting_name(name: str, ops: Iterable[str]) -> str:
    """The name of the model that knows ``ops`` too, where that of ``name`` is compiled; else ``name`` itself."""
    known = compiled_operations(name)
    return name if known is None else compiled_name([*known, *ops])
