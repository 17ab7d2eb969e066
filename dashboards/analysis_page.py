"""What the pages of the analyses have in common: inputs, a result kept or computed, figures, downloads, code."""

from __future__ import annotations

import contextlib
import inspect
import logging
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import plotly.graph_objects as go
import streamlit as st

from analyses.framework.record import Analysis, Page
from analyses.framework.settings import Choice
from dashboards import messages
from dashboards.cached import available, every_model, shared
from dashboards.charts import chart
from dashboards.computing import ASK, Progress, computations, computed
from dashboards.downloads import Download, download_row, figures_html
from dashboards.folded import folded
from dashboards.graph_inputs import GraphInputs
from dashboards.graph_view import AnalysisView
from dashboards.links import page_links
from dashboards.own_models import written
from dashboards.partial import first_part, shares
from dashboards.precomputed import Result, content_key, store, stored
from dashboards.results import Study, as_result, results
from dashboards.shipped import Asked, shipped
from interp.progress import listening
from interp.statistics.counted import counted
from models.graph import ComputationGraph

_PARTS: Final = 1000
"""In how many parts the progress of a study is told that tells a share of the whole."""


@dataclass(frozen=True)
class AnalysisPage:
    """The page of an analysis.

    name: in its address. page: what its record says of it. line: of a view, the command of `recurlens` that does the
        same. study_of: of a view, the function (graphs, name of a model, options) -> study. options: what the choices
        of a view mean to it. row: draws the choices, where they depend on the graphs, and returns the view with what
        they say. more: draws what stands below the figures.
    """

    name: str
    page: Page
    line: Callable[[AnalysisView], str]
    study_of: Callable[[AnalysisView], Callable[..., Study]]
    options: Callable[[AnalysisView], dict[str, Any]]
    shown: Callable[[AnalysisView], Mapping[str, str] | None]
    figures: Callable[[Any], Mapping[str, go.Figure]]
    row: Callable[[GraphInputs, AnalysisView, Sequence[ComputationGraph]], AnalysisView] | None = None
    more: Callable[[AnalysisView, Result], None] | None = None

    @property
    def settings(self) -> tuple[Choice, ...]:
        """The choices."""
        return self.page.choices

    @property
    def graphs(self) -> int:
        """Sampled by a bare address; with 1 the page is about one graph, which the function gets alone; with 0 none."""
        return self.page.graphs

    @property
    def at_once(self) -> int:
        """Nodes of all graphs together (without any: 1) up to which the page does not ask before it computes."""
        return self.page.at_once

    def models(self) -> list[str]:
        """Names of those that are offered; of a page that is about none, the empty one."""
        if not self.page.model:
            return [""]
        return every_model() if self.page.texts else available()

    def beside(self, view: AnalysisView) -> Sequence[str]:
        """Other models that a view shows."""
        return self.page.beside(view.model, dict(view.settings))

    def code(self, view: AnalysisView, figures: Iterable[str]) -> dict[str, str]:
        """Of the figures that there are, names of those that a view shows, each with the code that makes it."""
        shown = self.shown(view)
        return {
            name: f'study.figures()["{name}"]' if shown is None else shown[name]
            for name in (figures if shown is None else shown)
            if name in figures
        }

    @cached_property
    def inputs(self) -> GraphInputs:
        """The page's widgets."""
        return GraphInputs(self.name, self.settings, self.graphs, self.models, self.page.model)

    def default_result(self, model: str, **settings: str) -> Result:
        """What the bare address shows for a model, or one with some settings alone. Raises `ValueError` where it cannot
        be analysed.
        """
        return self.result(*self.bare(model, **settings))

    def bare(self, model: str = "", **settings: str) -> tuple[AnalysisView, list[ComputationGraph]]:
        """The view of the bare address and its graphs; of another model or with other settings, where given."""
        view = self.inputs.default.with_settings(**settings)
        view = replace(view, model=model or view.model)
        return view, self.inputs.graphs(view)

    def result(
        self,
        view: AnalysisView,
        graphs: Sequence[ComputationGraph],
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """From memory, from disk, or computed; progress is called with (done, total) by studies that report it."""
        key = self.key(view, graphs)
        if (found := self.known(view, graphs)) is not None:
            return found
        result = self.fresh(view, graphs, progress)
        results().put(key, result)
        if self.is_default(view):
            store(key, result)
        return result

    def known(self, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> Result | None:
        """The result, if it is in memory, on disk or among those that ship."""
        key = self.key(view, graphs)
        result = results().get(key)
        if result is not None or not self.is_default(view):
            return result
        result = stored(key) or shipped(self.name, self.asked(view, graphs))
        if result is not None:
            results().put(key, result)
            computations().pace[self.kind(view)] = result.seconds / size(graphs)
        return result

    def is_default(self, view: AnalysisView) -> bool:
        """Whether the graphs are those of the bare address, whose results are kept on disk."""
        return view == replace(self.inputs.default, model=view.model, settings=view.settings)

    def kind(self, view: AnalysisView) -> tuple[str, ...]:
        """What decides how long a node of a graph takes."""
        chosen = (view.setting(setting.name) for setting in self.settings if setting.computed)
        return (self.name, view.model, *chosen)

    def key(self, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> str:
        """What a result depends on, as one text."""
        settings = {setting.name: view.setting(setting.name) for setting in self.settings if setting.computed}
        return content_key(self.name, self._digests(view), graphs, settings)

    def asked(self, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> Asked:
        """What the study is asked; see `dashboards.shipped`."""
        study = self.study_of(view)
        name, digests = f"{study.__module__}:{study.__qualname__}", tuple(self._digests(view))
        return Asked(name, view.model, digests, self._given(graphs), self.options(view))

    def _given(self, graphs: Sequence[ComputationGraph]) -> ComputationGraph | Sequence[ComputationGraph]:
        """What the study takes of the graphs: all, or the one that the page is about."""
        return graphs[0] if self.graphs == 1 else graphs

    def _digests(self, view: AnalysisView) -> list[str]:
        return [shared(name).digest for name in (view.model, *self.beside(view)) if name]

    def fresh(
        self,
        view: AnalysisView,
        graphs: Sequence[ComputationGraph],
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """The result, computed."""
        begin = time.perf_counter()
        function = self.study_of(view)
        options = self.options(view)
        if "progress" in inspect.signature(function).parameters:
            options["progress"] = progress
            study = function(self._given(graphs), view.model, **options)
        else:
            with listening(lambda share: progress and progress(round(share * _PARTS), _PARTS)):
                study = function(self._given(graphs), view.model, **options)
        return as_result(study, self.figures(study), begin)


def analysis_page(page: AnalysisPage) -> None:
    """Draw the page for this visitor's view."""
    inputs = page.inputs
    _, problems = inputs.session.read()
    messages.markdown(page.page.intro)
    page_links(page.page.further)
    view = inputs.sidebar()
    if page.row is None:
        view = inputs.setting_row(view)
    graphs = _graphs(page, view, problems)
    if page.row is not None and graphs is not None:
        view = page.row(inputs, view, graphs)
    inputs.session.show(view)
    for problem in problems:
        messages.error(problem)
    if graphs is None:
        return
    result = _result(page, view, graphs)
    if result is not None:
        _draw(page, view, result)
    else:
        _draw_part(page, view, graphs)


def _graphs(page: AnalysisPage, view: AnalysisView, problems: list[str]) -> list[ComputationGraph] | None:
    try:
        return page.inputs.graphs(view)
    except ValueError as error:
        problems.append(str(error))
        return None


def _result(page: AnalysisPage, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> Result | None:
    """The result; None where the visitor has to ask for it first, or where it failed, which a message says."""
    nodes = size(graphs)
    about = counted(len(graphs), "graph") if graphs else page.page.title
    try:
        result = page.known(view, graphs)
        if result is not None:
            return result
        key = page.key(view, graphs)
        asked = False
        expected = computations().expected(page.kind(view), nodes)
        long = nodes > page.at_once or (expected or 0) > ASK
        if long and not computations().begun(key):
            told = "" if expected is None else f", about {expected:.0f} s by the last of this kind"
            place = st.empty()
            with place.container():
                messages.info(f"{_size(graphs)} a while{told}.")
                asked = st.button("Compute", type="primary", key=page.inputs.key("compute"))
            if not asked:
                return None
            place.empty()  # what was asked for is at work, and cannot be asked for again
        part = first_part(view, graphs) if long else None
        return computed(
            page.name,
            key,
            lambda progress: _in_parts(page, view, graphs, progress, part),
            f"analysing {about}",
            asked,
            page.kind(view),
            nodes,
            lambda: part is not None and page.known(*part) is not None,
        )
    except ValueError as error:
        messages.error(str(error))
    except Exception as error:  # a visitor can do nothing with a traceback; the log has it
        logging.getLogger(__name__).exception("%s of %s", page.name, view)
        messages.error(f"{type(error).__name__}: {error}")
    return None


def _in_parts(
    page: AnalysisPage,
    view: AnalysisView,
    graphs: Sequence[ComputationGraph],
    progress: Progress,
    part: tuple[AnalysisView, Sequence[ComputationGraph]] | None,
) -> Result:
    """The result, and before it that of the first graphs, where there is such a part; it stays in memory."""
    if part is None:
        return page.result(view, graphs, progress)
    of_part, of_all = shares(progress, len(part[1]), len(graphs))
    with contextlib.suppress(ValueError):  # of graphs that are too few
        page.result(*part, of_part)
    return page.result(view, graphs, of_all)


def _draw_part(page: AnalysisPage, view: AnalysisView, graphs: Sequence[ComputationGraph]) -> None:
    """What is known of the first graphs, while that of all of them is not there."""
    part = first_part(view, graphs)
    result = None if part is None else page.known(*part)
    if part is not None and result is not None:
        messages.info(f"So far: the first {len(part[1])} of {len(graphs)} graphs.")
        _draw(page, part[0], result)


def _draw(page: AnalysisPage, view: AnalysisView, result: Result) -> None:
    messages.text(result.verdict)
    shown = page.code(view, result.figures)
    draw_figures(page.name, {name: result.figures[name] for name in shown})
    if not shown and page.page.missing is not None:
        messages.info(page.page.missing(result.data))
    if page.more is not None:
        page.more(view, result)
    draw_files(page.name, result)
    draw_code(snippet(page, view, result.figures), page.line(view))


def draw_figures(page: str, figures: Mapping[str, go.Figure]) -> None:
    """Figures below each other."""
    for name, figure in figures.items():
        chart(figure, f"{page} {name}")


def draw_files(page: str, result: Result, expanded: bool = False) -> None:
    """Downloads of a result, and its table; expanded: whether that is open."""
    stem = f"recurlens-{page}"
    download_row(
        [
            Download("Table (CSV)", f"{stem}.csv", lambda: result.frame.to_csv(index=False)),
            Download("Result (JSON)", f"{stem}.json", result.to_json),
            Download("Figures (HTML)", f"{stem}.html", lambda: figures_html(page, result.figures.values())),
        ]
    )
    folded("Table", lambda: st.dataframe(result.summary, hide_index=True, height="content"), expanded)


def draw_code(
    python: str,
    command: str,
    about: str = "The same as a command:",
    title: str = "View the code that drew this",
) -> None:
    """What draws the page again; title: on the box that it stands in, one on its page."""

    def code() -> None:
        st.code(python, language="python")
        messages.markdown(about)
        st.code(command, language="bash")

    folded(title, code)


def snippet(page: AnalysisPage, view: AnalysisView, figures: Iterable[str]) -> str:
    """Lines of Python that draw what the page shows; figures: names of those there are."""
    study = page.study_of(view)
    function, model = study.__name__, written(view.model)
    given = "".join(f", {name}={value!r}" for name, value in page.options(view).items())
    graphs = [
        "from analyses.inputs import GraphSource, load_model",
        "",
        f"model = load_model({model!r})",
        *view.graph_code(),
    ]
    taken = {0: "[]", 1: "graphs[0]"}.get(page.graphs, "graphs")
    return "\n".join(
        [
            f"from {study.__module__} import {function}",
            *(graphs if page.graphs else [""]),
            f"study = {function}({taken}, {model!r}{given})",
            "print(study.verdict())",
            *(f"{code}.show()" for code in page.code(view, figures).values()),
        ]
    )


def page_of(record: Analysis, **special: Any) -> AnalysisPage:
    """The page that a record describes; special: fields of `AnalysisPage` that no record can say.

    Raises ValueError for a record without a page.
    """
    page = record.page
    if page is None:
        raise ValueError(f"{record.name} has no page")

    def options(view: AnalysisView) -> dict[str, Any]:
        if page.arguments is not None:
            return dict(page.arguments(view.model, dict(view.settings)))
        given: dict[str, Any] = {}
        for choice in page.choices:
            given |= choice.arguments(view.setting(choice.name))
        return given

    def shown(view: AnalysisView) -> Mapping[str, str] | None:
        names = None if page.shown is None else page.shown(dict(view.settings))
        if names is None or isinstance(names, Mapping):
            return names
        return {name: f'study.figures()["{name}"]' for name in names}

    fields: dict[str, Any] = {
        "name": page.name or record.name,
        "page": page,
        "line": lambda view: command_line(record, view.model, options(view), graphs_of(record, view)),
        "study_of": lambda view: record.function,
        "options": options,
        "shown": shown,
        "figures": page.figures,
    }
    return AnalysisPage(**fields | special)


def command_line(record: Analysis, model: str, options: Mapping[str, Any], graphs: str = "") -> str:
    """The command of `recurlens` that gives the same; graphs: the options that ask for them, if it needs any."""
    flags = "".join(
        setting.line(options[setting.passed_as])
        for setting in record.settings
        if setting.passed_as in options
    )
    chosen = f"--model {shlex.quote(written(model))}" if model else ""
    parts = ("recurlens", record.name, graphs, chosen)
    return " ".join(part for part in parts if part) + flags


def graphs_of(record: Analysis, view: AnalysisView) -> str:
    """The options that ask for the graphs of a view, if it is about any."""
    return view.graph_options(one=record.graphs is None) if view.graphs else ""


def size(graphs: Sequence[ComputationGraph]) -> int:
    """What decides how long an analysis takes: nodes of all graphs together; 1 where there are none."""
    return sum(map(len, graphs)) or 1


def _size(graphs: Sequence[ComputationGraph]) -> str:
    """How much there is to do, up to the verb that tells how long it takes."""
    if not graphs:
        return "This takes"
    if len(graphs) == 1:
        return f"A graph with {size(graphs):,} nodes takes"
    return f"{len(graphs)} graphs with {size(graphs):,} nodes in all take"
