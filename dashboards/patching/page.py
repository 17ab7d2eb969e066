"""The Patching page: one run's activations put into another, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from dashboards import messages
from dashboards.cached import shared
from dashboards.computing import reader
from dashboards.patching.controls import chosen_view
from dashboards.patching.jobs import Sweep, SweepRequest, sweeps
from dashboards.patching.pair_view import show_pair
from dashboards.patching.results import CANCELLED, ENDED, progress_fragment, results_fragment
from dashboards.patching.session import SESSION, default_view
from dashboards.patching.settings import checked_settings, choose_look, settings_form
from dashboards.patching.view import View
from dashboards.runs import readable, with_model
from interp.causal.pairs import Pair, PairError
from interp.engine.sites import SiteError
from models.graph import GraphError
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError
from models.trajectory import Trajectory
from models.vocabulary import VocabularyError

INTRO = (
    "Two graphs that differ in one thing, and a run of each. A patch puts what one run has at one place, in one step, "
    "into the other run. How much of the other answer comes with it says what that place carries."
)
GOOD = "patching last good view"
AT_ONCE = 1000
"""Patched runs up to which a sweep starts without being asked for."""

_PATIENCE = 0.6
"""Seconds for which the page waits for a sweep before it shows progress instead."""


@dataclass(frozen=True)
class _Runs:
    """The pair and both runs, equally long."""

    pair: Pair
    clean: Trajectory
    corrupt: Trajectory

    @property
    def n_steps(self) -> int:
        return self.clean.n_steps


def patching_page() -> None:
    """Draw the page for this visitor's view."""
    is_new, problems = SESSION.read()
    messages.markdown(INTRO)
    # A sweep that ends runs the page again, which is no reason to take a message away.
    if st.session_state.pop(ENDED, False):
        problems = [*st.session_state["patching problems"]]
    st.session_state["patching problems"] = tuple(problems)
    view, pair = _pair(chosen_view(), problems)
    for problem in problems:
        messages.error(problem)
    runs = _run_both(view, pair)
    if runs is None:
        SESSION.hold()
        return
    show_pair(runs.pair, runs.clean, runs.corrupt)
    cfg = shared(view.model).model.cfg
    settings = choose_look(view.settings)
    if settings.look != view.settings.look or (not is_new and not view.same_pair(SESSION.current())):
        _forget_form()
        view = replace(view, cell=None)
    settings, problems = checked_settings(settings, runs.pair, cfg.n_layers, runs.n_steps)
    for problem in problems:
        messages.error(problem)
    submitted = settings_form(settings, runs.pair, cfg.n_layers, runs.n_steps)
    if submitted is not None and submitted != settings:
        view, settings = replace(view, cell=None), submitted
    view = replace(view, settings=settings)
    SESSION.show(view)
    try:
        request = _request(view, runs)
    except SiteError as error:
        messages.error(str(error))
        return
    sweep = sweeps().of(request, shared(view.model))
    _leave_other(sweep)
    if submitted is not None:
        st.session_state.pop(CANCELLED, None)
    left = st.session_state.get(CANCELLED) is sweep
    if submitted is not None or not (len(request.sites) > AT_ONCE or left or sweep.job.problem):
        sweep.job.start(reader())
    _show(sweep, runs, left)


def _show(sweep: Sweep, runs: _Runs, left: bool) -> None:
    """The sweep so far, and while it is at work its progress; left: this reader has cancelled it."""
    problem = None
    if not left:
        if not sweep.job.wait(_PATIENCE):
            progress_fragment(sweep)
            return
        problem = sweep.job.problem
    if problem is not None:
        messages.error(problem)
    found = sweep.result()
    total = f"{len(sweep.request.sites):,} patched runs"
    if found is None and problem is None:
        messages.markdown(
            "This sweep is {total}. Press **Run the sweep** to start it.", box="info", total=total
        )
    elif found is not None and not sweep.finished:
        messages.markdown(
            "Stopped after {kept} of {total}, which are kept. **Run the sweep** continues it.",
            box="warning",
            kept=f"{sweep.n_kept:,}",
            total=total,
        )
    if found is not None:
        results_fragment(found, sweep.n_kept, runs.clean, runs.corrupt)


def _pair(wanted: View, problems: list[str]) -> tuple[View, Pair]:
    """The pair of the wanted view; where there is none that the model can read, a message and the last good view's."""
    good: View = st.session_state.get(GOOD, default_view())
    try:
        pair = _readable_pair(wanted)
    except (GraphError, PairError, VocabularyError, CheckpointError) as error:
        problems.append(str(error))
        plain = replace(good, settings=SESSION.current().settings, cell=SESSION.current().cell)
        return plain, _readable_pair(good)
    st.session_state[GOOD] = wanted
    return wanted, pair


def _readable_pair(view: View) -> Pair:
    pair = view.pair()
    if not pair.differing:
        raise PairError("No true value differs between the two graphs, so there is no effect to measure.")
    for graph in (pair.clean, pair.corrupt):
        readable(view.model, graph)
    return pair


def _run_both(view: View, pair: Pair) -> _Runs | None:
    """Both runs, as long as the longer one; None until they are there."""
    graphs = (pair.clean, pair.corrupt)

    def work(model: RecurrentTransformer) -> _Runs:
        n_steps = max(model.run(graph).n_steps for graph in graphs)
        return _Runs(pair, *(model.run(graph, n_steps) for graph in graphs))

    return with_model("patching runs", view.model, "both runs", graphs, work, "running both graphs")


def _request(view: View, runs: _Runs) -> SweepRequest:
    names = [node.name for node in runs.pair.clean.nodes]
    read = tuple(names.index(name) for name in view.settings.read)
    sites = view.settings.sites(shared(view.model).model, runs.clean, runs.n_steps)
    return SweepRequest(
        model=view.model,
        clean=runs.pair.clean,
        corrupt=runs.pair.corrupt,
        n_steps=runs.n_steps,
        sites=sites,
        metric=view.settings.metric,
        direction=view.settings.direction,
        nodes=read or None,
    )


def _leave_other(sweep: Sweep) -> None:
    """Stop the sweep this visitor has turned away from."""
    before: Sweep | None = st.session_state.get("patching sweep")
    if before is not None and before is not sweep:
        before.job.leave(reader())
    st.session_state["patching sweep"] = sweep


def _forget_form() -> None:
    """Let the form be filled anew, from the view."""
    for key in [key for key in st.session_state if str(key).startswith("patch_set_")]:
        del st.session_state[key]
