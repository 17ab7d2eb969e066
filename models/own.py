"""Checkpoints of one's own that this process knows by a name: :func:`models.load` finds them as it finds bundled ones.

Nothing is imported or read here; who adds one has loaded it before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDERS: Final[dict[str, Path]] = {}


def add(name: str, folder: Path) -> None:
    """Let a folder be found by a name."""
    _FOLDERS[name] = folder


def remove(name: str) -> None:
    """Forget a name; the folder stays."""
    _FOLDERS.pop(name, None)


def folders() -> dict[str, Path]:
    """Name -> folder, in the order in which they were added."""
    return dict(_FOLDERS)
