"""Graphs solved step by step, beside the symbolic oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import ROW, RUN_STEPS

if TYPE_CHECKING:
    from rich.console import Console


def shows(study: Any, console: Console) -> None:
    """The tables of every graph; of several, each with its verdict."""
    reports = list(study.report(console.width, console.options.ascii_only))
    for tables, verdict in reports:
        console.print(*tables, sep="")
        if len(reports) > 1:
            console.print(verdict, soft_wrap=True)


SOLVE = Analysis(
    name="solve",
    about="Show a model solving graphs, step by step, and check the result against the symbolic oracle.",
    study="analyses.solve:study_solution",
    settings=(RUN_STEPS,),
    graphs=None,
    drawn=False,
    hooked=False,
    shows=shows,
    loop=OnLoops(
        "analyses.loops.running:study_run",
        settings=(ROW,),
        about="What every position shows after every step, and how far the step moves the state.",
    ),
)
"""Functions: `analyses.solve`."""
