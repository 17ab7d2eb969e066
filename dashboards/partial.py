"""A first result, of some of the graphs: there before that of all of them, and kept where that one is cancelled.

A study of fewer graphs is one like any other, so that its figures, table and code are true of what they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dashboards.computing import Progress
from dashboards.graph_view import AnalysisView
from models.graph import ComputationGraph

_SHARE: Final = 4
"""One in so many graphs is among the first; at least one is."""
_PARTS: Final = 1000
"""In how many parts progress over both results is told."""


def first_part(
    view: AnalysisView, graphs: Sequence[ComputationGraph]
) -> tuple[AnalysisView, Sequence[ComputationGraph]] | None:
    """The first of the graphs, and the view that shows these alone; None where there is only one."""
    if len(graphs) < 2:
        return None
    count = max(1, len(graphs) // _SHARE)
    if view.text is None:
        return replace(view, graphs=count), graphs[:count]
    return replace(view, text="\n\n".join(view.texts()[:count])), graphs[:count]


def shares(progress: Progress, first: int, total: int) -> tuple[Progress, Progress]:
    """Progress of the first result and of the one of all graphs, as progress of both together."""
    turn = first / (first + total)

    def of_first(done: int, whole: int) -> None:
        progress(round(_PARTS * turn * done / max(whole, 1)), _PARTS)

    def of_all(done: int, whole: int) -> None:
        progress(round(_PARTS * (turn + (1 - turn) * done / max(whole, 1))), _PARTS)

    return of_first, of_all
