"""Shared by the tests of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.compiled import make


@pytest.fixture(scope="session")
def made() -> Callable[[str], Any]:
    """Compiled loops by name, each built once."""
    built: dict[str, Any] = {}
    return lambda name: built.setdefault(name, make(name))
