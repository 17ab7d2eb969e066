"""The graphs, the model and the settings of an analysis page: one value, its query parameters, and its sidebar.

Query parameters: `model`; `text` (equations; a blank line between two graphs), or `n`, `graphs`, `seed` and `ops` of
sampled graphs, of seeds `seed`, `seed + 1`, ...; and the page's own settings by their names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import streamlit as st

from analyses.framework.settings import Choice
from analyses.inputs import GraphSource, InputError
from dashboards import messages
from dashboards.address import ParamReader, not_there, spans_of
from dashboards.cached import available, operations, shared
from dashboards.model_choice import choose_model
from dashboards.session import PageSession, default_model
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

EXAMPLE = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_42 = x_5"
SIZES = (6, 128)
COUNTS = (1, 256)
GRAPHS = 32
"""Sampled graphs of a bare address, unless a page says otherwise."""
SEEDS = (0, 2**31 - 1)
SAMPLE, TYPE = "Sample", "My own"


@dataclass(frozen=True)
class AnalysisView:
    """What an analysis page shows. `text` is None for sampled graphs; settings: (name, value) of each of the page's."""

    model: str
    settings: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    n: int = 16
    graphs: int = GRAPHS
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)

    def setting(self, name: str) -> str:
        """The value of a setting."""
        return dict(self.settings)[name]

    def with_settings(self, **values: str) -> AnalysisView:
        """The same with other values of some settings."""
        return replace(self, settings=tuple({**dict(self.settings), **values}.items()))

    def fitted(self) -> AnalysisView:
        """The same with the model that knows the operations of the graphs, where the model is a compiled one."""
        texts = [None] if self.text is None else split_texts(self.text)
        model = self.model
        for text in texts:
            size = self.n if text is None else None
            model = GraphSource(text=text, n_nodes=size, ops=self.ops).fitting(model)
        return replace(self, model=model)

    def drawn_graphs(self, model: RecurrentTransformer) -> list[ComputationGraph]:
        """The graphs, in the vocabulary of ``model``. Raises `InputError` for those it cannot be given."""
        if self.text is None:
            source = GraphSource(n_nodes=self.n, seed=self.seed, ops=self.ops)
            return source.many(model, self.graphs)
        texts = split_texts(self.text)
        if not texts:
            raise InputError("No equations were typed, such as 20 = x_7; 2 = x_42; x_7 + x_42 = x_23.")
        return GraphSource(text=tuple(texts)).graphs(model)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        if self.text is not None:
            graphs = {"text": self.text}
        else:
            graphs = {
                "n": str(self.n),
                "graphs": str(self.graphs),
                "seed": str(self.seed),
                "ops": ",".join(self.ops),
            }
        return {"model": self.model, **graphs, **dict(self.settings)}

    @classmethod
    def from_params(
        cls, params: Mapping[str, str], settings: Sequence[Choice], graphs: int = GRAPHS
    ) -> tuple[AnalysisView, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out).

        graphs: how many are sampled where the address does not say.
        """
        reader = ParamReader(params)
        default = default_view(settings, graphs)
        view = replace(
            default,
            model=params.get("model", default.model),
            text=params.get("text"),
            n=cast("int", reader.number("n", *SIZES, default.n)),
            graphs=cast("int", reader.number("graphs", *COUNTS, default.graphs)),
            seed=cast("int", reader.number("seed", *SEEDS, default.seed)),
            ops=reader.ops(default.ops),
            settings=tuple(
                (setting.name, reader.choice(setting.name, list(setting.options), setting.default))
                for setting in settings
            ),
        )
        return view, reader.problems

    def graph_options(self, one: bool = False) -> str:
        """The options of `recurlens` that ask for the same graphs: all that were typed, each as one line.

        one: of a command that takes one graph only.
        """
        if self.text is not None:
            texts = [shlex.quote(_one_line(text)) for text in split_texts(self.text)]
            return texts[0] if len(texts) == 1 else " ".join(f"--graph {text}" for text in texts)
        count = "" if one else f" --graphs {self.graphs}"
        return f"--n-nodes {self.n}{count} --seed {self.seed} --ops {','.join(self.ops)}"

    def graph_code(self) -> list[str]:
        """Lines of Python that make `graphs` for the `model`."""
        if self.text is None:
            source = f"GraphSource(n_nodes={self.n}, seed={self.seed}, ops={self.ops})"
            return [f"graphs = {source}.many(model, {self.graphs})"]
        texts = split_texts(self.text)
        return [f"graphs = GraphSource(text={tuple(texts)!r}).graphs(model)"]


def box_width(texts: Iterable[str]) -> int:
    """Pixels of a select box in which the longest of some texts is not cut."""
    return max(150, round(7.6 * max(map(len, texts))) + 64)


def split_texts(text: str) -> list[str]:
    """The texts of several graphs, which stand between blank lines."""
    return [part.strip() for part in re.split(r"\n[ \t]*\n", text.strip()) if part.strip()]


def _one_line(text: str) -> str:
    """The same equations, separated by `;` where they stood on lines of their own."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def default_view(settings: Sequence[Choice], graphs: int = GRAPHS) -> AnalysisView:
    """What a bare address shows."""
    chosen = tuple((setting.name, setting.default) for setting in settings)
    return AnalysisView(default_model(), chosen, graphs=graphs)


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
            page, self._parse, self._fill, self.key("model"), models
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
        side, state = st.sidebar, st.session_state
        choose_model(self._models(), self.key("model"), "Weights to run; `compiled` is exact by design.")
        side.segmented_control(
            "Graphs",
            [SAMPLE, TYPE],
            key=self.key("source"),
            required=True,
            width="stretch",
            label_visibility="collapsed",
        )
        view = replace(self.session.current(), model=state[self.key("model")])
        if state[self.key("source")] == TYPE:
            side.text_area(
                "Equations",
                key=self.key("text"),
                height=190,
                help="Separated by `;`, `,` or a new line. A blank line begins another graph.",
            )
            side.caption("Ctrl+Enter to apply.")
            return replace(view, text=state[self.key("text")]).fitted()
        left, right = side.columns(2)
        left.number_input(
            "Nodes", *SIZES, key=self.key("n"), help="Equations of a graph, six of them leaves."
        )
        seeds = side
        if self._one:
            seeds = right
        else:
            right.number_input("Graphs", *COUNTS, key=self.key("graphs"), help="Of seeds seed, seed + 1, ...")
        seeds.number_input("Seed", *SEEDS, key=self.key("seed"), help="The same seed gives the same graphs.")
        ops = choose_operations(view.model, self.key("ops"))
        n, seed = (state[self.key(name)] for name in ("n", "seed"))
        graphs = 1 if self._one else state[self.key("graphs")]
        return replace(view, text=None, n=n, graphs=graphs, seed=seed, ops=ops).fitted()

    def setting_row(self, view: AnalysisView) -> AnalysisView:
        """The page's settings: the view with what they say. Those that only choose figures stand below the others."""
        boxes = [setting for setting in self.settings if setting.computed]
        chosen: dict[str, str] = {}
        with st.container(horizontal=True):
            for setting in boxes:
                chosen[setting.name] = st.selectbox(
                    setting.label,
                    list(setting.options),
                    key=self.key(setting.name),
                    format_func=setting.options.__getitem__,
                    help=setting.help,
                    width=box_width([setting.label, *setting.options.values()]),
                )
        with st.container(horizontal=True, gap="medium"):
            for setting in (setting for setting in self.settings if not setting.computed):
                st.segmented_control(
                    setting.label,
                    list(setting.options),
                    key=self.key(setting.name),
                    required=True,
                    format_func=setting.options.__getitem__,
                    help=setting.help,
                    label_visibility="collapsed",
                    width="content",
                )
                chosen[setting.name] = st.session_state[self.key(setting.name)]
        return view.with_settings(**chosen)

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

    def _fill(self, view: AnalysisView) -> None:
        filled = {
            "model": view.model,
            "source": SAMPLE if view.text is None else TYPE,
            "text": EXAMPLE if view.text is None else view.text,
            "n": view.n,
            "graphs": view.graphs,
            "seed": view.seed,
            "ops": list(view.ops),
            **dict(view.settings),
        }
        for widget, value in filled.items():
            st.session_state[self.key(widget)] = value


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
