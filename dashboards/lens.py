"""The Lens page: where inside a step the answer can be read by the model's own readout, and what writes it."""

from __future__ import annotations

from typing import Any

from analyses.lens import study_lens
from dashboards.analysis_page import Analysis, analysis_page, command_line
from dashboards.graph_inputs import AnalysisView, Setting

FACTOR = Setting(
    "factor",
    "Factor",
    {name: name for name in ("value", "variable", "operation", "syntax")},
    "Whose readout the residual states go through.",
)
KIND = Setting(
    "kind",
    "Lens",
    {"plain": "plain", "tuned": "plain and tuned"},
    "Tuned: an affine map a step and layer point, fitted on three quarters of the graphs.",
)
SHOW = Setting(
    "show",
    "Show",
    {
        "status": "By status",
        "rank": "Mean rank",
        "graph": "One graph",
        "attribution": "What writes it",
        "tuned": "Tuned lens",
    },
    computed=False,
)


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    return {"factor": view.setting("factor"), "tuned": view.setting("kind") == "tuned"}


def flags(view: AnalysisView) -> str:
    """Options of the command."""
    return f" --factor {view.setting('factor')}" + (" --tuned" if view.setting("kind") == "tuned" else "")


def shown(view: AnalysisView) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    names = {
        "status": ["by_status"],
        "rank": ["rank"],
        "graph": ["graph"],
        "attribution": [f"attribution_{status}" for status in ("computing", "done", "waiting")],
        "tuned": ["tuned"],
    }
    return {name: f'study.figures()["{name}"]' for name in names[view.setting("show")]}


LENS = Analysis(
    name="lens",
    line=lambda view: command_line("lens", view, flags(view)),
    intro="Every residual state inside a step, read as if the step ended there: through the final layer norm and the "
    "model's own readout. A node is waiting before its step, computing in it, and done after it.",
    study_of=lambda view: study_lens,
    settings=(FACTOR, KIND, SHOW),
    options=options,
    at_once=4000,
    shown=shown,
    missing=lambda result: "Choose the lens plain and tuned to fit a tuned lens.",
)


def lens_page() -> None:
    """Draw the page."""
    analysis_page(LENS)
