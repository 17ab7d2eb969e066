"""Inputs of the compiled loops, for their tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.compiled import Digraph, Program

CODED = ["parity", "reachability", "shortest-paths", "machine"]
"""Those whose state is the embedding of its symbols."""
BATCH = 20
MULTIPLY = Program(
    # cells: 0 zero, 1 one, 2 x, 3 y, 4 minus x, 5 product
    lines=((2, 4, 1), (4, 5, 2), (1, 3, 4), (0, 0, 1), (0, 0, 32)),
    memory=(0, 1, 7, 6, 0, 0),
)
"""product -= minus x, y times."""
EXAMPLES: dict[str, tuple[Any, Any]] = {
    "graphs": ("20 = a; 2 = b; a + b = c; c + a = d", "20 = a; 5 = b; a + b = c; c + a = d"),
    "parity": ("10110", "00110"),
    "reachability": (
        Digraph(4, ((0, 1, 1), (1, 2, 1), (2, 3, 1))),
        Digraph(4, ((0, 3, 1), (1, 2, 1), (2, 3, 1))),
    ),
    "shortest-paths": (
        Digraph(4, ((0, 1, 3), (1, 2, 1), (0, 2, 7))),
        Digraph(4, ((0, 1, 3), (1, 2, 6), (0, 2, 7))),
    ),
    "machine": (
        Program(((0, 1, 1), (1, 2, 3), (2, 2, 3), (2, 0, 32)), (3, 5, 9)),
        Program(((0, 1, 1), (1, 2, 3), (2, 2, 3), (2, 0, 32)), (3, 9, 9)),
    ),
}
"""A pair of inputs of one layout; the second takes another way."""


def batches(loop: Any, n: int, seed: int) -> Iterator[list[Any]]:
    """Random inputs, those of similar length together."""
    inputs = sorted(loop.sample(n, seed), key=lambda given: len(loop.tokens([given])[0]))
    for start in range(0, n, BATCH):
        yield inputs[start : start + BATCH]
