"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Names are imported on first use, so that ``import interp`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.overwrite import Overwrite as Overwrite
    from interp.overwrite import OverwrittenRun as OverwrittenRun
    from interp.overwrite import overwrite_value as overwrite_value

_HOMES = {
    "Overwrite": "overwrite",
    "OverwrittenRun": "overwrite",
    "overwrite_value": "overwrite",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interp' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"interp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
