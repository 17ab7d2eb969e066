"""Names of hook points: the step and the block that they are of, and their further names. Nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models.bounds import index_of


def split_step(name: str) -> tuple[int, str]:
    """``"steps.3.blocks.1.hook_resid_pre"`` -> ``(3, "blocks.1.hook_resid_pre")``.

    Raises:
        ValueError: a name without a step.
    """
    prefix, _, rest = name.partition(".")
    step, _, plain = rest.partition(".")
    index = index_of(step)
    if prefix != "steps" or index is None or not plain:
        raise ValueError(f"{name!r} names no recurrence step; expected 'steps.<step>.<hook name>'")
    return index, plain


def layer_of(plain_name: str) -> int:
    """``"blocks.1.attn.hook_z"`` -> 1; ValueError where the name is in no block."""
    parts = plain_name.split(".")
    layer = index_of(parts[1]) if len(parts) > 2 else None
    if parts[0] != "blocks" or layer is None:
        raise ValueError(f"{plain_name!r} is in no block, so it has no layer")
    return layer


ALIASES = {
    "hook_q_input": "attn.hook_q_input",
    "hook_k_input": "attn.hook_k_input",
    "hook_v_input": "attn.hook_v_input",
    "attn.hook_attn_in": "hook_attn_in",
}
"""Further names that TransformerLens has inside a block -> the name of the same point here."""


_BLOCK = re.compile(r"(^|\.)blocks\.\d+\.$")


def aliases_of(names: Iterable[str]) -> dict[str, str]:
    """Alias -> name, of all hook points ``names`` (with or without a step) that have a further name."""
    found: dict[str, str] = {}
    for alias, own in ALIASES.items():
        for name in names:
            block = _block(name, own)
            if block is not None:
                found[block + alias] = name
    return found


def own_name(name: str) -> str:
    """The name (with or without a step) of the hook point that ``name`` is an alias of; else ``name``."""
    for alias, own in ALIASES.items():
        block = _block(name, alias)
        if block is not None:
            return block + own
    return name


def _block(name: str, inside: str) -> str | None:
    """``"blocks.1."`` of ``"blocks.1.hook_q_input"``, ``"hook_q_input"``; None where it is not a block's."""
    if not name.endswith(inside):
        return None
    block = name.removesuffix(inside)
    return block if _BLOCK.search(block) else None
