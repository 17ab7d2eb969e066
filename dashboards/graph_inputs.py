"""The widgets of an analysis page: its model, its graphs and its settings (`dashboards.graph_view`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from analyses.framework.settings import Choice
from analyses.inputs import InputError
from dashboards import messages
from dashboards.address import not_there, spans_of
from dashboards.cached import available, operations, shared
from dashboards.graph_view import (
    COUNTS,
    GRAPHS,
    SEEDS,
    SIZES,
    AnalysisView,
    GraphView,
    default_view,
    first_text,
)
from dashboards.model_choice import choose_model
from dashboards.own_graphs import choose_from_file
from dashboards.selection import Selection, selection
from dashboards.session import PageSession
from models.graph import ComputationGraph
from models.operations import OPERATIONS

SAMPLE, TYPE = "Sample", "My own"
WEIGHTS = "Weights to run; `compiled` is exact by design."
"""What the choice of a model is."""
V = TypeVar("V", bound="GraphView")


def box_width(texts: Iterable[str]) -> int:
    """Pixels of a select box in which the longest of some texts is not cut."""
    return max(150, round(7.6 * max(map(len, texts))) + 64)


class GraphInputs:
    """The widgets of a page, under keys of its own, and the session they are filled from.

    graphs: sampled by a bare address; with 1 the page is about one graph, and does not ask how many; with 0 about none.
    models: names of those that are offered. model: whether the page is about one of them.
    """

    def __init__(
        self,
        page: str,
        settings: Sequence[Choice],
        graphs: int = GRAPHS,
        models: Callable[[], list[str]] = available,
        model: bool = True,
    ) -> None:
        self.settings = tuple(settings)
        self.default = default_view(self.settings, graphs, model)
        self._one = graphs == 1
        self._page = page
        first = "model" if model else self.settings[0].name
        self.session: PageSession[AnalysisView] = PageSession(
            page, self._parse, self._fill, self.key(first), models, self._adopt
        )
        self._models = models

    def graphs(self, view: AnalysisView) -> list[ComputationGraph]:
        """The graphs of a view. Raises `InputError` for those the model cannot be given, and for too many."""
        if not view.graphs:
            return []
        graphs = view.drawn_graphs(shared(view.model).model)
        if self._one and len(graphs) > 1:
            raise InputError(f"This page is about one graph, and {len(graphs)} were given.")
        return graphs

    def key(self, widget: str) -> str:
        """The key of a widget in the session's state."""
        return f"{self._page}_{widget}"

    def sidebar(self) -> AnalysisView:
        """What the sidebar asks for; not yet known to be graphs that the model can read."""
        view = self.session.current()
        if not view.graphs:
            chosen = view.model and choose_model(self._models(), self.key("model"), WEIGHTS)
            return replace(view, model=chosen)
        view = graph_sidebar(view, self._models(), TYPE, self.key, not self._one)
        count = 1 if self._one else st.session_state[self.key("graphs")]
        return replace(view, graphs=count) if view.text is None else view

    def setting_row(self, view: AnalysisView) -> AnalysisView:
        """The page's settings: the view with what they say. Those that only choose figures stand below the others."""
        chosen: dict[str, str] = {}
        with st.container(horizontal=True):
            for setting in self.settings:
                if setting.computed:
                    chosen[setting.name] = self.box(setting)
        with st.container(horizontal=True, gap="medium"):
            for setting in self.settings:
                if not setting.computed:
                    chosen[setting.name] = self.buttons(setting)
        return view.with_settings(**chosen)

    def box(self, setting: Choice, offered: Mapping[str, str] | None = None) -> str:
        """A select box, or one to type in; offered: value -> label, where it is not all that the setting has."""
        if setting.typed is not None:
            return st.text_input(
                setting.label,
                key=self.key(setting.name),
                placeholder=setting.options[setting.default],
                help=setting.help,
                width=220,
            ).strip()
        labels = setting.options if offered is None else offered
        width = box_width([setting.label, *labels.values()])
        look: Any = {"format_func": labels.__getitem__, "help": setting.help, "width": width}
        return st.selectbox(setting.label, list(labels), key=self.key(setting.name), **look)

    def buttons(self, setting: Choice, offered: Sequence[str] | None = None, labelled: bool = False) -> str:
        """Buttons beside each other; offered: values, where it is not all that the setting has."""
        values = list(setting.options) if offered is None else list(offered)
        look: Any = {"format_func": setting.options.__getitem__, "help": setting.help, "width": "content"}
        look |= {"required": True, "label_visibility": "visible" if labelled else "collapsed"}
        st.segmented_control(setting.label, values, key=self.key(setting.name), **look)
        return st.session_state[self.key(setting.name)]

    def keep_to(self, setting: Choice, offered: Sequence[str], otherwise: str, owner: str) -> None:
        """Let a setting have a value that is offered; where the address asked for another, a notice says so.

        otherwise: what is chosen instead. owner: who offers, such as "this run".
        """
        state, key = st.session_state, self.key(setting.name)
        if state[key] in offered:
            return
        asked = self.session.asked(setting.name)
        state[key] = otherwise
        if asked is not None:
            there = f"{owner} has {spans_of(offered)}"
            messages.warning(not_there(setting.name, asked, there, setting.options[otherwise]))

    def _parse(self, given: Mapping[str, str]) -> tuple[AnalysisView, list[str]]:
        start = self.default
        view, problems = AnalysisView.from_params(given, self.settings, start.graphs, bool(start.model))
        return (replace(view, graphs=1) if self._one else view), problems

    def _adopt(self, view: AnalysisView, chosen: Selection) -> AnalysisView:
        """The view of what other pages chose; of settings that this page does not offer its own stay."""
        view = view.with_selection(chosen)
        return replace(view, text=first_text(view.text)) if self._one and view.text is not None else view

    def _fill(self, view: AnalysisView) -> None:
        filled: dict[str, Any] = dict(view.settings)
        if view.graphs:
            fill_graph(view, TYPE, self.key)
            filled |= {"graphs": view.graphs}
        elif view.model:
            filled |= {"model": view.model}
        for widget, value in filled.items():
            st.session_state[self.key(widget)] = value


def graph_sidebar(
    view: V, models: list[str], typing: str, key: Callable[[str], str] = str, several: bool = False
) -> V:
    """The view with the model and the graph that the sidebar asks for; not yet known to be one that the model can read.

    typing: what the choice of typed graphs is called. key: of a widget, by its name. several: whether it also asks for
    a number of graphs.
    """
    side, state = st.sidebar, st.session_state
    choose_model(models, key("model"), WEIGHTS)
    look: Any = {"required": True, "width": "stretch", "label_visibility": "collapsed"}
    side.segmented_control("Graphs", [SAMPLE, typing], key=key("source"), **look)
    view = replace(view, model=state[key("model")])
    _tell_kept(view)
    if state[key("source")] == typing:
        if view.text is None:
            state[key("text")] = view.editable_text()
        more = (
            "A blank line begins another graph."
            if several
            else f"In any order. Operations: `{OPERATIONS.listed()}`, read from left to right, modulo 23. A leaf is "
            "`20 = x_7`; names are free."
        )
        about = f"Separated by `;`, `,` or a new line. {more}"
        side.text_area("Equations", key=key("text"), height=190, help=about)
        side.caption("Ctrl+Enter to apply.")
        choose_from_file(key("text"), several)
        return replace(view, text=state[key("text")]).fitted()
    left, right = side.columns(2)
    left.number_input("Nodes", *SIZES, key=key("n"), help="Equations of a graph, six of them leaves.")
    if several:
        right.number_input("Graphs", *COUNTS, key=key("graphs"), help="Of seeds seed, seed + 1, ...")
    seeds = side if several else right
    seeds.number_input("Seed", *SEEDS, key=key("seed"), help="The same seed gives the same graphs.")
    ops = choose_operations(view.model, key("ops"))
    return replace(view, text=None, n=state[key("n")], seed=state[key("seed")], ops=ops).fitted()


def _tell_kept(view: GraphView) -> None:
    """What was chosen on other pages and means nothing to this one."""
    kept = [f"{name} {value}" for name, value in selection().numbers() if name in view.carried]
    if kept:
        messages.caption(f"Kept for other pages: {', '.join(kept)}.", st.sidebar)


def fill_graph(view: GraphView, typing: str, key: Callable[[str], str] = str) -> None:
    """Copy a view into the widgets of `graph_sidebar`."""
    filled = {
        "model": view.model,
        "source": SAMPLE if view.text is None else typing,
        "text": view.editable_text(),
        "n": view.n,
        "seed": view.seed,
        "ops": list(view.ops),
    }
    for widget, value in filled.items():
        st.session_state[key(widget)] = value


def choose_operations(model: str, key: str) -> tuple[str, ...]:
    """Pills in the sidebar with the operations of sampled graphs, at least one that the model knows."""
    known = operations(model)
    if unknown := [name for name in st.session_state[key] if name not in known]:
        messages.warning(
            f"{model} does not know {', '.join(unknown)}; it knows {', '.join(known)}.", st.sidebar
        )
    st.session_state[key] = [name for name in known if name in st.session_state[key]] or [known[0]]
    st.sidebar.pills(
        "Operations", known, selection_mode="multi", key=key, help="What the model's vocabulary has."
    )
    return tuple(name for name in known if name in st.session_state[key]) or known[:1]
