"""What the pages of the analyses have in common: inputs, a result kept or computed, figures, downloads, code."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from rich.table import Table
from streamlit.delta_generator import DeltaGenerator

from dashboards.cached import shared
from dashboards.downloads import Download, download_row, figures_html
from dashboards.graph_inputs import GRAPHS, AnalysisView, GraphInputs, Setting, default_view
from dashboards.precomputed import Result, content_key, store, stored
from models.graph import ComputationGraph

CHART = {"displayModeBar": False, "displaylogo": False}
_KEPT = 32
"""Results that stay in memory."""


class Study(Protocol):
    """What an analysis returns."""

    def verdict(self) -> str: ...

    def table(self) -> Table: ...

    def to_frame(self) -> pd.DataFrame: ...

    def to_dict(self) -> dict[str, Any]: ...

    def figures(self) -> Mapping[str, go.Figure]: ...


@dataclass(frozen=True)
class Analysis:
    """One analysis and its page.

    name: of the page and its address. line: of a view, the command of `recurlens` that does the same. study_of: of a
        view, the function (graphs, name of a model, options) -> study. options: what the settings of a view mean to
        it. at_once: nodes of all graphs together up to which the page does not ask before it computes. figures: all
        that may be shown, by name. shown: names of those a view shows, each with the code that makes it of `study`; a
        result may lack some, and where it lacks all of them ``missing`` says why. beside: other models that a view
        shows. graphs: sampled by a bare address; with 1 the page is about one graph, which the function gets alone.
        row: draws the settings, where their choices depend on the graphs, and returns the view with what they say.
        more: draws what stands below the figures. variants: settings whose results are computed beforehand.
    """

    name: str
    line: Callable[[AnalysisView], str]
    intro: str
    study_of: Callable[[AnalysisView], Callable[..., Study]]
    settings: tuple[Setting, ...]
    options: Callable[[AnalysisView], dict[str, Any]]
    at_once: int
    shown: Callable[[AnalysisView], Mapping[str, str]]
    figures: Callable[[Any], Mapping[str, go.Figure]] = lambda study: study.figures()
    missing: Callable[[Result], str] | None = None
    beside: Callable[[AnalysisView], Sequence[str]] = lambda view: ()
    graphs: int = GRAPHS
    row: Callable[[GraphInputs, AnalysisView, Sequence[ComputationGraph]], AnalysisView] | None = None
    more: Callable[[AnalysisView, Result], None] | None = None
    variants: tuple[Mapping[str, str], ...] = ({},)

    @cached_property
    def inputs(self) -> GraphInputs:
        """The page's widgets."""
        return GraphInputs(self.name, self.settings, self.graphs)

    def default_result(self, model: str, **settings: str) -> Result:
        """What the bare address shows for a model, or one with some settings alone. Raises `ValueError` where it cannot
        be analysed.
        """
        view = replace(default_view(self.settings, self.graphs), model=model).with_settings(**settings)
        return self.result(view, view.drawn_graphs(shared(model).model))

    def result(
        self,
        view: AnalysisView,
        graphs: Sequence[ComputationGraph],
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """From memory, from disk, or computed; progress is called with (done, total) by studies that report it."""
        key = self._key(view, graphs)
        if (found := self.known(view, graphs)) is not None:
            return found
        # A study loads a model of its own, and so keeps no other page waiting. One at a time and model: who waited for
        # the same one finds it done.
        with results().computing[view.model]:
            result = results().get(key)
            if result is None:
                result = self._computed(view, graphs, progress)
                results().put(key, result)
                if self.is_default(view):
                    store(key, result)
        return result

    def known(self, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> Result | None:
        """The result, if it is in memory or on disk."""
        key = self._key(view, graphs)
        result = results().get(key)
        if result is None and self.is_default(view) and (result := stored(key)) is not None:
            results().put(key, result)
        return result

    def is_default(self, view: AnalysisView) -> bool:
        """Whether the graphs are those of the bare address, whose results are kept on disk."""
        default = default_view(self.settings, self.graphs)
        return view == replace(default, model=view.model, settings=view.settings)

    def _key(self, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> str:
        settings = {setting.name: view.setting(setting.name) for setting in self.settings if setting.computed}
        models = [shared(name).digest for name in (view.model, *self.beside(view))]
        return content_key(self.name, models, graphs, settings)

    def _computed(
        self,
        view: AnalysisView,
        graphs: Sequence[ComputationGraph],
        progress: Callable[[int, int], None] | None,
    ) -> Result:
        begin = time.perf_counter()
        function = self.study_of(view)
        options = self.options(view)
        if "progress" in inspect.signature(function).parameters:
            options["progress"] = progress
        study = function(graphs[0] if self.graphs == 1 else graphs, view.model, **options)
        figures = self.figures(study)
        return Result(
            verdict=study.verdict(),
            summary=as_frame(study.table()),
            frame=study.to_frame(),
            data=study.to_dict(),
            figures=figures,
            seconds=time.perf_counter() - begin,
        )


class _Results:
    """The latest results of all visitors, by their content; `computing`: a lock for every model's computations."""

    def __init__(self) -> None:
        self.computing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Result | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: str, result: Result) -> None:
        with self._lock:
            self._results[key] = result
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)


@st.cache_resource(show_spinner=False)
def results() -> _Results:
    """The results that are in memory."""
    return _Results()


def analysis_page(page: Analysis) -> None:
    """Draw the page for this visitor's view."""
    inputs = page.inputs
    _, problems = inputs.session.read()
    st.markdown(page.intro)
    view = inputs.sidebar()
    if page.row is None:
        view = inputs.setting_row(view)
    graphs = _graphs(page, view, problems)
    if page.row is not None and graphs is not None:
        view = page.row(inputs, view, graphs)
    inputs.session.show(view)
    for problem in problems:
        st.error(problem)
    if graphs is not None:
        result = _result(page, view, graphs)
        if result is not None:
            _draw(page, view, result)


def _graphs(page: Analysis, view: AnalysisView, problems: list[str]) -> list[ComputationGraph] | None:
    try:
        return page.inputs.graphs(view)
    except ValueError as error:
        problems.append(str(error))
        return None


def _result(page: Analysis, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> Result | None:
    """The result; None where the visitor has to ask for it first, or where it failed, which a message says."""
    nodes = sum(len(graph) for graph in graphs)
    try:
        result = page.known(view, graphs)
        if result is not None:
            return result
        if nodes > page.at_once:
            st.info(f"{_count(len(graphs), 'graph')} with {nodes:,} nodes in all take a while.")
            if not st.button("Compute", type="primary", key=page.inputs.key("compute")):
                return None
        bar = st.empty()
        with st.spinner(f"Analysing {_count(len(graphs), 'graph')} ...", show_time=True):
            result = page.result(view, graphs, lambda done, total: _show_progress(bar, done, total))
        bar.empty()
        return result
    except ValueError as error:
        st.error(str(error))
    except Exception as error:  # a visitor can do nothing with a traceback; the log has it
        logging.getLogger(__name__).exception("%s of %s", page.name, view)
        st.error(f"{type(error).__name__}: {error}")
    return None


def _show_progress(place: DeltaGenerator, done: int, total: int) -> None:
    place.progress(done / total, f"{done} of {total}")


def _draw(page: Analysis, view: AnalysisView, result: Result) -> None:
    st.markdown(result.verdict.replace("\n", "\n\n"))
    shown = [name for name in page.shown(view) if name in result.figures]
    for name in shown:
        st.plotly_chart(result.figures[name], theme=None, config=CHART, key=f"{page.name} {name}")
    if not shown and page.missing is not None:
        st.info(page.missing(result))
    if page.more is not None:
        page.more(view, result)
    stem = f"recurlens-{page.name}"
    download_row(
        [
            Download("Table (CSV)", f"{stem}.csv", lambda: result.frame.to_csv(index=False)),
            Download("Result (JSON)", f"{stem}.json", result.to_json),
            Download(
                "Figures (HTML)", f"{stem}.html", lambda: figures_html(page.name, result.figures.values())
            ),
        ]
    )
    with st.expander("Table"):
        st.dataframe(result.summary, hide_index=True, height="content")
    with st.expander("View the code that drew this"):
        st.code(snippet(page, view, result.figures), language="python")
        st.markdown("The same as a command:")
        st.code(page.line(view), language="bash")


def snippet(page: Analysis, view: AnalysisView, figures: Iterable[str]) -> str:
    """Lines of Python that draw what the page shows; figures: names of those there are."""
    study = page.study_of(view)
    function = study.__name__
    given = "".join(f", {name}={value!r}" for name, value in page.options(view).items())
    return "\n".join(
        [
            f"from {study.__module__} import {function}",
            "from analyses.inputs import GraphSource, load_model",
            "",
            f"model = load_model({view.model!r})",
            *view.graph_code(),
            f"study = {function}({'graphs[0]' if page.graphs == 1 else 'graphs'}, {view.model!r}{given})",
            "print(study.verdict())",
            *(f"{code}.show()" for name, code in page.shown(view).items() if name in figures),
        ]
    )


def command_line(command: str, view: AnalysisView, flags: str = "") -> str:
    """A command of `recurlens` on the graphs and the model of a view."""
    return f"recurlens {command} {view.graph_options()} --model {view.model}{flags}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_frame(table: Table) -> pd.DataFrame:
    """A rich table as one of pandas, of text."""
    return pd.DataFrame(
        {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    )
