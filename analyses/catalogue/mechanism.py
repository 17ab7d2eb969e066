"""How it is done: head roles, factor subspaces, composition, block change, Fourier; each with its control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.framework.command import usual_source
from analyses.framework.record import Analysis, Page
from analyses.framework.settings import Choice, Setting
from analyses.mechanism import PARTS, WITH_GRAPHS
from models.compiled_names import fitting_name
from models.operations import OPERATIONS

if TYPE_CHECKING:
    from models.graph import ComputationGraph

LABELS = ("Head roles", "OV and QK", "Composition", "Block change", "Fourier", "Own frequency")
WITH_OPERATION = ("fourier", "ablation")
FIGURES = {
    "heads": ("heads", "heads_untrained"),
    "subspaces": ("ov", "ov_untrained", "qk", "overlap"),
    "composition": ("composition", "composition_untrained"),
    "changes": ("changes", "changes_untrained"),
    "fourier": ("fourier", "cells", "neurons"),
    "ablation": tuple(
        f"{name}_{layer}" for layer in range(8) for name in ("own", "phases", "curve", "ablation")
    ),
}


def source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """Most parts need no graphs."""
    if settings["part"] in WITH_GRAPHS:
        return usual_source(context, settings)
    operation = settings["operation"]
    return fitting_name(context.params["model"], [operation] if operation else []), []


MECHANISM = Analysis(
    name="mechanism",
    about="Measure one part of the mechanism, beside its control; heads and changes need graphs, the other parts none.",
    study="analyses.mechanism:study_mechanism",
    settings=(
        Setting("part", f"One of {', '.join(PARTS)}.", "heads"),
        Setting("operation", "Of the parts fourier and ablation.  [default: the model's first]"),
    ),
    graphs=2,
    source=source,
    page=Page(
        title="Mechanism",
        question="How is it done?",
        intro="How it is done: what every head responds to and where it looks, which factors its weights move, how "
        "heads feed each other, how much each block adds, and whether numbers are added by waves. Untrained weights, "
        "or random subspaces and neurons, stand beside each as a control. Head roles take up to a minute the first "
        "time.",
        choices=(
            Choice("part", "Part", dict(zip(PARTS, LABELS, strict=True))),
            Choice(
                "operation",
                "Operation",
                {name: name for name in OPERATIONS},
                "Over all pairs of operands of one equation.",
            ),
        ),
        graphs=2,
        at_once=64,
        shown=lambda chosen: FIGURES[chosen["part"]],
        variants=tuple({"part": part} for part in PARTS),
    ),
    loop="weights by their names (W_Q, W_OV, W_U) and a vocabulary of factors",
)
"""Functions: `analyses.mechanism`."""
