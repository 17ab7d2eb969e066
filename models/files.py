"""Files that are whole or not there: everything the toolkit writes goes through :func:`write_atomically`.

Nothing heavy is imported here, so that a command can check where it writes before it loads anything.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_LEFT = re.compile(r"\.recurlens-[0-9a-f]{16}\.tmp")
_STREAM = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")
_PROBE = bytes(4096)
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)


class WriteError(OSError):
    """A file that cannot be written. The message names it, the reason, and whether an older one is still there.

    Attributes:
        path: the file. reason: what the system says, such as "No space left on device". kept: what became of an older
            file, such as "; x.json still holds the previous one".
    """

    def __init__(self, path: Path, reason: str, kept: str = "") -> None:
        super().__init__(f"cannot write {path}: {reason}{kept}")
        self.path, self.reason, self.kept = path, reason, kept


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write(file)` on a temporary file in the same folder, fsync, rename to `path`. On any failure `path`
    keeps its old content, and nothing else is left behind.

    Missing folders are made. A link keeps pointing where it points. A device, a pipe, or a stream of this process
    (`/dev/stdout`) has no content to keep and is written directly.

    Raises:
        WriteError: the disk is full, the folder cannot be written, ... . What `write` raises, unless it is an OSError.
    """
    target = path
    temporary: Path | None = None
    try:
        if _is_stream(path):
            with path.open("wb") as file:
                write(file)
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target.parent)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if target.is_file():
            shutil.copymode(target, temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        kept = f"{path} still holds the previous one" if target.is_file() else "nothing was left behind"
        raise WriteError(path, error.strerror or str(error), f"; {kept}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically. Raises WriteError."""
    content = text.encode()
    write_atomically(path, lambda file: file.write(content))


def check_file(path: Path) -> None:
    """Find out whether `path` could be written, without touching what is there; for before a long work.

    Raises:
        WriteError: it is a folder, its folder is missing or cannot be written, it is protected, the disk is full.
    """
    if path.is_dir():
        raise WriteError(path, "it is a folder")
    if not path.parent.is_dir():
        raise WriteError(path, f"there is no folder {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):
        raise WriteError(path, os.strerror(errno.EACCES))
    if not _is_stream(path):
        _probe(path, path.resolve().parent)


def check_folder(folder: Path) -> None:
    """Make `folder` where it is missing, and find out whether files can be written into it.

    Raises:
        WriteError: it cannot be made, is a file, cannot be written, the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        in_the_way = next((part for part in (folder, *folder.parents) if part.is_file()), None)
        reason = error.strerror or str(error)
        raise WriteError(folder, reason if in_the_way is None else f"{in_the_way} is a file") from error
    _probe(folder, folder)


def remove_leftovers(folder: Path) -> None:
    """Delete what writes that were killed left in `folder`. For a folder that nobody else is writing into."""
    for path in folder.glob(".recurlens-*.tmp"):
        if _LEFT.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def _is_stream(path: Path) -> bool:
    special = path.exists() and not path.is_file() and not path.is_dir()
    return special or _STREAM.fullmatch(str(path.absolute())) is not None


def _temporary(folder: Path) -> Path:
    return folder / f".recurlens-{secrets.token_hex(8)}.tmp"


def _probe(path: Path, folder: Path) -> None:
    temporary = _temporary(folder)
    try:
        temporary.write_bytes(_PROBE)
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
