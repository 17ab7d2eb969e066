"""The Codes page: which codes are used, how they follow each other, how near others are, and what edits lead to."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from analyses.codes import CodesStudy, study_codes
from dashboards.analysis_page import Analysis, analysis_page, command_line
from dashboards.graph_inputs import AnalysisView, Setting
from dashboards.precomputed import Result
from interp.figures.codes import information_figure
from models.vocabulary import FACTORS

OTHERS = tuple(factor for factor in FACTORS if factor != "value")
SHOW = Setting(
    "show",
    "Show",
    {
        "usage": "Usage",
        "transitions": "Transitions",
        "margins": "Snap margins",
        "edits": "Code interventions",
    },
    computed=False,
)
FACTOR = Setting("factor", "Factor", {factor: factor for factor in ("value", *OTHERS)}, computed=False)


def figures(study: CodesStudy) -> Mapping[str, go.Figure]:
    """Those of the study, which are about values at right-hand sides, and those of the other factors at all tokens."""
    found = dict(study.figures())
    for factor in OTHERS:
        found[f"usage {factor}"] = study.usage.figure(factor)
        found[f"information {factor}"] = information_figure(study.usage, factor)
        found[f"transitions {factor}"] = study.transitions(factor).figure()
        found[f"margins {factor}"] = study.margins.figure(factor)
    return found


def shown(view: AnalysisView) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    show, factor = view.setting("show"), view.setting("factor")
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
        "information": "from interp.figures.codes import information_figure\n"
        f'information_figure(study.usage, "{factor}")',
        "transitions": f'study.transitions("{factor}").figure()',
        "margins": f'study.margins.figure("{factor}")',
    }
    names = ("usage", "information") if show == "usage" else (show,)
    return {f"{name} {factor}": code[name] for name in names}


def missing(result: Result) -> str:
    """Why there is nothing to show."""
    return f"There are no code interventions here: {result.data['no_interventions']}."


CODES = Analysis(
    name="codes",
    line=lambda view: command_line("codes", view),
    intro="Between two steps every token is four codes: syntax, variable, operation and value. Which of them a model "
    "uses, what they say about the graph, how they follow each other, and whether a code that is set by hand has the "
    "effect that the symbolic algorithm says.",
    study_of=lambda view: study_codes,
    settings=(SHOW, FACTOR),
    options=lambda view: {},
    at_once=4000,
    shown=shown,
    figures=figures,
    missing=missing,
)


def codes_page() -> None:
    """Draw the page."""
    analysis_page(CODES)
