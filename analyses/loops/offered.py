"""Looped models that the person who starts the dashboard offers in it; an address can only choose among these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analyses.loops.opening import Opened

_OFFERED: Final[dict[str, Opened]] = {}


def offer(name: str) -> str:
    """Open the looped model of a name and offer it; returns what it is called in the choice of models.

    Raises:
        InputError: a model that cannot be opened.
    """
    from analyses.loops.opening import open_loop

    known = {opened.name: title for title, opened in _OFFERED.items()}
    if name in known:
        return known[name]
    title = Path(name).name if Path(name).name not in _OFFERED else name
    _OFFERED[title] = open_loop(name)
    return title


def offered() -> dict[str, Opened]:
    """What they are called -> the models."""
    return dict(_OFFERED)
