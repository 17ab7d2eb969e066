"""Checkpoints that survive a kill at any moment.

A file is a magic line, the SHA-256 of the rest in hex, a newline, and a `torch.save` archive. It is written
beside its final name, flushed to disk, and renamed over it, so a reader sees the old file or the new one,
whole. Loading verifies the digest first and unpickles nothing but tensors and plain values.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from models import files
from models.storage import CheckpointError as CheckpointError

MAGIC = b"recurlens checkpoint 1\n"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """:func:`models.files.write_atomically` for the files of a training run.

    Raises:
        CheckpointError: the disk is full, the folder cannot be written, ... .
    """
    try:
        files.write_atomically(path, write)
    except files.WriteError as error:
        raise CheckpointError(str(error)) from error


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state (tensors, numbers, strings, lists, dicts) atomically.

    Raises:
        CheckpointError: it cannot be written; the previous file is intact.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    write_atomically(path, lambda file: file.write(MAGIC + digest + b"\n" + payload))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: no such file, not a checkpoint, truncated or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    header = len(MAGIC) + 65
    if not content.startswith(MAGIC):
        raise CheckpointError(
            f"{path} is not a training checkpoint (it does not start with {MAGIC[:-1].decode()!r})"
        )
    digest, payload = content[len(MAGIC) : header - 1], content[header:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise CheckpointError(
            f"{path} is truncated or altered: its checksum does not match its {len(payload)} bytes"
        )
    return torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
