"""The finished part of a sweep, kept in the output folder while the sweep runs: `OUT/parts`.

Every result is a file of its own, written whole as soon as it is there; `about.json` says what the sweep is, and
`--resume` goes on only with the same one. What is kept is deleted when the table is written (`forget`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from analyses.export import writing
from analyses.inputs import InputError, load_model
from models.bounds import json_problem
from models.files import check_folder, remove_leftovers, write_text

FOLDER = "parts"
ABOUT = "about.json"


class Storable(Protocol):
    """A result that can be written into a file and read back without loss."""

    def save(self, path: str | Path) -> Path: ...

    @classmethod
    def load(cls, path: str | Path) -> Self: ...


Result = TypeVar("Result", bound=Storable)


@dataclass(frozen=True)
class Kept(Generic[Result]):
    """Results of one sweep, item by item, in `folder`."""

    folder: Path
    kind: type[Result]
    finished: frozenset[int]
    """Items that were there when the sweep began."""

    @classmethod
    def begin(cls, out: Path, kind: type[Result], about: Mapping[str, Any], resume: bool) -> Kept[Result]:
        """Begin a sweep in `out`, or go on with the one that was interrupted there.

        about: all that the results depend on (`about_sweep`).

        Raises:
            InputError: a sweep lies there and `resume` was not said; it is another one; nothing can be written.
        """
        folder = out / FOLDER
        text = json.dumps(about, indent=2) + "\n"
        if (folder / ABOUT).is_file():
            finished = frozenset(int(path.stem) for path in folder.glob("[0-9]*.npz"))
            if not resume:
                raise InputError(
                    f"{folder} holds {len(finished)} results of a sweep that was interrupted: go on with --resume, "
                    "or delete that folder to begin anew."
                )
            _check_same(folder, _read(folder / ABOUT), json.loads(text))
            for place in (out, folder):
                remove_leftovers(place)
        else:
            finished = frozenset[int]()
            shutil.rmtree(folder, ignore_errors=True)  # of a sweep that was killed while it tidied up
            with writing():
                check_folder(folder)
                write_text(folder / ABOUT, text)
        return cls(folder, kind, finished)

    def add(self, index: int, result: Result) -> None:
        """Keep the result of an item. Raises InputError where it cannot be written."""
        with writing():
            result.save(self._path(index))

    def load(self, index: int) -> Result:
        """The result of an item in `finished`. Raises InputError for a damaged file."""
        path = self._path(index)
        try:
            return self.kind.load(path)
        except Exception as error:  # numpy, zipfile and json fail in many ways
            raise InputError(f"{path} is damaged: delete it and go on with --resume ({error}).") from error

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"


def keep_results(
    out: Path | None,
    resume: bool,
    kind: type[Result],
    model: str,
    items: Sequence[str],
    **settings: Any,
) -> Kept[Result] | None:
    """Where the results of a study are kept; None without a folder, or where there is one item only.

    items: each as text. settings: what else the results depend on, as JSON values. Raises InputError as `Kept.begin`.
    """
    if out is None or len(items) < 2:
        return None
    from models.digests import model_digest

    digest = model_digest(load_model(model))
    return Kept.begin(out, kind, about_sweep(model, digest, items, **settings), resume)


def about_sweep(model: str, digest: str, items: Sequence[str], **settings: Any) -> dict[str, Any]:
    """All that the results of a sweep depend on, as plain JSON values.

    digest: `models.digests.model_digest`. items: each as text. settings: what the task is given, JSON values.
    """
    texts = hashlib.sha256("\n".join(items).encode()).hexdigest()
    versions = {package: version(package) for package in ("recurlens", "torch", "numpy")}
    settings = {name: value for name, value in settings.items() if value is not None}
    about = {**settings, "model": model, "weights": digest, "items": texts, "versions": versions}
    return json.loads(json.dumps(about))


def forget(out: Path) -> None:
    """Delete what a sweep kept in `out`; called when its table is written."""
    folder = out / FOLDER
    # First, so that what is left after a kill is no sweep.
    (folder / ABOUT).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {json_problem(error)}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return found if isinstance(found, dict) else {}


def _check_same(folder: Path, found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    names = {"weights": "other weights", "items": "other graphs"}
    for name in [*given, *(name for name in found if name not in given)]:
        was, now = found.get(name), given.get(name)
        if was != now:
            other = names.get(name, f"{name} {json.dumps(was)}, not {json.dumps(now)}")
            raise InputError(
                f"{folder} holds results of a sweep with {other}: --resume needs the same options and model, "
                "or give another folder."
            )
