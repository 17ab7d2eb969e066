"""The story of one node: what each step did for it, every sentence with the effect that backs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analyses.framework.record import Analysis, Chosen, Page
from analyses.framework.settings import STEPS, Choice, Setting, count

if TYPE_CHECKING:
    import plotly.graph_objects as go

LAST, COMPUTING = "last", "computing"


def further(study: Any) -> Mapping[str, go.Figure]:
    """A figure for each of several stories."""
    return study.figures() if len(study.stories) > 1 else {}


def by_step(study: Any) -> Mapping[str, go.Figure]:
    """The story's figure, with the arrows of each step, and the circuit of each step."""
    (story,) = study.stories
    steps = range(len(story.steps))
    arrows = {COMPUTING: study.figure()} | {str(step): story.figure(step) for step in steps}
    circuits = {COMPUTING: story.circuit_figure()} | {str(step): story.circuit_figure(step) for step in steps}
    return arrows | {f"circuit_{step}": figure for step, figure in circuits.items()}


def shown(chosen: Chosen) -> dict[str, str]:
    """The figures of a view, and their code."""
    step = chosen["step"]
    given = "" if step == COMPUTING else step
    return {
        step: "study.figure()" if step == COMPUTING else f"study.stories[0].figure({step})",
        f"circuit_{step}": f"study.stories[0].circuit_figure({given})",
    }


STORY = Analysis(
    name="story",
    about="Tell which head fetched what for one node, step by step, and test every claim that can be tested.",
    study="analyses.story:study_story",
    settings=(
        Setting(
            "node",
            "Nodes by name or index.  [default: the last]",
            argument="nodes",
            metavar="NAME,...",
            names=True,
        ),
        STEPS,
        count("variations", "Tests of each claim, at most.", 4, 1, "n"),
        Setting(
            "attention",
            "Share of its attention with which a head looks at something.",
            0.5,
            float,
            "least",
            least=0,
            most=1,
            above=True,
        ),
    ),
    graphs=None,
    alone=True,
    passes=("seed",),
    frames=lambda study: {"effects": study.effects()},
    figures=further,
    shows=lambda study, console: console.print(study.text(), soft_wrap=True),
    as_text=True,
    page=Page(
        title="Story",
        question="What happened at one node?",
        intro="One node, told step by step: which head fetched which operand's name, which head fetched which value "
        "from where, what the MLPs wrote, and what was snapped. Every claim that can be tested is tested: what it "
        "names is swapped for another, and the component patched. The table has the effect of every component.",
        choices=(
            Choice(
                "node",
                "Node",
                {LAST: "the last", **{str(node): str(node) for node in range(128)}},
                "Whose story is told.",
                gives=lambda node: {} if node == LAST else {"nodes": (int(node),)},
            ),
            Choice(
                "step",
                "Step",
                {COMPUTING: "that computes it", **{str(step): str(step) for step in range(130)}},
                "What heads fetched at this step is drawn as arrows, and as a circuit.",
                computed=False,
            ),
        ),
        graphs=1,
        at_once=48,
        shown=shown,
        figures=by_step,
        missing=lambda result: "The story ends before this step: the node has its final value.",
    ),
    loop="the nodes and operands of a graph",
)
"""Functions: `analyses.story`."""
