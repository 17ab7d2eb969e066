"""All patches of a sweep of any looped model, estimated by one gradient and held against the patches themselves."""

from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import CLEAN, CORRUPT, LOOP_FACTOR, LOOP_METRIC, LOOP_SITES, STEPS, Setting

ATTRIBUTION = Analysis(
    name="attribution",
    about="Estimate all patches of a looped model by one gradient, and hold them against the patches themselves.",
    study="analyses.loops.intervening:study_attribution",
    takes=("seed", "model"),
    settings=(STEPS,),
    graphs=None,
    loop=OnLoops(
        "analyses.loops.intervening:study_attribution",
        settings=(
            CLEAN,
            CORRUPT,
            LOOP_SITES,
            LOOP_METRIC,
            LOOP_FACTOR,
            Setting(
                "edges", "What sites give each other, within a step and across steps, instead.", False, bool
            ),
        ),
        pair=True,
        alone=True,
    ),
)
"""Functions: `analyses.loops.intervening`."""
