"""The weights a training run had on its way: ``snapshots/step_0001234.safetensors`` in a model's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from models import storage
from models.config import RecurrentConfig
from models.loading import ZOO
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError

FOLDER = "snapshots"
_PREFIX = "step_"


def snapshot_files(name_or_path: str | Path) -> list[tuple[int, Path]]:
    """(training step, file) of every snapshot of a bundled checkpoint or a local folder, earliest first.

    Raises:
        CheckpointError: a model that has none.
    """
    folder = ZOO / name_or_path if (ZOO / name_or_path).is_dir() else Path(name_or_path)
    files = sorted((folder / FOLDER).glob(f"{_PREFIX}*.safetensors"))
    if not files:
        kept = sorted(path.parent.name for path in ZOO.glob(f"*/{FOLDER}"))
        raise CheckpointError(
            f"{name_or_path} has no {FOLDER}; of the bundled models {', '.join(kept) or 'none'} has, and "
            "'recurlens train --snapshots N' keeps them"
        )
    return [(int(path.stem.removeprefix(_PREFIX)), path) for path in files]


def snapshots(name_or_path: str | Path) -> Iterator[tuple[int, RecurrentTransformer]]:
    """(training step, model in evaluation mode) of every snapshot, earliest first, one at a time.

    Snapshots are kept in half precision and computed with in the configuration's own.

    Raises:
        CheckpointError: a model that has none, or a damaged file.
    """
    for step, path in snapshot_files(name_or_path):
        folder = path.parent.parent
        model = RecurrentTransformer(RecurrentConfig.from_json((folder / storage.CONFIG_NAME).read_text()))
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged or truncated: {error}") from error
        storage.load_into(model, {name: value.float() for name, value in weights.items()}, path)
        yield step, model.eval()
