"""The graphs, the model and the settings of an analysis page: one value, its query parameters, and its sidebar.

Query parameters: `model`; `text` (equations; a blank line between two graphs), or `n`, `graphs`, `seed` and `ops` of
sampled graphs, of seeds `seed`, `seed + 1`, ...; and the page's own settings by their names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import streamlit as st

from analyses.framework.settings import Choice
from analyses.inputs import GraphSource, InputError
from dashboards import messages
from dashboards.address import ParamReader, not_there, spans_of
from dashboards.cached import available, operations, shared
from dashboards.model_choice import choose_model
from dashboards.own_graphs import choose_from_file
from dashboards.selection import Selection, selection
from dashboards.session import PageSession, default_model
from models.compiled_names import fitting_name
from models.graph import ComputationGraph, GraphError
from models.operations import OPERATIONS
from models.recurrent import RecurrentTransformer

EXAMPLE = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_42 = x_5"
SIZES = (6, 128)
COUNTS = (1, 256)
GRAPHS = 32
"""Sampled graphs of a bare address, unless a page says otherwise."""
SEEDS = (0, 2**31 - 1)
SAMPLE, TYPE = "Sample", "My own"
V = TypeVar("V", bound="GraphView")


@dataclass(frozen=True)
class GraphView:
    """A model, and a graph that is typed, or drawn where `text` is None."""

    model: str = "compiled"
    text: str | None = None
    n: int = 32
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)
    graphs: int = 1

    @property
    def carried(self) -> tuple[str, ...]:
        """Parts of the selection that the page keeps for others."""
        return ()

    def texts(self) -> list[str]:
        """What was typed, graph by graph."""
        return [] if self.text is None else [self.text]

    def graph_options(self, one: bool = False) -> str:
        """The options of `recurlens` that ask for the same graphs: all that were typed, each as one line.

        one: of a command that takes one graph only.
        """
        if self.text is not None:
            texts = [shlex.quote(_one_line(text)) for text in self.texts()]
            return texts[0] if len(texts) == 1 else " ".join(f"--graph {text}" for text in texts)
        count = "" if one else f" --graphs {self.graphs}"
        return f"--n-nodes {self.n}{count} --seed {self.seed} --ops {','.join(self.ops)}"

    def editable_text(self) -> str:
        """What was typed; else the equations of the graph that was sampled (the first of several), a line each."""
        if self.text is not None:
            return self.text
        try:
            return ComputationGraph.sample(self.n, ops=self.ops, seed=self.seed).to_text("\n")
        except GraphError:
            return EXAMPLE

    def selected(self) -> Selection:
        """The model and the graph."""
        if self.text is not None:
            return Selection(self.model, self.text)
        return Selection(self.model, n=self.n, seed=self.seed, ops=self.ops)

    def with_selection(self, chosen: Selection) -> Self:
        """The same of what is chosen: a model, and the first graph of the chosen text, or the sampled one."""
        view = replace(self, model=chosen.model or self.model)
        if chosen.text is not None:
            return replace(view, text=first_text(chosen.text))
        if chosen.n is None:
            return view
        seed = self.seed if chosen.seed is None else chosen.seed
        return replace(view, text=None, n=chosen.n, seed=seed, ops=chosen.ops or self.ops)

    def fitted(self) -> Self:
        """The same with the model that knows the operations of the graphs, where the model is a compiled one."""
        if self.text is None:
            return replace(self, model=fitting_name(self.model, self.ops))
        model = self.model
        for text in self.texts():
            model = GraphSource(text=text).fitting(model)
        return replace(self, model=model)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        if self.text is not None:
            return {"model": self.model, "text": self.text}
        return {"model": self.model, "n": str(self.n), "seed": str(self.seed), "ops": ",".join(self.ops)}

    def read_from(self, reader: ParamReader, several: bool = False) -> Self:
        """The same with the model and the graph of an address; what it does not say stays.

        several: whether it also says how many are drawn.
        """
        return replace(
            self,
            model=reader.params.get("model", self.model),
            text=reader.params.get("text"),
            n=reader.number("n", *SIZES, self.n),
            graphs=reader.number("graphs", *COUNTS, self.graphs) if several else self.graphs,
            seed=reader.number("seed", *SEEDS, self.seed),
            ops=reader.ops(self.ops),
        )


@dataclass(frozen=True)
class AnalysisView(GraphView):
    """What an analysis page shows: as many drawn graphs, and (name, value) of each of the page's settings."""

    n: int = 16
    graphs: int = GRAPHS
    settings: tuple[tuple[str, str], ...] = ()

    def setting(self, name: str) -> str:
        """The value of a setting."""
        return dict(self.settings)[name]

    def with_settings(self, **values: str) -> Self:
        """The same with other values of some settings."""
        return replace(self, settings=tuple({**dict(self.settings), **values}.items()))

    def texts(self) -> list[str]:
        """What was typed, graph by graph, which stand between blank lines."""
        return split_texts(self.text or "")

    @property
    def carried(self) -> tuple[str, ...]:
        """The step and the node, where they are no settings of the page."""
        return tuple(name for name in ("step", "node") if name not in dict(self.settings))

    def selected(self) -> Selection:
        """The model, the graph, and the step and node that settings name by numbers."""
        settings = dict(self.settings)
        step, node = (
            int(settings[name]) if settings.get(name, "").isdecimal() else None for name in ("step", "node")
        )
        return replace(super().selected(), step=step, node=node)

    def with_selection(self, chosen: Selection) -> Self:
        """The same of what is chosen; a step and a node where the page has them."""
        view = super().with_selection(chosen)
        if chosen.text is not None:
            view = replace(view, text=chosen.text)
        settings = dict(self.settings)
        told = {name: str(max(0, value)) for name, value in chosen.numbers() if name in settings}
        return view.with_settings(**told)

    def drawn_graphs(self, model: RecurrentTransformer) -> list[ComputationGraph]:
        """The graphs, in the vocabulary of ``model``. Raises `InputError` for those it cannot be given."""
        if self.text is None:
            source = GraphSource(n_nodes=self.n, seed=self.seed, ops=self.ops)
            return source.many(model, self.graphs)
        if not self.texts():
            raise InputError("No equations were typed, such as 20 = x_7; 2 = x_42; x_7 + x_42 = x_23.")
        return GraphSource(text=tuple(self.texts())).graphs(model)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        count = {"graphs": str(self.graphs)} if self.text is None else {}
        return {**super().to_params(), **count, **{name: value for name, value in self.settings if value}}

    @classmethod
    def from_params(
        cls, params: Mapping[str, str], settings: Sequence[Choice], graphs: int = GRAPHS
    ) -> tuple[AnalysisView, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out).

        graphs: how many are sampled where the address does not say.
        """
        reader = ParamReader(params)
        view = default_view(settings, graphs).read_from(reader, several=True)
        chosen = [
            (
                setting.name,
                reader.choice(setting.name, list(setting.options), setting.default)
                if setting.typed is None
                else reader.typed(setting.name, setting.typed, setting.default),
            )
            for setting in settings
        ]
        return replace(view, settings=tuple(chosen)), reader.problems

    def graph_code(self) -> list[str]:
        """Lines of Python that make `graphs` for the `model`."""
        if self.text is None:
            source = f"GraphSource(n_nodes={self.n}, seed={self.seed}, ops={self.ops})"
            return [f"graphs = {source}.many(model, {self.graphs})"]
        return [f"graphs = GraphSource(text={tuple(self.texts())!r}).graphs(model)"]


def box_width(texts: Iterable[str]) -> int:
    """Pixels of a select box in which the longest of some texts is not cut."""
    return max(150, round(7.6 * max(map(len, texts))) + 64)


def split_texts(text: str) -> list[str]:
    """The texts of several graphs, which stand between blank lines."""
    return [part.strip() for part in re.split(r"\n[ \t]*\n", text.strip()) if part.strip()]


def first_text(text: str) -> str:
    """The text of the first of several graphs."""
    return next(iter(split_texts(text)), text)


def _one_line(text: str) -> str:
    """The same equations, separated by `;` where they stood on lines of their own."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def default_view(settings: Sequence[Choice], graphs: int = GRAPHS) -> AnalysisView:
    """What a bare address shows."""
    chosen = tuple((setting.name, setting.default) for setting in settings)
    return AnalysisView(default_model(), settings=chosen, graphs=graphs)


class GraphInputs:
    """The widgets of a page, under keys of its own, and the session they are filled from.

    graphs: sampled by a bare address; with 1 the page is about one graph, and does not ask how many. models: names of
    those that are offered.
    """

    def __init__(
        self,
        page: str,
        settings: Sequence[Choice],
        graphs: int = GRAPHS,
        models: Callable[[], list[str]] = available,
    ) -> None:
        self.settings = tuple(settings)
        self.default = default_view(self.settings, graphs)
        self._one = graphs == 1
        self._page = page
        self.session: PageSession[AnalysisView] = PageSession(
            page, self._parse, self._fill, self.key("model"), models, self._adopt
        )
        self._models = models

    def graphs(self, view: AnalysisView) -> list[ComputationGraph]:
        """The graphs of a view. Raises `InputError` for those the model cannot be given, and for too many."""
        graphs = view.drawn_graphs(shared(view.model).model)
        if self._one and len(graphs) > 1:
            raise InputError(f"This page is about one graph, and {len(graphs)} were given.")
        return graphs

    def key(self, widget: str) -> str:
        """The key of a widget in the session's state."""
        return f"{self._page}_{widget}"

    def sidebar(self) -> AnalysisView:
        """What the sidebar asks for; not yet known to be graphs that the model can read."""
        view = graph_sidebar(self.session.current(), self._models(), TYPE, self.key, not self._one)
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
        view, problems = AnalysisView.from_params(given, self.settings, self.default.graphs)
        return (replace(view, graphs=1) if self._one else view), problems

    def _adopt(self, view: AnalysisView, chosen: Selection) -> AnalysisView:
        """The view of what other pages chose; of settings that this page does not offer its own stay."""
        view = view.with_selection(chosen)
        return replace(view, text=first_text(view.text)) if self._one and view.text is not None else view

    def _fill(self, view: AnalysisView) -> None:
        fill_graph(view, TYPE, self.key)
        for widget, value in {"graphs": view.graphs, **dict(view.settings)}.items():
            st.session_state[self.key(widget)] = value


def graph_sidebar(
    view: V, models: list[str], typing: str, key: Callable[[str], str] = str, several: bool = False
) -> V:
    """The view with the model and the graph that the sidebar asks for; not yet known to be one that the model can read.

    typing: what the choice of typed graphs is called. key: of a widget, by its name. several: whether it also asks for
    a number of graphs.
    """
    side, state = st.sidebar, st.session_state
    choose_model(models, key("model"), "Weights to run; `compiled` is exact by design.")
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
