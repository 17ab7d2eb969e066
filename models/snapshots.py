"""The weights a training run had on its way: ``snapshots/step_0001234.safetensors`` in a model's folder.

``snapshots.sha256`` beside that folder has the SHA-256 of every file, in the format of ``sha256sum``, and a snapshot
that differs is refused. Where there is no such file, snapshots are read unchecked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from models import own, storage
from models.bounds import index_of
from models.config import RecurrentConfig
from models.files import WriteError, write_atomically, write_text
from models.loading import ZOO
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError

FOLDER = "snapshots"
DIGESTS = "snapshots.sha256"
_PREFIX = "step_"


def snapshot_files(name_or_path: str | Path) -> list[tuple[int, Path]]:
    """(training step, file) of every snapshot of a bundled checkpoint or a local folder, earliest first.

    Raises:
        CheckpointError: a model that has none, or one of whose files the name has no training step.
    """
    folder = (
        ZOO / name_or_path
        if (ZOO / name_or_path).is_dir()
        else own.folders().get(str(name_or_path), Path(name_or_path))
    )
    files = sorted((folder / FOLDER).glob(f"{_PREFIX}*.safetensors"))
    if not files:
        kept = sorted(path.parent.name for path in ZOO.glob(f"*/{FOLDER}"))
        raise CheckpointError(
            f"{name_or_path} has no {FOLDER}; of the bundled models {', '.join(kept) or 'none'} has, and "
            "'recurlens train --snapshots N' keeps them"
        )
    return sorted((_step(path), path) for path in files)


def snapshots(name_or_path: str | Path) -> Iterator[tuple[int, RecurrentTransformer]]:
    """(training step, model in evaluation mode) of every snapshot, earliest first, one at a time.

    Snapshots are kept in half precision and computed with in the configuration's own.

    Raises:
        CheckpointError: a model that has none, or a file that is damaged or not what was saved.
    """
    digests: dict[str, str] | None = None
    for step, path in snapshot_files(name_or_path):
        folder = path.parent.parent
        model = RecurrentTransformer(RecurrentConfig.from_json((folder / storage.CONFIG_NAME).read_text()))
        digests = read_digests(folder) if digests is None else digests
        content = path.read_bytes()
        weights = storage.tensors_of(content, path)
        altered = digests and digests.get(_entry(path)) != hashlib.sha256(content).hexdigest()
        problem = f"{path} is not as it was saved: {folder / DIGESTS} has another SHA-256" if altered else ""
        storage.load_into(model, {name: value.float() for name, value in weights.items()}, path, problem)
        yield step, model.eval()


def write_snapshot(folder: Path, step: int, state: Mapping[str, Tensor], seconds: float) -> None:
    """Keep ``state`` in half precision as the snapshot of ``step`` in a model's folder, and its digest.

    The digest is written first: a snapshot that is there has one.

    Raises:
        CheckpointError: weights that are not finite, or a file that cannot be written.
    """
    halves = {name: value.detach().half().contiguous() for name, value in state.items()}
    path = folder / FOLDER / f"{_PREFIX}{step:07d}.safetensors"
    storage.check_weights(halves, path)
    content = save(halves, metadata={"step": str(step), "seconds": f"{seconds:.1f}"})
    try:
        write_digests(folder, read_digests(folder) | {_entry(path): hashlib.sha256(content).hexdigest()})
        write_atomically(path, lambda file: file.write(content))
    except WriteError as error:
        raise CheckpointError(str(error)) from error


def read_digests(folder: Path) -> dict[str, str]:
    """File (``snapshots/step_0001234.safetensors``) -> SHA-256 in hexadecimal; empty where there is no such list.

    Raises:
        CheckpointError: a list that cannot be read.
    """
    path = folder / DIGESTS
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def write_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Write the list that :func:`read_digests` reads. Raises models.files.WriteError."""
    write_text(folder / DIGESTS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))


def _step(path: Path) -> int:
    """The training step that a file's name says."""
    step = index_of(path.stem.removeprefix(_PREFIX))
    if step is None:
        raise CheckpointError(f"{path} is no snapshot: its name must be {_PREFIX}1234{path.suffix}")
    return step


def _entry(path: Path) -> str:
    return f"{FOLDER}/{path.name}"
