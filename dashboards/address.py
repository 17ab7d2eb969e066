"""A page's view in the address bar: what a link brings, and what the page writes back, for one visitor."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import streamlit as st

from models.graph import OPERATIONS

_IN_FLIGHT = 3.0
"""Seconds for which the browser may still send an address that was replaced meanwhile."""


class Addressed(Protocol):
    """A view that can be written as query parameters."""

    def to_params(self) -> dict[str, str]: ...


V = TypeVar("V", bound=Addressed)


class Address(Generic[V]):
    """The view of one page, kept in the session and mirrored in the query parameters."""

    def __init__(self, page: str) -> None:
        self._view, self._written = f"{page} view", f"{page} addresses"

    @property
    def current(self) -> V:
        """The view last shown."""
        view: V = st.session_state[self._view]
        return view

    def news(self) -> dict[str, str] | None:
        """The query parameters if they are new (first visit, or edited by hand), else None."""
        given = st.query_params.to_dict()
        is_new = self._view not in st.session_state or (bool(given) and not self._is_ours(given))
        return given if is_new else None

    def take_over(self, view: V, given: dict[str, str]) -> None:
        """Make this the view of the new parameters ``given``."""
        st.session_state[self._view] = view
        st.session_state[self._written] = [(time.monotonic(), given)]

    def show(self, view: V) -> V:
        """Make this the view, and write it into the address."""
        st.session_state[self._view] = view
        params = view.to_params()
        if st.query_params.to_dict() != params:
            st.query_params.from_dict(params)
            written: list[Any] = st.session_state[self._written]
            st.session_state[self._written] = [*written[-50:], (time.monotonic(), params)]
        return view

    def _is_ours(self, given: dict[str, str]) -> bool:
        """Whether the address is the one last written, or one that was replaced only just now."""
        written: list[tuple[float, dict[str, str]]] = st.session_state[self._written]
        since = time.monotonic() - _IN_FLIGHT
        replaced = [old for (_, old), (when, _) in itertools.pairwise(written) if when > since]
        return given in [written[-1][1], *replaced]


class ParamReader:
    """Reads query parameters; each that cannot be read is left out, with a message in ``problems``."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = params
        self.problems: list[str] = []

    def number(self, name: str, low: int, high: int, otherwise: int | None) -> int | None:
        """A whole number from ``low`` to ``high``."""
        given = self.params.get(name)
        if given is None:
            return otherwise
        if not re.fullmatch(r"\d{1,10}", given) or not low <= int(given) <= high:
            self.ignored(name, f"{low} to {high}")
            return otherwise
        return int(given)

    def choice(self, name: str, allowed: Sequence[str], otherwise: str) -> str:
        """One of several words."""
        given = self.params.get(name, otherwise)
        if given not in allowed:
            self.ignored(name, ", ".join(allowed))
            return otherwise
        return given

    def ops(self, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        """The parameter ``ops``: operations between commas, in any case."""
        given = [part for part in self.params.get("ops", "").upper().split(",") if part]
        if unknown := [part for part in given if part not in OPERATIONS]:
            allowed = ", ".join(OPERATIONS)
            self.problems.append(
                f"{', '.join(unknown)} in the address was ignored; allowed operations: {allowed}."
            )
        return tuple(name for name in OPERATIONS if name in given) or otherwise

    def ignored(self, name: str, allowed: str) -> None:
        """Note that a parameter was left out."""
        self.problems.append(f"{name}={self.params[name]} in the address was ignored; allowed: {allowed}.")
