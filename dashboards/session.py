"""The view of one page for one visitor: kept in the session, mirrored in the address bar, copied into the widgets.

What pages share (`dashboards.selection`) is taken over when a page is entered without an address of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import streamlit as st

from dashboards import messages
from dashboards.address import Address
from dashboards.again import fill_again, note_filled
from dashboards.cached import available
from dashboards.selection import Selection, follow, selection, take


class PageView(Protocol):
    """A frozen dataclass of what a page shows, that can be written as query parameters."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def model(self) -> str: ...

    @property
    def carried(self) -> tuple[str, ...]:
        """Parts of the selection, by name, that mean nothing to the page, and that its address keeps for others."""
        ...

    def to_params(self) -> dict[str, str]: ...

    def selected(self) -> Selection:
        """What it shows of what pages share."""
        ...

    def with_selection(self, chosen: Selection) -> Self:
        """The same of what is chosen; what is not, or means nothing to the page, stays."""
        ...


V = TypeVar("V", bound=PageView)


def default_model() -> str:
    """The model of a bare address."""
    names = available()
    return "discrete-corrected" if "discrete-corrected" in names else names[0]


class PageSession(Generic[V]):
    """The view of the page of a name.

    parse: the view of query parameters, and a message for every one that could not be read. fill: copies a view into
    the widgets. widget: key of one of them, by whose absence is seen that the page is entered. models: names of
    those that the page offers. adopt: of a view and what other pages chose, the view of that.
    """

    def __init__(
        self,
        page: str,
        parse: Callable[[Mapping[str, str]], tuple[V, list[str]]],
        fill: Callable[[V], None],
        widget: str,
        models: Callable[[], list[str]] = available,
        adopt: Callable[[V, Selection], V] = lambda view, chosen: view.with_selection(chosen),
    ) -> None:
        self._address: Address[V] = Address(page)
        self._read, self._held, self._settling = f"{page} read", f"{page} held", f"{page} settling"
        self._parse, self._fill, self._widget, self._models = parse, fill, widget, models
        self._adopt = adopt

    def current(self) -> V:
        """The view last shown."""
        return self._address.current

    def read(self) -> tuple[bool, list[str]]:
        """Take over an address that is new (edited by hand, or on entering the page), or what other pages chose where
        the page is entered without one: whether there was either, and what the address got wrong.

        Widgets are set to the view whenever they are not there yet. After :meth:`hold` an address is new once more.
        """
        problems: list[str] = []
        fill_again()
        held = st.session_state.pop(self._held, False)
        entered = self._widget not in st.session_state
        given = self._address.news(held, entered)
        if given is not None:
            view, problems = self._entered(given)
            self._address.take_over(view, given)
            before = {str(key) for key in st.session_state}
            self._fill(view)
            note_filled({str(key) for key in st.session_state} - before)
        elif held:
            is_new, problems = st.session_state[self._read]
            st.session_state[self._settling] = is_new
            return is_new, [*problems]
        st.session_state[self._settling] = given is not None
        st.session_state[self._read] = (given is not None, tuple(problems))
        return given is not None, problems

    def _entered(self, given: dict[str, str]) -> tuple[V, list[str]]:
        """The view of a page that is entered, with or without an address, and what is wrong with that."""
        problems: list[str] = []
        if given or not self._address.known:
            view, problems = self._parse(given)
        else:
            view = self.current()
        if not given:
            view = self._adopt(view, selection())
        if view.model not in self._models():
            if given:
                problems.append(f"There is no model {view.model!r}; there are {', '.join(self._models())}.")
            else:
                messages.warning(f"This page is not for {view.model}; it shows {default_model()}.")
            view = replace(view, model=default_model())
        if given:
            take(view.selected(), given, view.carried)
        return view, problems

    def hold(self) -> None:
        """The page is run again as soon as there is something to draw: tell then, too, what its address got wrong."""
        st.session_state[self._held] = True

    def asked(self, name: str) -> str | None:
        """What the address says of a parameter, where it was new in this run of the page; else None."""
        return self._address.asked(name)

    def update(self, **changes: Any) -> V:
        """Change some fields of the view, and the address with it."""
        return self.show(replace(self.current(), **changes))

    def settle(self, **changes: Any) -> V:
        """The same of what the view leaves open: nobody has chosen it."""
        view = replace(self.current(), **changes)
        return self._address.show(view, selection().to_params(view.carried))

    def show(self, view: V) -> V:
        """Make this the view, and write it into the address; what differs from the last one is chosen for all pages,
        unless the page has just been entered.
        """
        if not st.session_state.pop(self._settling, False):
            follow(self.current().selected(), view.selected())
        return self._address.show(view, selection().to_params(view.carried))
