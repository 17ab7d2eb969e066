"""A page's view in the address bar: what a link brings, and what the page writes back, for one visitor."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import streamlit as st

from models.graph_errors import clip
from models.operations import OPERATIONS

_IN_FLIGHT = 3.0
"""Seconds for which the browser may still send an address that was replaced meanwhile."""


class Addressed(Protocol):
    """A view that can be written as query parameters."""

    def to_params(self) -> dict[str, str]: ...


V = TypeVar("V", bound=Addressed)


def not_there(what: str, asked: object, there: str, shown: object) -> str:
    """The notice of a number or name that an address asks for and that is not there.

    ``not_there("step", 99, "this run has steps 0 to 7", 7)``
    """
    return f"{what} {asked} was asked for; {there}, showing {shown}."


def spans_of(allowed: Sequence[str]) -> str:
    """The words that are allowed, with consecutive numbers as one: ``all, 0 to 63``."""
    numbers = sorted({int(word) for word in allowed if re.fullmatch(r"\d+", word)})
    words = [word for word in allowed if not re.fullmatch(r"\d+", word)]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join([*words, *(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)])


def visited() -> dict[str, dict[str, str]]:
    """The query parameters of every page of this visitor by its name, the one that was shown last at the end."""
    shown: dict[str, dict[str, str]] = st.session_state.setdefault("visited", {})
    return shown


class Address(Generic[V]):
    """The view of one page, kept in the session and mirrored in the query parameters."""

    def __init__(self, page: str) -> None:
        self._view, self._written = f"{page} view", f"{page} addresses"
        self._asked, self._page = f"{page} asked", page

    @property
    def current(self) -> V:
        """The view last shown."""
        view: V = st.session_state[self._view]
        return view

    @property
    def known(self) -> bool:
        """Whether there is a view that was shown."""
        return self._view in st.session_state

    def news(self, held: bool = False, entered: bool = False) -> dict[str, str] | None:
        """The query parameters if they are new (first visit, or edited by hand), else None.

        held: where they are not, keep what was :meth:`asked` for when they were. entered: from another page, so that
        they are new whatever they are.
        """
        given = st.query_params.to_dict()
        is_new = entered or not self.known or (bool(given) and not self._is_ours(given))
        if is_new or not held:
            st.session_state[self._asked] = given if is_new else {}
        return given if is_new else None

    def asked(self, name: str) -> str | None:
        """What the address says of a parameter, where it was new in this run of the page; else None."""
        asked: dict[str, str] = st.session_state.get(self._asked, {})
        return asked.get(name)

    def take_over(self, view: V, given: dict[str, str]) -> None:
        """Make this the view of the new parameters ``given``."""
        st.session_state[self._view] = view
        st.session_state[self._written] = [(time.monotonic(), given)]

    def show(self, view: V, more: Mapping[str, str] | None = None) -> V:
        """Make this the view, and write it into the address; more: parameters behind its own."""
        st.session_state[self._view] = view
        params = {**view.to_params(), **(more or {})}
        visited().pop(self._page, None)
        visited()[self._page] = params
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
            self.ignored(name, spans_of(allowed))
            return otherwise
        return given

    def typed(self, name: str, pattern: str, otherwise: str) -> str:
        """A text of a pattern."""
        given = self.params.get(name, otherwise)
        if re.fullmatch(pattern, given):
            return given
        self.problems.append(f"{name} in the address was ignored: it cannot be {clip(given)!r}.")
        return otherwise

    def ops(self, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        """The parameter ``ops``: operations between commas, in any case."""
        given = [part for part in self.params.get("ops", "").upper().split(",") if part]
        if unknown := [part for part in given if part not in OPERATIONS]:
            allowed = ", ".join(OPERATIONS)
            self.problems.append(
                f"{', '.join(unknown)} in the address was ignored; allowed operations: {allowed}."
            )
        return OPERATIONS.ordered(given) or otherwise

    def unused(self, name: str, why: str) -> None:
        """Note that a parameter, if it is given, says nothing about this view."""
        if name in self.params:
            self.problems.append(f"{name}={self.params[name]} in the address was ignored: {why}.")

    def ignored(self, name: str, allowed: str) -> None:
        """Note that a parameter was left out."""
        self.problems.append(f"{name}={self.params[name]} in the address was ignored; allowed: {allowed}.")
