"""How sure one step is, on and off trajectory, and the bound for runs that follows."""

from __future__ import annotations

from analyses.certificate import EDITS
from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import count

REPORTED, SHOWN = 400, 500
"""Edits of the report's section, and of the page."""

CERTIFICATE = Analysis(
    name="certificate",
    about="Ask single steps on and off trajectory, and bound how many runs can differ from the algorithm.",
    study="analyses.certificate:study_certificate",
    settings=(count("edits", "Edits of one code, drawn by step, depth and factor.", EDITS, 1),),
    passes=("seed",),
    frames=lambda study: study.frames(),
    loop="the algorithm of computation graphs",
    page=Page(
        title="Certificate",
        question="How sure is a step?",
        intro="A discrete state is all that enters a step, so what holds for single steps adds up to what holds for "
        "runs. The model takes single steps from the algorithm's own states and from states with one code replaced. "
        "What single steps may miss adds up to a bound for runs; compare with runs of other graphs. The control is a "
        "model that ignores the edit.",
        at_once=400,
        further=("atlas", "interchange"),
        arguments=lambda model, chosen: {"edits": SHOWN},
    ),
    section=Section(
        "Certificate",
        "Single steps on and off trajectory against the algorithm, and the bound for runs that follows.",
        {"certificate": "interp/codebook/certificate_figure.py"},
        needs="states",
        arguments={"edits": REPORTED},
    ),
)
"""Functions: `analyses.certificate`."""
