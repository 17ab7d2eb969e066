"""A page for any looped model: its inputs, what the analysis of the page finds in it, or what it needs and lacks."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import streamlit as st

from analyses.framework.record import Analysis, OnLoops
from analyses.inputs import InputError
from analyses.loops.command import study_of
from analyses.loops.inputs import Wanted, parse_texts
from analyses.loops.offered import offered
from analyses.loops.opening import Opened
from dashboards import messages
from dashboards.address import ParamReader
from dashboards.analysis_page import draw_code, draw_figures, draw_files
from dashboards.cached import every_model
from dashboards.computing import computed
from dashboards.model_choice import keep_loop, leave_for
from dashboards.own_models import grouped, label_of
from dashboards.precomputed import Result
from dashboards.results import as_result
from dashboards.selection import Selection
from dashboards.session import PageSession

SAMPLE, TYPE = "Sample", "My own"
_COUNTS, _SEEDS, _STEPS, _ROWS = (1, 256), (0, 2**31 - 1), (1, 1024), (0, 255)
_WORDS = ("factor", "sites")
"""Settings that are typed."""


@dataclass(frozen=True)
class LoopView:
    """What such a page shows. `text`: inputs, one per line, None for `samples` of `seed`; others: as in the shell."""

    model: str
    text: str | None = None
    samples: int = 1
    seed: int = 0
    steps: int | None = None
    row: int = 0
    factor: str = ""
    sites: str = ""

    @property
    def carried(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def selected(self) -> Selection:
        """The model, and its inputs where they were typed."""
        return Selection(self.model, inputs=self.text)

    def with_selection(self, chosen: Selection) -> LoopView:
        """The same of what is chosen: a model with inputs that were typed for it."""
        model = chosen.model or self.model
        text = chosen.inputs if chosen.inputs is not None or model != self.model else self.text
        return replace(self, model=model, text=text)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        inputs = (
            {"samples": str(self.samples), "seed": str(self.seed)}
            if self.text is None
            else {"inputs": self.text}
        )
        more = {
            "steps": "" if self.steps is None else str(self.steps),
            "row": str(self.row) if self.row else "",
            "factor": self.factor,
            "sites": self.sites,
        }
        return {"model": self.model, **inputs, **{name: value for name, value in more.items() if value}}

    @classmethod
    def from_params(cls, params: Mapping[str, str], samples: int) -> tuple[LoopView, list[str]]:
        """The view of an address, and a message for every parameter that could not be read."""
        reader = ParamReader(params)
        view = cls(
            params.get("model", next(iter(offered()), "")),
            params.get("inputs"),
            cast("int", reader.number("samples", *_COUNTS, samples)),
            cast("int", reader.number("seed", *_SEEDS, 0)),
            reader.number("steps", *_STEPS, None),
            cast("int", reader.number("row", *_ROWS, 0)),
            params.get("factor", ""),
            params.get("sites", ""),
        )
        return view, reader.problems

    def lines(self) -> tuple[str, ...]:
        """The inputs that were typed."""
        return tuple(line.strip() for line in (self.text or "").splitlines() if line.strip())


def loop_page(record: Analysis, page: str, model: str) -> None:
    """Draw the page of an analysis for a looped model that is offered; page: its name in the session."""
    loop = record.loop
    if not isinstance(loop, OnLoops):
        _choose(model, page)
        messages.info(
            f"This page needs {loop}, which a looped model such as {model} does not have; Trajectory, Patching, "
            "Probing, Codes, Lens, Dynamics and Attention show it."
        )
        return
    session: PageSession[LoopView] = PageSession(
        f"{page} of a loop",
        lambda given: LoopView.from_params(given, loop.samples),
        lambda view: _fill(page, view),
        _key(page, "model"),
        lambda: list(offered()),
    )
    _, problems = session.read()
    if "model" not in st.query_params and session.current().model != model:
        leave_for(model)
    messages.text(loop.about or record.about)
    view = _sidebar(page, loop, session.current())
    session.show(view)
    keep_loop(view.model)
    for problem in problems:
        messages.error(problem)
    opened = offered()[view.model]
    found = computed(page, (page, view), lambda _: _found(loop, opened, view), f"running {view.model}")
    if isinstance(found, str):
        messages.warning(found)
    elif found is not None:
        messages.text(found.verdict)
        draw_figures(page, found.figures)
        draw_files(page, found)
        draw_code(_snippet(loop, opened, view), _line(record, loop, opened, view))


def _found(loop: OnLoops, opened: Opened, view: LoopView) -> Result | str:
    """The result; or what the model or its task cannot do."""
    begin = time.perf_counter()
    try:
        study = study_of(loop, opened, _wanted(loop, view), _settings(loop, view))
    except InputError as error:
        return str(error)
    return as_result(study, study.figures(), begin)


def _wanted(loop: OnLoops, view: LoopView) -> Wanted:
    lines = view.lines()
    if view.text is not None and not lines:
        raise InputError(
            "No input was typed: one per line, a text as the task reads it or token ids ('5 9 2')."
        )
    if loop.pair and len(lines) == 2:
        return Wanted((), 1, view.seed, *lines)
    if loop.pair and len(lines) > 2:
        raise InputError(
            "This page is about two inputs: a line for the clean one, and one for the corrupt one."
        )
    return Wanted(parse_texts(lines), view.samples, view.seed)


def _names(loop: OnLoops) -> set[str]:
    return {*loop.takes, *(setting.name for setting in loop.settings)}


def _settings(loop: OnLoops, view: LoopView) -> dict[str, Any]:
    """Those of the view that the analysis has and that are given, by their names."""
    given: dict[str, Any] = {"steps": view.steps, "row": view.row or None, "factor": view.factor or None}
    given["sites"] = [name.strip() for name in view.sites.split(",") if name.strip()] or None
    return {name: value for name, value in given.items() if name in _names(loop) and value is not None}


def _key(page: str, widget: str) -> str:
    return f"{page}_loop_{widget}"


def _fill(page: str, view: LoopView) -> None:
    filled = {
        "model": view.model,
        "source": SAMPLE if view.text is None else TYPE,
        "text": view.text or "",
        "samples": view.samples,
        "seed": view.seed,
        "steps": view.steps,
        "row": view.row,
        "factor": view.factor,
        "sites": view.sites,
    }
    for widget, value in filled.items():
        st.session_state[_key(page, widget)] = value


def _choose(model: str, page: str) -> str:
    key = _key(page, "model")
    st.session_state.setdefault(key, model)
    names = list(offered())
    chosen: str = st.sidebar.selectbox(
        "Model",
        grouped([*names, *every_model()]),
        key=key,
        format_func=label_of,
        help="Looped models of this server, and models that read graphs.",
    )
    if chosen not in names:
        leave_for(chosen)
    return chosen


def _sidebar(page: str, loop: OnLoops, before: LoopView) -> LoopView:
    side, state = st.sidebar, st.session_state
    view = replace(before, model=_choose(before.model, page))
    side.segmented_control(
        "Inputs",
        [SAMPLE, TYPE],
        key=_key(page, "source"),
        required=True,
        width="stretch",
        label_visibility="collapsed",
    )
    if state[_key(page, "source")] == TYPE:
        side.text_area(
            "Inputs",
            key=_key(page, "text"),
            height=140,
            help="One per line: text as the model's task reads it, or token ids (`5 9 2`)."
            + (" Two lines are the clean and the corrupt input." if loop.pair else ""),
        )
        side.caption("Ctrl+Enter to apply.")
        view = replace(view, text=state[_key(page, "text")])
    else:
        left, right = side.columns(2)
        if not loop.pair:
            left.number_input(
                "Inputs", *_COUNTS, key=_key(page, "samples"), help="Drawn by the model's task."
            )
        place = side if loop.pair else right
        place.number_input(
            "Seed", *_SEEDS, key=_key(page, "seed"), help="The same seed draws the same inputs."
        )
        samples = 1 if loop.pair else state[_key(page, "samples")]
        view = replace(view, text=None, samples=samples, seed=state[_key(page, "seed")])
    names = _names(loop)
    left, right = side.columns(2)
    if "steps" in names:
        left.number_input(
            "Steps",
            *_STEPS,
            value=None,
            key=_key(page, "steps"),
            placeholder="its own",
            help="As many as the model says.",
        )
        view = replace(view, steps=state[_key(page, "steps")])
    if "row" in names:
        right.number_input("Row", *_ROWS, key=_key(page, "row"), help="The input that figures show.")
        view = replace(view, row=state[_key(page, "row")])
    hints = {
        "factor": ("Factor", "any", "Whose symbols are read, of those that the model's `read` gives."),
        "sites": (
            "Sites",
            "usual ones",
            "Sites, kinds of them (`mlp_out`), or names of modules, between commas.",
        ),
    }
    for name in _WORDS:
        if name in names:
            label, placeholder, help = hints[name]
            side.text_input(label, key=_key(page, name), placeholder=placeholder, help=help)
            view = replace(view, **{name: state[_key(page, name)]})
    return view


def _line(record: Analysis, loop: OnLoops, opened: Opened, view: LoopView) -> str:
    """The command that does the same."""
    lines = view.lines()
    if loop.pair and len(lines) == 2:
        inputs = f" --clean {shlex.quote(lines[0])} --corrupt {shlex.quote(lines[1])}"
    elif view.text is not None:
        inputs = "".join(f" --inputs {shlex.quote(line)}" for line in lines)
    else:
        inputs = f"{'' if loop.pair else f' --samples {view.samples}'} --seed {view.seed}"
    flags = "".join(
        f" --{name} {shlex.quote(','.join(value) if isinstance(value, list) else str(value))}"
        for name, value in _settings(loop, view).items()
    )
    return f"recurlens {record.name} --model {shlex.quote(opened.name)}{inputs}{flags}"


def _snippet(loop: OnLoops, opened: Opened, view: LoopView) -> str:
    """Lines of Python that do the same."""
    module, _, function = loop.study.partition(":")
    settings = _settings(loop, view) | ({"seed": view.seed} if loop.passes_seed else {})
    given = "".join(
        f", {'n_steps' if name == 'steps' else name}={value!r}" for name, value in settings.items()
    )
    return "\n".join(
        [
            "from analyses.loops.inputs import Wanted",
            "from analyses.loops.opening import open_loop",
            f"from {module} import {function}",
            "",
            f"model = open_loop({opened.name!r})",
            f"study = {function}(model, {_wanted(loop, view)!r}{given})",
            "print(study.verdict())",
            "for figure in study.figures().values():",
            "    figure.show()",
        ]
    )
