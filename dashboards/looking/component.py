"""Mounting the text on a page: what goes into the browser."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from dashboards.components import component_of
from interp.data.rhs_patterns import RhsPattern
from interp.mechanism.attention_graph_figure import head_colour

HERE: Final = Path(__file__).parent
LEAST: Final = 0.1
"""Attention from which on a look is shown."""


def looks_of(pattern: RhsPattern, layer: int, heads: Sequence[int]) -> list[tuple[int, int, int, float]]:
    """(place in ``heads``, node, position, attention) of at least 0.1, for every node the strongest first."""
    values = pattern.pattern[layer, list(heads)]
    found = [
        (head, node, pos, round(float(values[head, node, pos]), 3))
        for head, node, pos in np.argwhere(values >= LEAST).tolist()
    ]
    return sorted(found, key=lambda look: (look[1], -look[3]))


def looking(pattern: RhsPattern, layer: int, heads: Sequence[int], node: int | None, key: str) -> None:
    """Show the text; the token of a node is pointed at first, or the last node's."""
    bounds = [0, *(int(position) + 1 for position in pattern.rhs)]
    words = list(pattern.tokens)
    data: dict[str, Any] = {
        "equations": [words[start:end] for start, end in pairwise(bounds)],
        "words": [f"{word} ({position})" for position, word in enumerate(words)],
        "rhs": [int(position) for position in pattern.rhs],
        "names": [f"{layer}.{head}" for head in heads],
        "colours": [head_colour(head) for head in heads],
        "looks": looks_of(pattern, layer, heads),
        "least": LEAST,
        "node": node,
    }
    named = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    component_of(HERE, "looking")(key=key, data={"key": named, **data})
