"""The compiled loops by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from models.compiled_names import LOOPS

if TYPE_CHECKING:
    from models.compiled.graph_loop import GraphLoop
    from models.compiled.loop import CompiledLoop


def loops() -> list[str]:
    """What :func:`make` knows.

    Examples:
        >>> from models.compiled import loops
        >>> loops()
        ['graphs', 'parity', 'reachability', 'shortest-paths', 'machine']
    """
    return list(LOOPS)


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
    if name not in LOOPS:
        raise KeyError(f"there is no compiled loop {name!r}; there are {', '.join(LOOPS)}")
    module, _, made = LOOPS[name].partition(":")
    return getattr(import_module(module), made)()
