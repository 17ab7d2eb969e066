"""``models.load``: a model by its name in the zoo, by its folder, or by its id on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models import own, storage
from models.compiled.weights import compiled_config, write_weights
from models.compiled_names import COMPILED, compiled_name, compiled_operations
from models.config import RecurrentConfig
from models.network import UnhookedTransformer
from models.operations import OPERATIONS
from models.storage import CheckpointError

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

__all__ = ["COMPILED", "ZOO", "available", "config", "every_model", "load", "load_unhooked", "with_steps"]

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
    """The configuration of a bundled checkpoint, or one of one's own (:mod:`models.own`), without its weights.

    Raises:
        CheckpointError: no such checkpoint.
    """
    path = own.folders().get(name, ZOO / name) / storage.CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {name!r}; bundled are {', '.join(available())}")
    return RecurrentConfig.from_json(path.read_text())


def load(name_or_path: str | Path) -> RecurrentTransformer:
    """A model in evaluation mode.

    ``"compiled"`` is built in code (see :mod:`models.compiled`), for ADD, SUB and MUL; ``"compiled-max"`` is the same
    for these and MAX, and so with every further operation (:mod:`models.compiled_names`). Other names are bundled
    checkpoints (:func:`available`), then those of :mod:`models.own`, then local folders, then ids on the Hugging Face
    Hub (``owner/name``).

    Raises:
        CheckpointError: no such model, a damaged file, or weights that do not fit their configuration.

    Examples:
        >>> from models import load
        >>> model = load("compiled")
        >>> model.cfg.n_layers, model.cfg.n_heads, model.cfg.ops
        (3, 6, ('ADD', 'SUB', 'MUL'))
    """
    from models.compiled import compile_model
    from models.recurrent import RecurrentTransformer

    name = str(name_or_path)
    if (ops := compiled_operations(name)) is not None:
        return compile_model(ops)
    return RecurrentTransformer.from_pretrained(_path(name))


def load_unhooked(name_or_path: str | Path) -> UnhookedTransformer:
    """What :func:`load` gives, without hooks, caches and views, for what only runs it; TransformerLens is not imported.

    Raises:
        CheckpointError: as :func:`load`.

    Examples:
        >>> from models import load_unhooked
        >>> load_unhooked("compiled").run("20 = a; 2 = b; a + b = c").values[-1].tolist()
        [[20, 2, 22]]
    """
    name = str(name_or_path)
    if (ops := compiled_operations(name)) is None:
        return storage.model(UnhookedTransformer, storage.locate(str(_path(name))))
    model = UnhookedTransformer(compiled_config(ops))
    write_weights(model)
    return model.eval()


def _path(name: str) -> str | Path:
    """The folder of a bundled checkpoint, or of one's own by its name; another name as it is."""
    if (ZOO / name / storage.CONFIG_NAME).is_file():
        return ZOO / name
    if (folder := own.folders().get(name)) is not None:
        return folder
    if not Path(name).exists() and "/" not in name:
        raise CheckpointError(
            f"there is no model {name!r}; bundled are {', '.join(available())}; a path or a Hub id works too"
        )
    return name
