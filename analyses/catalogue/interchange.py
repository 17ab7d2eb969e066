"""Which of the algorithm's variables a model computes with, where, and whether by the same subspace in every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import Choice, Setting, count
from analyses.interchange import EPOCHS, PAIRS, VARIABLES

if TYPE_CHECKING:
    from models.graph import ComputationGraph

MOST_STEP, MOST_EPOCHS, MOST_RANK = 5, 1000, 4096
"""No node of the drawn graphs is deeper than step 5 needs."""

REPORTED: Mapping[str, Any] = {
    "variables": ("value:first", "shown"),
    "last_step": 2,
    "pairs": 96,
    "epochs": 12,
}
"""What the report's section asks."""
SHOWN: Mapping[str, tuple[str, ...]] = {
    "values": ("value:first", "own", "shown"),
    "names": ("name:first", "name:last"),
    "sum": ("partial", "status"),
    "own": ("own",),
}
"""What the page asks about, by its choice."""
EFFORTS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"last_step": 2, "pairs": 96, "epochs": 12},
    "thorough": {"last_step": 2, "pairs": 192, "epochs": 40},
}
"""How the page fits, by its choice."""


def source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """The model; states are drawn."""
    return context.params["model"], []


INTERCHANGE = Analysis(
    name="interchange",
    about="Swap the algorithm's variables between states, in known or fitted subspaces, and see what the model writes.",
    study="analyses.interchange:study_interchange",
    settings=(
        Setting(
            "variables",
            "name:first, value:middle, partial, status, own, shown, ...",
            ",".join(VARIABLES),
            names=True,
        ),
        Setting("last_step", "Ask about steps 1 to this.", 4, int, least=1, most=MOST_STEP),
        count("pairs", "Pairs of every step to fit to; half as many are asked about.", PAIRS, 2),
        Setting("epochs", "Passes over the pairs.", EPOCHS, int, least=1, most=MOST_EPOCHS),
        Setting(
            "rank",
            "Dimensions of a subspace.  [default: by slot or factor]",
            type=int,
            least=1,
            most=MOST_RANK,
        ),
        Setting(
            "start",
            "Where fits begin: random, or probe, in what a probe reads.  [default: probe for a compiled model]",
        ),
    ),
    graphs=None,
    takes=("seed", "model"),
    passes=("seed",),
    source=source,
    frames=lambda study: study.frames(),
    loop="the algorithm of computation graphs",
    page=Page(
        title="Variables",
        question="Which variables does it compute with?",
        intro="A subspace of an activation is swapped between two states, and the step runs on: does the model write "
        "what the algorithm writes with one variable swapped? Subspaces are fitted, one for every step and one for "
        "all together, and asked about graphs of another shape. A variable that a probe reads and that no swap moves "
        "is read, not used. States are drawn for it.",
        choices=(
            Choice(
                "variables",
                "Variables",
                {
                    "values": "an operand's value, the result, what is shown",
                    "names": "names of operands",
                    "sum": "the partial sum, whether all are known",
                    "own": "the result alone",
                },
                "Variables of the algorithm, in the equation of one node.",
                gives=lambda value: {"variables": SHOWN[value]},
            ),
            Choice(
                "fit",
                "Fit",
                {"quick": "96 pairs, 12 times over", "thorough": "192 pairs, 40 times over"},
                "Pairs of every step that subspaces are fitted to; half as many are asked about.",
                gives=lambda value: EFFORTS[value],
            ),
        ),
        graphs=0,
        at_once=0,
        further=("probing", "certificate", "circuit"),
    ),
    section=Section(
        "Variables",
        "Whether the value of an operand, and what stands at the node itself, are used or only read: interchange in "
        "fitted subspaces, beside their controls.",
        {
            "alignment": "interp/interchange/interchange_figure.py",
            "slots": "interp/interchange/interchange_figure.py",
        },
        needs="states",
        arguments=REPORTED,
    ),
)
"""Functions: `analyses.interchange`."""
