"""The compiled loops by name."""

from __future__ import annotations

from typing import Final

from models.compiled.graph_loop import GraphLoop
from models.compiled.loop import CompiledLoop
from models.compiled.machine import MachineLoop
from models.compiled.parity import ParityLoop
from models.compiled.reachability import ReachabilityLoop
from models.compiled.shortest_paths import ShortestPathsLoop

_LOOPS: Final = {
    loop.name: loop for loop in (GraphLoop, ParityLoop, ReachabilityLoop, ShortestPathsLoop, MachineLoop)
}


def loops() -> list[str]:
    """What :func:`make` knows.

    Examples:
        >>> from models.compiled import loops
        >>> loops()
        ['graphs', 'parity', 'reachability', 'shortest-paths', 'machine']
    """
    return list(_LOOPS)


def make(name: str) -> CompiledLoop | GraphLoop:
    """A compiled loop: a looped Transformer with its circuit as data and its symbolic step.

    Raises:
        KeyError: no such loop.

    Examples:
        >>> from models.compiled import make
        >>> head = make("machine").circuit.with_role("store")
        >>> head.layer, head.queries, head.keys, head.reads, head.writes
        (2, ('cell',), ('now:b', 'rest'), ('change',), ('value',))
    """
    if name not in _LOOPS:
        raise KeyError(f"there is no compiled loop {name!r}; there are {', '.join(_LOOPS)}")
    return _LOOPS[name]()
