"""What neighbouring papers ask of such a model: a record a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import count
from models.compiled_names import fitting_name

if TYPE_CHECKING:
    from models.graph import ComputationGraph

GROUP: Final = "Neighbours"
"""Of the pages, in the navigation."""


def weights_alone(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """The model; no graphs are needed."""
    return fitting_name(context.params["model"], []), []


NEURONS = Analysis(
    name="neurons",
    about="Prune neurons from the least periodic, the most periodic and at random; graphs are not needed.",
    study="analyses.neighbours:study_neurons",
    settings=(count("draws", "Orders of each kind that are drawn.", 8, 1),),
    graphs=2,
    passes=("seed",),
    source=weights_alone,
    page=Page(
        title="Neurons",
        question="Do periodic neurons carry the sum?",
        intro="Every neuron's tuning to an operand is a curve over 23 values. How near it is to a single wave (IPR), "
        "and what is still answered right when neurons are pruned in that order; the control prunes others of equal "
        "energy. After Doshi et al., To grok or not to grok (2310.13061).",
        graphs=2,
        group=GROUP,
    ),
    section=Section(
        "Periodic neurons",
        "Neurons pruned from the least periodic, the most periodic, at random and at equal energy.",
        {"pruning": "interp/neighbours/pruning_figure.py"},
        needs="states",
        arguments={"draws": 3},
    ),
    loop="an MLP and operands of equations",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.pruning`."""
