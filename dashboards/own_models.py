"""Kinds of models in the choice of every page, what each is written as in code, and which a page leaves out and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from analyses.loops.offered import offered
from models import own
from models.compiled_names import compiled_operations

KINDS: Final = ("compiled", "bundled", "looped", "yours")
"""In the order of the choice; the last two stand behind the names."""
AS_TEXT: Final = "it writes its solution as text, and has no steps"


def kind_of(name: str) -> str:
    """One of :data:`KINDS`."""
    if name in own.folders():
        return "yours"
    if compiled_operations(name) is not None:
        return "compiled"
    return "looped" if name in offered() else "bundled"


def label_of(name: str) -> str:
    """A model's name in the choice of models."""
    kind = kind_of(name)
    return f"{name}  ·  {kind}" if kind in ("looped", "yours") else name


def grouped(names: Iterable[str]) -> list[str]:
    """Models of a kind beside each other; within a kind in their order."""
    return sorted(names, key=lambda name: KINDS.index(kind_of(name)))


def left_out(names: Iterable[str], every: Iterable[str]) -> str:
    """A sentence in Markdown on the models that a page does not offer, for the help of the choice; empty where there
    are none.
    """
    missing = [name for name in every if name not in set(names)]
    if not missing:
        return ""
    them = ", ".join(f"`{name}`" for name in missing)
    return f" Not on this page, because they write their solution as text and have no steps: {them}."


def written(name: str) -> str:
    """A model's name in code and commands: of a checkpoint that the server was started with its folder; of an upload
    the name, for the folder of the reader's own files.
    """
    folder = own.folders().get(name)
    return name if folder is None or folder.name.startswith("recurlens-upload-") else str(folder)
