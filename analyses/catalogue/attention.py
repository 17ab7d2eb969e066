"""Where the heads of any looped model look, step by step."""

from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import ROW, STEPS, Setting
from models.bounds import MOST_STEPS

ATTENTION = Analysis(
    name="attention",
    about="Show where every head of a looped model looks at every step, and how that changes.",
    study="analyses.loops.observing:study_attention",
    takes=("seed", "model"),
    settings=(
        STEPS,
        Setting("step", "Whose patterns are drawn.  [default: the last]", type=int, least=0, most=MOST_STEPS),
    ),
    graphs=None,
    loop=OnLoops(
        "analyses.loops.observing:study_attention",
        takes=("steps", "step"),
        settings=(ROW,),
        samples=1,
        alone=True,
    ),
)
"""Functions: `analyses.loops.observing`. Its page is `dashboards.attention`."""
