"""The Dynamics page: how the state moves, settles and solves a graph, one model beside another."""

from __future__ import annotations

from typing import Any

from analyses.dynamics import study_dynamics
from dashboards.analysis_page import Analysis, analysis_page, command_line
from dashboards.cached import available
from dashboards.graph_inputs import AnalysisView, Setting

NONE = "none"
_NAMES = available()
AGAINST = Setting(
    "against",
    "Beside it",
    {name: name for name in sorted(_NAMES, key=lambda name: name != "continuous")} | {NONE: "no other model"},
    "Another model that is shown the same graphs.",
)
SHOW = Setting(
    "show",
    "Show",
    {
        "drift": "Long runs",
        "frontier": "Frontier",
        "motion": "Motion",
        "trajectories": "Trajectories",
    },
    computed=False,
)


def against(view: AnalysisView) -> list[str]:
    """Other models of a view."""
    name = view.setting("against")
    return [] if name in (NONE, view.model) else [name]


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    return {"against": against(view)}


def shown(view: AnalysisView) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    name = view.setting("show")
    return {name: f'study.figures()["{name}"]'}


def line(view: AnalysisView) -> str:
    """The command."""
    return command_line("dynamics", view, "".join(f" --against {name}" for name in against(view)))


DYNAMICS = Analysis(
    name="dynamics",
    line=line,
    intro="The state that enters a step, at every right-hand side: how far a step moves it, whether it comes to rest, "
    "how many levels of a graph a step solves, and what stays right in runs eight times as long as a graph needs.",
    study_of=lambda view: study_dynamics,
    settings=(AGAINST, SHOW),
    options=options,
    at_once=4000,
    shown=shown,
    beside=against,
    missing=lambda result: "These runs are too short for this figure.",
)


def dynamics_page() -> None:
    """Draw the page."""
    analysis_page(DYNAMICS)
