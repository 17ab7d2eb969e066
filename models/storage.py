"""Models on disk: a folder with ``config.json`` and ``model.safetensors``, written so that a crash leaves the
old one whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from models.config import ConfigError, RecurrentConfig

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit; the message names the file and what is
    wrong.
    """


def write(folder: Path, cfg: RecurrentConfig, state: Mapping[str, Tensor]) -> None:
    """Write both files, each to a temporary name first, flushed to disk, then renamed.

    Raises:
        CheckpointError: the folder cannot be written (a full disk, no permission); what was there before is
            intact.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = folder / (WEIGHTS_NAME + ".tmp")
        try:
            save_file(tensors, weights, metadata={"format": "pt"})
            _commit(weights, folder / WEIGHTS_NAME)
            config = folder / (CONFIG_NAME + ".tmp")
            config.write_text(cfg.to_json())
            _commit(config, folder / CONFIG_NAME)
        finally:
            for name in (WEIGHTS_NAME, CONFIG_NAME):
                (folder / (name + ".tmp")).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write a checkpoint to {folder}: {error}") from error


def _commit(temporary: Path, final: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)


def read(folder: Path) -> tuple[RecurrentConfig, dict[str, Tensor]]:
    """The configuration and the weights in ``folder``.

    Raises:
        CheckpointError: a file is missing, truncated or no checkpoint.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is no model folder: it has no {name}")
    try:
        cfg = RecurrentConfig.from_json((folder / CONFIG_NAME).read_text())
    except (ConfigError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error
    try:
        return cfg, load_file(folder / WEIGHTS_NAME)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_NAME} is damaged or truncated: {error}") from error


def load_into(model: nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    """Put weights into ``model``.

    Raises:
        CheckpointError: names or shapes differ from what the configuration says (a checkpoint of another
            vocabulary, say).
    """
    own = model.state_dict()
    missing, surplus = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or surplus:
        raise CheckpointError(
            f"{folder}: the weights do not fit config.json; "
            f"missing {missing or 'none'}, not expected {surplus or 'none'}"
        )
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            raise CheckpointError(
                f"{folder}: {name} is {tuple(state[name].shape)}, "
                f"but config.json (its sizes and vocabulary) asks for {tuple(tensor.shape)}"
            )
    model.load_state_dict(dict(state))


def locate(name_or_path: str, **hub_options: Any) -> Path:
    """The folder of a model: ``name_or_path`` itself if it is one, else a snapshot from the Hugging Face Hub.

    Raises:
        CheckpointError: no such folder, and the Hub does not have it or cannot be reached.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; a model is a folder with {CONFIG_NAME} and {WEIGHTS_NAME}"
        )
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = [CONFIG_NAME, WEIGHTS_NAME]
        return Path(cast(str, snapshot_download(name_or_path, allow_patterns=wanted, **hub_options)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name_or_path!r} is neither a local folder nor a model the Hugging Face Hub could give us: "
            f"{error}"
        ) from error
