"""How the state moves from step to step, settles and solves a graph, one model beside another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.dynamics import LONGEST, TOLERANCE
from analyses.framework.record import Analysis, Chosen, OnLoops, Page
from analyses.framework.settings import ROW, Choice, Setting
from models.bounds import MOST_STEPS

if TYPE_CHECKING:
    from rich.console import Console

NONE = "none"


def against(model: str, chosen: Chosen) -> list[str]:
    """Other models of a view."""
    return [] if chosen["against"] in (NONE, model) else [chosen["against"]]


def shows(study: Any, console: Console) -> None:
    """A table of every model, and of long runs."""
    console.print(study.table())
    if study.drifts:
        console.print(study.drift_table())


def others() -> dict[str, str]:
    """Models to choose from, the one that drifts first."""
    from models.loading import with_steps

    names = sorted(with_steps(), key=lambda name: name != "continuous")
    return {name: name for name in names} | {NONE: "no other model"}


DYNAMICS = Analysis(
    name="dynamics",
    about="Measure how the state moves from step to step, how fast graphs are solved, and what drifts in long runs.",
    study="analyses.dynamics:study_dynamics",
    settings=(
        Setting("against", "Other models, shown the same graphs.", metavar="MODEL,...", names=True),
        Setting(
            "longest",
            "Run this many times the steps that the deepest graph needs.",
            LONGEST,
            int,
            least=1,
            most=MOST_STEPS,
        ),
        Setting(
            "steps",
            "Recurrence steps to run.  [default: as --longest says]",
            type=int,
            argument="n_steps",
            least=2,
            most=MOST_STEPS,
        ),
        Setting(
            "tolerance",
            "Relative, for fixed points and cycles of hidden states.",
            TOLERANCE,
            float,
            least=0,
            most=1,
        ),
    ),
    shows=shows,
    page=Page(
        title="Dynamics",
        question="How does the state move?",
        intro="The state that enters a step, at every right-hand side: how far a step moves it, whether it comes to "
        "rest, how many levels of a graph a step solves, and what stays right in runs eight times as long as a graph "
        "needs.",
        at_once=1000,
        choices=(
            Choice(
                "against",
                "Compare with",
                others,
                "Another model that is shown the same graphs.",
            ),
            Choice(
                "show",
                "Show",
                {
                    "drift": "Long runs",
                    "frontier": "Frontier",
                    "motion": "Motion",
                    "trajectories": "Trajectories",
                },
                computed=False,
            ),
        ),
        shown=lambda chosen: [chosen["show"]],
        missing=lambda result: "These runs are too short for this figure.",
        arguments=lambda model, chosen: {"against": against(model, chosen)},
        beside=against,
    ),
    loop=OnLoops("analyses.loops.observing:study_dynamics", takes=("steps", "tolerance"), settings=(ROW,)),
)
"""Functions: `analyses.dynamics`."""
