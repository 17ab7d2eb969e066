"""Models on disk: a folder with ``config.json`` and ``model.safetensors``, written so that a crash leaves the
old one whole.

``config.json`` holds one entry more than the configuration: ``sha256``, over all bytes of ``model.safetensors``
followed by the configuration as JSON with sorted keys and no spaces. A model whose files do not have it is
refused when it is loaded: a flipped bit, the weights of another model, half of an upload. It goes where the two
files go (``save_pretrained``, the Hugging Face Hub). A folder without the entry, written by other tools or before
there was one, is loaded unchecked; saving the model again adds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from models import fitting
from models.config import DIGEST, ConfigError, RecurrentConfig
from models.files import WriteError, sync_folder, write_atomically, write_text

Model = TypeVar("Model", bound=nn.Module)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
NEXT_CONFIG_NAME = ".config.json.next"
"""The configuration of weights that are about to take their place: there only while a model is being written."""


class CheckpointError(ValueError, RuntimeError):
    """A checkpoint that is missing, damaged, does not fit or cannot be written; the message names the file and
    what is wrong.

    Examples:
        >>> from models import CheckpointError, load
        >>> try:
        ...     load("no-such-model")
        ... except CheckpointError as error:
        ...     print(str(error)[:33])
        there is no model 'no-such-model'
    """


def write(folder: Path, cfg: RecurrentConfig, state: Mapping[str, Tensor]) -> None:
    """Write both files, so that a folder that held a model holds it, or the new one, at any moment.

    The new configuration is written beside the old one, the weights over the old ones, and the configuration
    renamed into its place. :func:`read` takes of the two configurations the one that fits the weights.

    Raises:
        CheckpointError: weights that are not finite, or a folder that cannot be written (a full disk, no
            permission); what was there before is intact.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    check_weights(tensors, folder)
    weights = save(tensors, metadata={"format": "pt"})
    values = cfg.to_dict()
    values[DIGEST] = _digest(weights, values)
    following = folder / NEXT_CONFIG_NAME
    try:
        write_text(following, json.dumps(values, indent=2) + "\n")
        write_atomically(folder / WEIGHTS_NAME, lambda file: file.write(weights))
        following.replace(folder / CONFIG_NAME)
        sync_folder(folder)
    except OSError as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror or str(error)
        raise CheckpointError(f"cannot write a checkpoint to {folder}: {reason}") from error
    finally:
        with suppress(OSError):
            following.unlink(missing_ok=True)


def _digest(weights: bytes, config: Mapping[str, Any]) -> str:
    """SHA-256 of the bytes of a weights file and the configuration beside it, in hexadecimal."""
    digest = hashlib.sha256(weights)
    own = {name: value for name, value in config.items() if name != DIGEST}
    digest.update(json.dumps(own, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


class Stored(NamedTuple):
    """What a model folder holds. problem: why it is not what was saved, one sentence; empty where nothing is known
    against it.
    """

    cfg: RecurrentConfig
    state: dict[str, Tensor]
    problem: str


def read(folder: Path) -> Stored:
    """The configuration and the weights in ``folder``, and whether their digest is the one they were saved with.

    Raises:
        CheckpointError: a file is missing, truncated or no checkpoint.
    """
    path = folder / WEIGHTS_NAME
    texts = _configurations(folder)
    for name, there in ((CONFIG_NAME, bool(texts)), (WEIGHTS_NAME, path.is_file())):
        if not there:
            raise CheckpointError(f"{folder} is no model folder: it has no {name}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    # The second look is for a model that is being replaced meanwhile.
    matching = next((text for text in (*texts, *_configurations(folder)) if _fits(text, content)), None)
    problem = (
        f"{folder}: {WEIGHTS_NAME} and {CONFIG_NAME} are not as they were saved, their SHA-256 is another than "
        f"{CONFIG_NAME} says; get the model again, or remove {DIGEST!r} from {CONFIG_NAME} to load it all the same"
    )
    return Stored(
        _configuration(texts[0] if matching is None else matching, folder),
        tensors_of(content, path),
        problem if matching is None else "",
    )


def _configurations(folder: Path) -> list[str]:
    """The text of ``config.json``, and of the one that is about to take its place, where it is there."""
    texts: list[str] = []
    for name in (CONFIG_NAME, NEXT_CONFIG_NAME):
        try:
            texts.append((folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{folder / name}: {error}") from error
    return texts


def _fits(text: str, weights: bytes) -> bool:
    """Whether a configuration names the digest that it has with these weights, or none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(values, dict):
        return False
    config = cast("dict[str, Any]", values)
    return DIGEST not in config or config[DIGEST] == _digest(weights, config)


def _configuration(text: str, folder: Path) -> RecurrentConfig:
    try:
        return RecurrentConfig.from_json(text)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error


def tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file.

    Raises:
        CheckpointError: the bytes are no such file.
    """
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged or truncated: {error}") from error


def check_weights(state: Mapping[str, Tensor], source: Path) -> None:
    """Raises CheckpointError where a weight is not a finite number of a floating type."""
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{source}: {name} is of type {tensor.dtype}; weights are of a floating type"
            )
        if not torch.isfinite(tensor.float() if tensor.itemsize == 1 else tensor).all():
            raise CheckpointError(f"{source}: {name} has numbers that are not finite (NaN or infinite)")


def check_fit(build: Callable[[RecurrentConfig], nn.Module], stored: Stored, folder: Path) -> None:
    """Raises CheckpointError where the model that ``build`` makes of the configuration would have other weights than
    those that are stored; nothing is allocated for it.
    """
    try:
        misfit = fitting.misfit(build, stored.cfg, stored.state)
    except (RuntimeError, TypeError, ValueError) as error:
        problem = stored.problem or f"{folder}: no model can be built from config.json: {error}"
        raise CheckpointError(problem) from error
    if misfit:
        raise CheckpointError(f"{folder}: the weights do not fit config.json; {misfit}")


def load_into(model: nn.Module, state: Mapping[str, Tensor], folder: Path, problem: str = "") -> None:
    """Put weights into ``model``.

    Raises:
        CheckpointError: names or shapes differ from what the configuration says (a checkpoint of another
            vocabulary, say); ``problem``, where there is one; weights that are no finite floating-point numbers.
    """
    needed = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if misfit := fitting.difference(needed, state):
        raise CheckpointError(f"{folder}: the weights do not fit config.json; {misfit}")
    if problem:
        raise CheckpointError(problem)
    check_weights(state, folder)
    model.load_state_dict(dict(state))


def model(build: Callable[[RecurrentConfig], Model], folder: Path) -> Model:
    """The model in a folder, in evaluation mode, as ``build`` makes it of its configuration.

    Raises:
        CheckpointError: as :func:`read`, :func:`check_fit` and :func:`load_into`.
    """
    stored = read(folder)
    check_fit(build, stored, folder)
    built = build(stored.cfg)
    load_into(built, stored.state, folder, stored.problem)
    return built.eval()


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
