"""The JSON object of a file that somebody gives: how long it may be, and what an address in it looks like."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from analyses.inputs import InputError
from models.graph_errors import clip

LARGEST: Final = 8_000_000
"""Characters of a file that is opened."""


def read_object(text: str) -> dict[str, Any]:
    """The JSON object of a text. Raises InputError for another text, or one that is too long."""
    if len(text) > LARGEST:
        raise InputError(f"it has {len(text):,} characters; {LARGEST:,} are allowed.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON: {clip(str(error))}.") from error
    if not isinstance(data, dict):
        raise InputError("it has to be a JSON object.")
    return cast("dict[str, Any]", data)


def is_address(params: Any) -> bool:
    """Whether something read from JSON is an object of texts by name."""
    if not isinstance(params, dict):
        return False
    return all(isinstance(value, str) for value in cast("dict[str, Any]", params).values())
