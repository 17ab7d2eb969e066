"""Checkpoints that are uploaded: checked by the loader, and the latest kept in temporary folders until the server ends.

A name ends in digits of the files' SHA-256, so that it never comes to mean other weights.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from analyses.brought import bring_checkpoint
from analyses.inputs import InputError
from models import own
from models.files import write_atomically
from models.storage import CONFIG_NAME, WEIGHTS_NAME

LARGEST_MB: Final = 128
"""Of the files of a checkpoint together, as they are uploaded and as they are unpacked."""
_MOST: Final = 4
"""Uploaded checkpoints that are kept; the oldest goes first."""
_WANTED: Final = (CONFIG_NAME, WEIGHTS_NAME)
_NEEDED: Final = f"A checkpoint is {CONFIG_NAME} and {WEIGHTS_NAME}, as two files or one zip"
_lock: Final = threading.Lock()
_uploaded: Final[dict[str, Path]] = {}


def take_checkpoint(files: Iterable[tuple[str, bytes]]) -> str:
    """Check an uploaded checkpoint and keep it; returns the name by which pages know it.

    files: name and bytes of ``config.json`` and ``model.safetensors``, or of one zip that has both.

    Raises:
        InputError: other files, too large ones, or what the loader says.
    """
    given = list(files)
    if sum(len(content) for _, content in given) > LARGEST_MB * 2**20:
        raise InputError(f"More than {LARGEST_MB} MB were given, which is the most allowed.")
    if len(given) == 1 and given[0][0].lower().endswith(".zip"):
        stem, parts = Path(given[0][0]).stem, _unpacked(*given[0])
    else:
        stem, parts = "upload", _sorted(given)
    digest = hashlib.sha256(b"".join(parts[name] for name in _WANTED)).hexdigest()[:8]
    name = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', stem).strip('-')[:40] or 'upload'}-{digest}"
    with _lock:
        if name not in _uploaded:
            _keep(name, parts)
    return name


def _keep(name: str, parts: Mapping[str, bytes]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="recurlens-upload-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        for file, content in parts.items():
            write_atomically(folder / file, lambda place, content=content: place.write(content))
        bring_checkpoint(folder, name)
    except InputError as error:
        shutil.rmtree(folder, ignore_errors=True)
        # Where it was put for the loader says nothing to a reader.
        said = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), name)
        raise InputError(f"{name} cannot be opened: {said}") from error
    _uploaded[name] = folder
    for old in list(_uploaded)[:-_MOST]:
        own.remove(old)
        shutil.rmtree(_uploaded.pop(old), ignore_errors=True)


def _sorted(given: list[tuple[str, bytes]]) -> dict[str, bytes]:
    parts = {PurePosixPath(name).name: content for name, content in given}
    if set(parts) != set(_WANTED) or len(given) != len(_WANTED):
        names = ", ".join(name for name, _ in given) or "nothing"
        raise InputError(f"{_NEEDED}; {names} was given.")
    return parts


def _unpacked(name: str, content: bytes) -> dict[str, bytes]:
    """The two files of a zip, wherever they are in it; nothing is written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [one for one in archive.infolist() if PurePosixPath(one.filename).name in _WANTED]
            found = sorted(PurePosixPath(one.filename).name for one in inside)
            if found != sorted(_WANTED):
                raise InputError(f"{_NEEDED}; {name} has {', '.join(found) or 'neither'}.")
            parts: dict[str, bytes] = {}
            left = LARGEST_MB * 2**20
            for one in inside:
                with archive.open(one) as file:
                    part = file.read(left + 1)
                left -= len(part)
                if left < 0:
                    raise InputError(f"{name} holds more than {LARGEST_MB} MB, which is the most allowed.")
                parts[PurePosixPath(one.filename).name] = part
            return parts
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise InputError(f"{name} cannot be unpacked: {error}") from error
