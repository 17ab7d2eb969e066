"""The one loop: its policies one by one, and all that is built on it against what the loops before it gave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stepping import FILE, KINDS

RECORDED: dict[str, dict[str, Any]] = json.loads(FILE.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_runs_are_what_they_were(kind: str) -> None:
    """To the last bit where numbers are whole: settled, in cycles, cut off, resumed, watched, edited."""
    found = json.loads(json.dumps(KINDS[kind]()))
    assert found.keys() == RECORDED[kind].keys()
    for name, value in found.items():
        assert value == RECORDED[kind][name], name
