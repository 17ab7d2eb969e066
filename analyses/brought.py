"""What the person who starts the dashboard brings: checkpoints, runs and graphs; an address can only choose among them.

Nothing heavy is imported before something is brought.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyses.inputs import InputError
from models import own
from models.bounds import LARGEST_JSON

if TYPE_CHECKING:
    from analyses.run_file import SavedRun

_RUNS: Final[dict[str, SavedRun]] = {}
_GRAPHS: Final[dict[str, tuple[str, ...]]] = {}
MOST_GRAPHS: Final = 1000
"""Graphs of one file."""


def bring_checkpoint(folder: Path, name: str = "") -> str:
    """Load the checkpoint in a folder, and let it be found by a name; returns that.

    name: default: that of the folder. Where it is that of another model, a number is put behind it.

    Raises:
        InputError: what the loader says of the folder.
    """
    from analyses.inputs import bad_input
    from models.loading import load_unhooked

    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; a checkpoint is one with config.json and model.safetensors."
        )
    with bad_input():
        load_unhooked(folder)
    title = free_name(name or folder.resolve().name)
    own.add(title, folder)
    return title


def free_name(name: str) -> str:
    """The name, with a number behind it where a model has it."""
    from analyses.loops import names, offered
    from models.loading import every_model

    taken = {*every_model(), *names.names(), *offered.offered(), *own.folders()}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def bring_run(path: Path) -> str:
    """Read the file of a run, for the page Open; returns its name. Raises InputError for what is none."""
    from analyses.run_file import SavedRun

    try:
        _RUNS[path.name] = SavedRun.from_json(_text(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return path.name


def bring_graphs(path: Path) -> str:
    """Read a file of graphs, for the page Open and the choice of graphs; returns its name.

    Raises InputError for what is none.
    """
    try:
        _GRAPHS[path.name] = graphs_of(_text(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return path.name


def runs() -> dict[str, SavedRun]:
    """Name of the file -> run."""
    return dict(_RUNS)


def graphs() -> dict[str, tuple[str, ...]]:
    """Name of the file -> the equations of each of its graphs."""
    return dict(_GRAPHS)


def graphs_of(text: str) -> tuple[str, ...]:
    """The equations of each graph of a file: a JSON object per line, as `--graphs-file` has them, or equations as they
    are typed, with a blank line between two graphs.

    Raises InputError with the line or the graph.
    """
    from models.graph import ComputationGraph

    as_json = text.lstrip().startswith("{")
    parts = text.splitlines() if as_json else blocks(text)
    found: list[str] = []
    for number, part in enumerate(parts, start=1):
        if not part.strip():
            continue
        if len(found) == MOST_GRAPHS:
            raise InputError(f"it has more than {MOST_GRAPHS:,} graphs, which is the most allowed.")
        try:
            graph = ComputationGraph.from_json(part) if as_json else ComputationGraph.parse(part)
        except ValueError as error:
            raise InputError(f"{'line' if as_json else 'graph'} {number}: {error}") from error
        found.append(graph.to_text())
    if not found:
        raise InputError(
            "it has no graphs: a JSON object with `equations` a line, or equations as they are typed."
        )
    return tuple(found)


def blocks(text: str) -> list[str]:
    """Parts of a text that stand between blank lines."""
    lines = itertools.groupby(text.splitlines(), key=lambda line: bool(line.strip()))
    return ["\n".join(group) for there, group in lines if there]


def _text(path: Path) -> str:
    """The text of a file. Raises InputError for one that cannot be read, or is too long."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_JSON + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or error
        raise InputError(f"it cannot be read: {reason}.") from error
    if len(text) > LARGEST_JSON:
        raise InputError(f"it has more than {LARGEST_JSON:,} characters, which is the most allowed.")
    return text
