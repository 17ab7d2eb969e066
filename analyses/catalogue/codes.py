"""The codebook: which codes are used, how they follow each other, how near others are, and what edits lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analyses.framework.record import Analysis, Chosen, OnLoops, Page
from analyses.framework.settings import STEPS, Choice, count

if TYPE_CHECKING:
    import plotly.graph_objects as go

OTHERS = ("syntax", "variable", "operation")


def figures(study: Any) -> Mapping[str, go.Figure]:
    """Those of the study, which are about values at right-hand sides, and those of the other factors at all tokens."""
    from interp.codebook.codes_figure import information_figure

    found = dict(study.figures())
    for factor in OTHERS:
        found[f"usage {factor}"] = study.usage.figure(factor)
        found[f"information {factor}"] = information_figure(study.usage, factor)
        found[f"transitions {factor}"] = study.transitions(factor).figure()
        found[f"margins {factor}"] = study.margins.figure(factor)
    return found


def shown(chosen: Chosen) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    show, factor = chosen["show"], chosen["factor"]
    if show == "edits" or factor == "value":
        names = {
            "usage": ("usage", "information"),
            "transitions": ("transitions", "commits"),
            "margins": ("margins",),
            "edits": ("interventions",),
        }
        return {name: f'study.figures()["{name}"]' for name in names[show]}
    code = {
        "usage": f'study.usage.figure("{factor}")',
        "information": "from interp.codebook.codes_figure import information_figure\n"
        f'information_figure(study.usage, "{factor}")',
        "transitions": f'study.transitions("{factor}").figure()',
        "margins": f'study.margins.figure("{factor}")',
    }
    names = ("usage", "information") if show == "usage" else (show,)
    return {f"{name} {factor}": code[name] for name in names}


CODES = Analysis(
    name="codes",
    about="Count which codes a model uses, what they say, how they follow each other, and what edits of them lead to.",
    study="analyses.codes:study_codes",
    settings=(STEPS, count("edits", "Code interventions of each kind in each graph; 0: none.", 4)),
    passes=("seed",),
    page=Page(
        title="Codes",
        question="Which codes are used, and how do they follow each other?",
        intro="Between two steps every token is four codes: syntax, variable, operation and value. Which of them a "
        "model uses, what they say about the graph, how they follow each other, and whether a code that is set by hand "
        "has the effect that the symbolic algorithm says.",
        at_once=2000,
        choices=(
            Choice(
                "show",
                "Show",
                {
                    "usage": "Usage",
                    "transitions": "Transitions",
                    "margins": "Snap margins",
                    "edits": "Code interventions",
                },
                computed=False,
            ),
            Choice("factor", "Factor", {factor: factor for factor in ("value", *OTHERS)}, computed=False),
        ),
        shown=shown,
        figures=figures,
        missing=lambda result: f"There are no code interventions here: {result['no_interventions']}.",
    ),
    loop=OnLoops(
        "analyses.loops.observing:study_codes", takes=("steps", "edits"), samples=16, passes_seed=True
    ),
)
"""Functions: `analyses.codes`."""
