"""Results in files: one `.npz` each, the same name to save and to load.

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.files import write_atomically

_SUFFIX = ".npz"


def npz_path(path: str | Path) -> Path:
    """The file that ``path`` names: itself if it ends in ``.npz``, else with ``.npz`` added."""
    path = Path(path)
    return path if path.suffix == _SUFFIX else path.with_name(path.name + _SUFFIX)


def write_npz(path: str | Path, arrays: Mapping[str, Any]) -> Path:
    """Write arrays by name, compressed, into :func:`npz_path`, which is returned.

    Raises:
        models.files.WriteError: it cannot be written.
    """
    target = npz_path(path)
    write_atomically(target, lambda file: np.savez_compressed(file, **arrays))
    return target


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """What :func:`write_npz` wrote under the same ``path``; a file that was renamed to have no suffix is read too.

    Raises:
        FileNotFoundError: there is no such file.
    """
    target = npz_path(path)
    if not target.exists() and Path(path).is_file():
        target = Path(path)
    with np.load(target) as stored:
        return {name: stored[name] for name in stored.files}
