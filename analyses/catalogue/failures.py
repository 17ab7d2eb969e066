"""Why a model fails: where runs break, drift, lose their place or end too early, by what the model's method has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.framework.command import usual_source
from analyses.framework.record import Analysis, Page
from analyses.framework.settings import Setting
from analyses.framework.sizes import sized_source
from analyses.options import GRAPH_SOURCES, only_one

if TYPE_CHECKING:
    from models.graph import ComputationGraph


def source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """Graphs may also be sampled at several sizes."""
    if only_one(context, GRAPH_SOURCES | {"sizes": "--sizes"}) != "sizes":
        return usual_source(context, settings)
    return sized_source(context, settings, context.params["n_graphs"])


FAILURES = Analysis(
    name="failures",
    about="Ask why a model fails: wrong writes, attention, drift, lost places or depth, whichever its method has.",
    study="analyses.failures:study_failures",
    settings=(
        Setting("sizes", "Sample graphs of these sizes, such as 8,32,128.", metavar="N,...", of_study=False),
    ),
    graphs=32,
    source=source,
    page=Page(
        title="Failures",
        question="Why does it fail?",
        intro="What is asked depends on the model. A discrete state: where values are written wrong, what the heads "
        "that fetch operands looked at there, and whether sharper attention mends it. A continuous state: how far "
        "it is from the right one, and whether snapping it heals the run. A chain of thought: the first wrong "
        "token. A fixed number of steps: the depth that is reached.",
        graphs=16,
        at_once=400,
        texts=True,
    ),
    loop="graphs whose true values are known",
)
"""Functions: `analyses.failures`."""
