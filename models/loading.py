"""``models.load``: a model by its name in the zoo, by its folder, or by its id on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from models import storage
from models.compiled import compile_model
from models.compiled_names import COMPILED, compiled_name, compiled_operations
from models.config import RecurrentConfig
from models.operations import OPERATIONS
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError

__all__ = ["COMPILED", "ZOO", "available", "config", "every_model", "load", "with_steps"]

ZOO = Path(__file__).parent / "zoo"


def available() -> list[str]:
    """Names that :func:`load` knows without a path: the compiled ground truth and the bundled checkpoints.

    Examples:
        >>> from models import available
        >>> available()[0], "discrete-corrected" in available()
        ('compiled', True)
    """
    bundled = (
        sorted(folder.name for folder in ZOO.iterdir() if (folder / storage.CONFIG_NAME).is_file())
        if ZOO.is_dir()
        else []
    )
    return [COMPILED, *bundled]


def every_model() -> list[str]:
    """The same, and the ground truth that is compiled for all operations there are."""
    names = available()
    return list(dict.fromkeys([COMPILED, compiled_name(OPERATIONS), *names]))


def with_steps() -> list[str]:
    """Those of them that have steps to look at: all but the ones that write their solution as text."""
    return [
        name
        for name in every_model()
        if compiled_operations(name) is not None or not config(name).writes_text
    ]


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

    ``"compiled"`` is built in code (see :mod:`models.compiled`), for ADD, SUB and MUL; ``"compiled-max"`` is the same
    for these and MAX, and so with every further operation (:mod:`models.compiled_names`). Other names are bundled
    checkpoints (:func:`available`), then local folders, then ids on the Hugging Face Hub (``owner/name``).

    Raises:
        CheckpointError: no such model, a damaged file, or weights that do not fit their configuration.

    Examples:
        >>> from models import load
        >>> model = load("compiled")
        >>> model.cfg.n_layers, model.cfg.n_heads, model.cfg.ops
        (3, 6, ('ADD', 'SUB', 'MUL'))
    """
    name = str(name_or_path)
    if (ops := compiled_operations(name)) is not None:
        return compile_model(ops)
    if (ZOO / name / storage.CONFIG_NAME).is_file():
        return RecurrentTransformer.from_pretrained(ZOO / name)
    if not Path(name).exists() and "/" not in name:
        raise CheckpointError(
            f"there is no model {name!r}; bundled are {', '.join(available())}; a path or a Hub id works too"
        )
    return RecurrentTransformer.from_pretrained(name)
