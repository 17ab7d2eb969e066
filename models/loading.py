"""``models.load``: a model by its name in the zoo, by its folder, or by its id on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from models import storage
from models.compiled import compile_model
from models.config import RecurrentConfig
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError

ZOO = Path(__file__).parent / "zoo"
COMPILED = "compiled"


def available() -> list[str]:
    """Names that :func:`load` knows without a path: the compiled ground truth and the bundled checkpoints."""
    bundled = (
        sorted(folder.name for folder in ZOO.iterdir() if (folder / storage.CONFIG_NAME).is_file())
        if ZOO.is_dir()
        else []
    )
    return [COMPILED, *bundled]


def config(name: str) -> RecurrentConfig:
    """The configuration of a bundled checkpoint, without its weights.

    Raises:
        CheckpointError: no such checkpoint.
    """
    path = ZOO / name / storage.CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {name!r}; bundled are {', '.join(available())}")
    return RecurrentConfig.from_json(path.read_text())


def load(name_or_path: str | Path) -> RecurrentTransformer:
    """A model in evaluation mode.

    ``"compiled"`` is built in code (see :mod:`models.compiled`); other names are bundled checkpoints
    (:func:`available`), then local folders, then ids on the Hugging Face Hub (``owner/name``).

    Raises:
        CheckpointError: no such model, a damaged file, or weights that do not fit their configuration.
    """
    name = str(name_or_path)
    if name == COMPILED:
        return compile_model()
    if (ZOO / name / storage.CONFIG_NAME).is_file():
        return RecurrentTransformer.from_pretrained(ZOO / name)
    if not Path(name).exists() and "/" not in name:
        raise CheckpointError(
            f"there is no model {name!r}; bundled are {', '.join(available())}; a path or a Hub id works too"
        )
    return RecurrentTransformer.from_pretrained(name)
