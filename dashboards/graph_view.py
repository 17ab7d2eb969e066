"""The model, the graphs and the settings of an analysis page as one value, and its query parameters.

Query parameters: `model`; `text` (equations; a blank line between two graphs), or `n`, `graphs`, `seed` and `ops` of
sampled graphs, of seeds `seed`, `seed + 1`, ...; and the page's own settings by their names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from analyses.framework.settings import Choice
from analyses.inputs import GraphSource, InputError
from dashboards.address import ParamReader
from dashboards.selection import Selection
from dashboards.session import default_model
from models.compiled_names import fitting_name
from models.graph import ComputationGraph, GraphError
from models.recurrent import RecurrentTransformer

EXAMPLE = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_42 = x_5"
SIZES = (6, 128)
COUNTS = (1, 256)
GRAPHS = 32
"""Sampled graphs of a bare address, unless a page says otherwise."""
SEEDS = (0, 2**31 - 1)


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
    """What an analysis page shows: as many drawn graphs, and (name, value) of each of the page's settings.

    Where `graphs` is 0 it is about none, and where `model` is empty, about no model that is chosen.
    """

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
        """The step and the node of the graphs, where they are no settings of the page."""
        return (
            ()
            if not self.graphs
            else tuple(name for name in ("step", "node") if name not in dict(self.settings))
        )

    def selected(self) -> Selection:
        """The model, the graph, and the step and node that settings name by numbers."""
        if not self.graphs:
            return Selection(self.model or None)
        settings = dict(self.settings)
        step, node = (
            int(settings[name]) if settings.get(name, "").isdecimal() else None for name in ("step", "node")
        )
        return replace(super().selected(), step=step, node=node)

    def with_selection(self, chosen: Selection) -> Self:
        """The same of what is chosen; a step and a node where the page has them."""
        if not self.graphs:
            return replace(self, model=self.model and (chosen.model or self.model))
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
        given = {"model": self.model} if self.model else {}
        if self.graphs:
            given = super().to_params() | ({"graphs": str(self.graphs)} if self.text is None else {})
        return {**given, **{name: value for name, value in self.settings if value}}

    @classmethod
    def from_params(
        cls, params: Mapping[str, str], settings: Sequence[Choice], graphs: int = GRAPHS, model: bool = True
    ) -> tuple[AnalysisView, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out).

        graphs: how many are sampled where the address does not say. model: whether it is about one.
        """
        reader = ParamReader(params)
        view = default_view(settings, graphs, model)
        if graphs:
            view = view.read_from(reader, several=True)
        elif model:
            view = replace(view, model=params.get("model", view.model))
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


def split_texts(text: str) -> list[str]:
    """The texts of several graphs, which stand between blank lines."""
    return [part.strip() for part in re.split(r"\n[ \t]*\n", text.strip()) if part.strip()]


def first_text(text: str) -> str:
    """The text of the first of several graphs."""
    return next(iter(split_texts(text)), text)


def _one_line(text: str) -> str:
    """The same equations, separated by `;` where they stood on lines of their own."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def default_view(settings: Sequence[Choice], graphs: int = GRAPHS, model: bool = True) -> AnalysisView:
    """What a bare address shows: so many graphs, and a model unless the page is about none."""
    chosen = tuple((setting.name, setting.default) for setting in settings)
    return AnalysisView(default_model() if model else "", settings=chosen, graphs=graphs)
