"""The lens: where inside a step the answer can be read by the model's own readout, and what writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyses.framework.record import Analysis, OnLoops, Page, Section
from analyses.framework.settings import POSITIONS, ROW, STEPS, Choice, Setting, count
from analyses.inputs import InputError

FACTOR = Setting("factor", "Whose readout: value, variable, operation or syntax.", "value")
SHOWN = {
    "status": ["by_status"],
    "rank": ["rank"],
    "graph": ["graph"],
    "attribution": [f"attribution_{status}" for status in ("computing", "done", "waiting")],
    "tuned": ["tuned"],
}


def check(settings: Mapping[str, Any]) -> None:
    """A number of steps of what is not fitted is a mistake."""
    if settings["kl_steps"] and not settings["tuned"]:
        raise InputError("--kl-steps fits the tuned lens, so it needs --tuned.")


LENS = Analysis(
    name="lens",
    about="Read every residual state of every step through the model's own readout, and attribute its logits.",
    study="analyses.lens:study_lens",
    settings=(
        FACTOR,
        POSITIONS,
        Setting(
            "attribution",
            "Direct logit attribution by head and MLP.",
            True,
            bool,
            revocable=True,
        ),
        Setting("tuned", "Also a tuned lens, judged on a quarter of the graphs.", False, bool),
        count("kl_steps", "With --tuned: Adam steps on the KL divergence.", 0),
        STEPS,
    ),
    passes=("seed",),
    check=check,
    figures=lambda study: study.figures(),
    page=Page(
        title="Lens",
        question="Where inside a step does the answer appear?",
        intro="Every residual state inside a step, read as if the step ended there: through the final layer norm and "
        "the model's own readout. A node is waiting before its step, computing in it, and done after it.",
        choices=(
            Choice(
                "factor",
                "Factor",
                {name: name for name in ("value", "variable", "operation", "syntax")},
                "Whose readout the residual states go through.",
            ),
            Choice(
                "kind",
                "Lens",
                {"plain": "plain", "tuned": "plain and tuned"},
                "Tuned: an affine map per step and layer point, fitted on three quarters of the graphs.",
                gives=lambda kind: {"tuned": kind == "tuned"},
            ),
            Choice(
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
            ),
        ),
        shown=lambda chosen: SHOWN[chosen["show"]],
        missing=lambda result: "Choose the lens plain and tuned to fit a tuned lens.",
    ),
    section=Section(
        "Lens",
        "Every residual state of every step, read through the model's own readout; what writes the answer.",
        {
            "by_status": "interp/lenses/lens_figure.py",
            "rank": "interp/lenses/lens_figure.py",
            "graph": "interp/lenses/lens_figure.py",
            "attribution_computing": "interp/lenses/direct_attribution_figure.py",
        },
    ),
    loop=OnLoops(
        "analyses.loops.observing:study_lens",
        takes=("steps", "factor", "tuned", "kl_steps"),
        passes_seed=True,
        settings=(ROW,),
    ),
)
"""Functions: `analyses.lens`."""
