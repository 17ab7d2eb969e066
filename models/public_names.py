"""Packages whose public names are imported on first use, from the modules that their `__init__.pyi` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lazy_loader  # pyright: ignore[reportMissingTypeStubs]


def public_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package (its `__name__` and `__file__`).

    A name that is not there raises an AttributeError that lists those that are.
    """
    lazy: Any = lazy_loader
    imported, listed, found = lazy.attach_stub(package, file)
    names: list[str] = found

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; it offers {', '.join(names)}"
            )
        return imported(name)

    return get, listed, names
