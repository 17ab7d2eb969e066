"""Accuracy by size, or the correction of corrupted values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.framework.command import usual_source
from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import RUN_STEPS, Setting, count
from analyses.framework.sizes import sized_source
from analyses.inputs import PAPER_LEAVES, PAPER_OPERANDS, InputError
from analyses.options import only_one

if TYPE_CHECKING:
    from models.graph import ComputationGraph


def check(settings: Mapping[str, Any]) -> None:
    """Where to corrupt, and how long to run, of what is not corrupted or settles."""
    if settings["at_step"] is not None and settings["corrupt"] is None:
        raise InputError("--at-step says where to corrupt, so it needs --corrupt SHARE.")
    if settings["corrupt"] is not None and settings["steps"] is not None:
        raise InputError("--corrupt runs every graph until it settles: leave out --steps.")


def source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """Graphs of a file, or sampled by size."""
    if only_one(context, {"graphs_file": "--graphs-file", "sizes": "--sizes"}) == "graphs_file":
        return usual_source(context, settings)
    limits = {name: settings[name] for name in ("leaves", "max_operands")}
    return sized_source(context, settings, settings["graphs"], **limits)


EVALUATE = Analysis(
    name="evaluate",
    about="Accuracy of a model by graph size: fully solved graphs, and nodes; or, with --corrupt, its error "
    "correction.",
    study="analyses.evaluate:study_evaluation",
    takes=("graphs_file", "seed", "ops", "model"),
    settings=(
        Setting(
            "sizes",
            "Sample graphs of these sizes, such as 8:128:8.",
            metavar="START:STOP:STEP",
            of_study=False,
        ),
        count("graphs", "Sampled graphs of each size.", 64, 1, of_study=False),
        Setting(
            "leaves", "Leaves of each sampled graph.", PAPER_LEAVES, int, least=1, most=128, of_study=False
        ),
        Setting(
            "max_operands",
            "Operands of a sampled equation, at most.",
            PAPER_OPERANDS,
            int,
            least=1,
            most=PAPER_OPERANDS,
            of_study=False,
        ),
        Setting(
            "corrupt",
            "Corrupt this share of the known values and watch them heal.",
            type=float,
            metavar="SHARE",
            least=0,
            most=1,
            above=True,
        ),
        Setting(
            "at_step",
            "With --corrupt: in the state entering this step (default: the last).",
            type=int,
            least=1,
        ),
        RUN_STEPS,
    ),
    graphs=None,
    passes=("seed",),
    check=check,
    source=source,
    drawn=False,
    loop=OnLoops("analyses.loops.running:study_accuracy", samples=64),
)
"""Functions: `analyses.evaluate`, `analyses.correction`."""
