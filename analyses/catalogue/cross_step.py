"""What a site held at one step, put in at another: all pairs of steps, beside what the graph's depths predict."""

from __future__ import annotations

from analyses.framework.pairs import pair_source
from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import CLEAN, CORRUPT, EXACT, LOOP_FACTOR, PAIRS, STEPS, SWEEP, Setting
from models.bounds import index_of

MOST_LAG = 256
"""Twice the depth of the deepest graph of the paper's vocabulary; every step j is run anew for it."""

CROSS_STEP = Analysis(
    name="cross-step",
    about="Put what a site held at step i into step j of another run, for all i and j, and compare with the "
    "prediction.",
    study="analyses.cross_step:study_cross_step",
    settings=(
        *PAIRS,
        Setting("site", "Hook point, such as state, resid_post or z.", "state", argument="name"),
        Setting("layer", "Its layer, where it has one.", type=int),
        Setting("head", "One head.  [default: all]", type=int),
        Setting(
            "pos",
            "all, rhs (all right-hand sides), an index, rhs:NODE, operand:NODE:J.",
            "all",
            parse=lambda text: text if index_of(text) is None else int(text),
        ),
        Setting("metric", "accuracy, logit_diff or prob.", "accuracy"),
        Setting(
            "lag",
            "Read it this many steps later.  [default: at the end]",
            type=int,
            least=0,
            most=MOST_LAG,
        ),
        Setting("carries", "What to predict: entering, output or operand:K (-1: the last)."),
        STEPS,
        EXACT,
        *SWEEP,
    ),
    graphs=None,
    passes=("out",),
    source=pair_source,
    swept=lambda study: True,
    loop=OnLoops(
        "analyses.loops.intervening:study_cross_step",
        takes=("steps", "site", "metric"),
        settings=(CLEAN, CORRUPT, LOOP_FACTOR),
        pair=True,
    ),
)
"""Functions: `analyses.cross_step`."""
