"""The notebooks of this folder: the text of each, and the notebook that it stands for.

A ``.py`` in jupytext's percent format is what is edited; the ``.ipynb`` beside it is made from it and never edited by
hand. Nothing in a notebook depends on when or where it was made: cells are named by their content, and metadata says
no more than which language it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jupytext
import nbformat
from nbformat import NotebookNode

from models.files import write_text

FOLDER: Final = Path(__file__).parent
METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(ValueError):
    """A notebook that is not there, or that cannot be used; the message says what is allowed."""


def names() -> list[str]:
    """The notebooks there are, in the order they are to be read."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


def chosen(wanted: Sequence[str]) -> list[str]:
    """The notebooks asked for, by name or by the number it begins with; all of them if none is.

    Raises:
        NotebookError: a name that is none's.
    """
    known = names()
    found: list[str] = []
    for name in wanted:
        stem = Path(name).stem
        fitting = [known_name for known_name in known if stem in (known_name, known_name.partition("_")[0])]
        if not fitting:
            raise NotebookError(f"there is no notebook {name!r}; there are {', '.join(known)}")
        found += fitting
    return list(dict.fromkeys(found)) or known


def source(name: str) -> NotebookNode:
    """The notebook that ``NAME.py`` stands for, without outputs."""
    notebook: Any = jupytext.read(FOLDER / f"{name}.py", fmt="py:percent")
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = NotebookNode()
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def stored(name: str) -> NotebookNode | None:
    """``NAME.ipynb`` as it lies in the folder; None if there is none."""
    path = FOLDER / f"{name}.ipynb"
    return nbformat.read(path, as_version=4) if path.exists() else None


def store(name: str, notebook: NotebookNode) -> Path:
    """Write ``NAME.ipynb``, whole or not at all."""
    nbformat.validate(notebook)
    path = FOLDER / f"{name}.ipynb"
    write_text(path, nbformat.writes(notebook) + "\n")
    return path
