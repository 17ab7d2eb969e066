"""The view of one page for one visitor: kept in the session, mirrored in the address bar, copied into the widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import streamlit as st

from dashboards.address import Address
from dashboards.cached import available


class PageView(Protocol):
    """A frozen dataclass of what a page shows, that can be written as query parameters."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def model(self) -> str: ...

    def to_params(self) -> dict[str, str]: ...


V = TypeVar("V", bound=PageView)


def default_model() -> str:
    """The model of a bare address."""
    names = available()
    return "discrete-corrected" if "discrete-corrected" in names else names[0]


class PageSession(Generic[V]):
    """The view of the page of a name.

    parse: the view of query parameters, and a message for every one that could not be read. fill: copies a view into
    the widgets. widget: key of one of them, by whose absence is seen that they have to be filled. models: names of
    those that the page offers.
    """

    def __init__(
        self,
        page: str,
        parse: Callable[[Mapping[str, str]], tuple[V, list[str]]],
        fill: Callable[[V], None],
        widget: str,
        models: Callable[[], list[str]] = available,
    ) -> None:
        self._address: Address[V] = Address(page)
        self._read, self._held = f"{page} read", f"{page} held"
        self._parse, self._fill, self._widget, self._models = parse, fill, widget, models

    def current(self) -> V:
        """The view last shown."""
        return self._address.current

    def read(self) -> tuple[bool, list[str]]:
        """Take over an address that is new (first visit, or edited by hand): whether it was, and what it got wrong.

        Widgets are set to the view whenever they are not there yet. After :meth:`hold` an address is new once more.
        """
        problems: list[str] = []
        held = st.session_state.pop(self._held, False)
        given = self._address.news(held)
        if given is not None:
            view, problems = self._parse(given)
            if view.model not in self._models():
                problems.append(f"There is no model {view.model!r}; there are {', '.join(self._models())}.")
                view = replace(view, model=default_model())
            self._address.take_over(view, given)
            self._fill(view)
        elif self._widget not in st.session_state:
            self._fill(self.current())
        elif held:
            is_new, problems = st.session_state[self._read]
            return is_new, [*problems]
        st.session_state[self._read] = (given is not None, tuple(problems))
        return given is not None, problems

    def hold(self) -> None:
        """The page is run again as soon as there is something to draw: tell then, too, what its address got wrong."""
        st.session_state[self._held] = True

    def asked(self, name: str) -> str | None:
        """What the address says of a parameter, where it was new in this run of the page; else None."""
        return self._address.asked(name)

    def update(self, **changes: Any) -> V:
        """Change some fields of the view, and the address with it."""
        return self.show(replace(self.current(), **changes))

    def show(self, view: V) -> V:
        """Make this the view, and write it into the address."""
        return self._address.show(view)
