"""Mounting the player on a page: what goes into the browser, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import streamlit as st

from dashboards.components import component_of

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Change:
    """A symbol that a reader wants in another place: of `factor` at position `at` in the state that enters `step`."""

    at: int
    step: int
    factor: str
    symbol: int


@dataclass(frozen=True)
class Place:
    """Where a reader is: index of the state, position that is inspected, and run (``original`` or ``edited``)."""

    step: int
    at: int
    shown: str


def player(
    scene: dict[str, Any],
    place: Place,
    key: str,
    editable: Sequence[str],
    moved: Callable[[Place], None],
    changed: Callable[[Change | None], None],
) -> None:
    """Show the player with a scene (`interp.figures.scene`) at a place.

    The reader moves in the browser; the page is told with `moved` before it runs again, and should give the same place
    then. editable: factors whose symbols can be changed; `changed` is told of a change, or None to undo it.
    """

    def told_of_place() -> None:
        given = _given(key).get("place")
        if given is not None:
            moved(Place(int(given["step"]), int(given["at"]), str(given["shown"])))

    def told_of_change() -> None:
        given = _given(key).get("edit")
        if given is not None:
            changed(Change(int(given["at"]), int(given["step"]), str(given["factor"]), int(given["symbol"])))

    def told_to_undo() -> None:
        if _given(key).get("undo"):
            changed(None)

    named = hashlib.sha256(json.dumps(scene, sort_keys=True).encode()).hexdigest()[:16]
    data = {"key": named, "scene": scene, "editable": list(editable), **asdict(place)}
    data["turn"] = (_given(key).get("place") or {}).get("turn", 0)
    component_of(HERE, "player")(
        key=key,
        data=data,
        on_place_change=told_of_place,
        on_edit_change=told_of_change,
        on_undo_change=told_to_undo,
    )


def _given(key: str) -> Mapping[str, Any]:
    """What the browser said last."""
    return cast("Mapping[str, Any]", st.session_state.get(key) or {})
