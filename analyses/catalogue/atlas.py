"""The recovery atlas: every edit of one code of a run, where it leads, and what the algorithm predicts."""

from __future__ import annotations

from analyses.atlas import EDITS
from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import count

REPORTED, SHOWN = 300, 500
"""Edits of the report's section, and of the page."""

ATLAS = Analysis(
    name="atlas",
    about="Edit every code of a run, one at a time, and compare where the run goes with what the algorithm predicts.",
    study="analyses.atlas:study_atlas",
    settings=(
        count("edits", "In all graphs together, at most; a random sample where there are more.", EDITS, 1),
    ),
    graphs=1,
    passes=("seed",),
    frames=lambda study: study.frames(),
    loop="the algorithm of computation graphs",
    page=Page(
        title="Recovery",
        question="What happens to a mistake?",
        intro="One code of the state that enters a step is replaced, and the run goes on from there. Does it return to "
        "the states of the run without the edit, and after how many steps, or where does it end? Compare with the "
        "algorithm, run from the same edited state. A wrong value should be gone after one step, and what was computed "
        "from it in the steps after that; an edit of the text should lead to the solution of the edited graph.",
        graphs=2,
        at_once=16,
        arguments=lambda model, chosen: {"edits": SHOWN},
    ),
    section=Section(
        "Recovery",
        "Every edit of one code of a run, or a sample of them, and where the run goes from there.",
        {"times": "interp/recovery/atlas_figure.py", "map": "interp/recovery/atlas_figure.py"},
        needs="states",
        arguments={"edits": REPORTED},
    ),
)
"""Functions: `analyses.atlas`."""
