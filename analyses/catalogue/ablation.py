"""Heads and MLPs taken out, at every step or at one; heads that suffice alone; heads by kind of token."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from analyses.ablation import AblationStudy, components_of
from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import (
    EXACT,
    LOOP_FACTOR,
    LOOP_METRIC,
    LOOP_SITES,
    STEPS,
    SWEEP,
    Setting,
    count,
)
from analyses.inputs import InputError

MOST_DRAWS = 1000
"""Random sets of heads."""


def check(settings: Mapping[str, Any]) -> None:
    """The questions are asked one at a time, and two of them in one process."""
    kept, by_token = settings["keep"] is not None, settings["by_token"]
    if kept and (by_token or settings["components"] is not None):
        raise InputError(
            "--keep, --components and --by-token: --keep stands alone, the other two can go together."
        )
    alone = {setting.name: setting.default for setting in SWEEP}
    if (kept or by_token) and any(settings[name] != default for name, default in alone.items()):
        raise InputError(
            "--keep and --by-token run in one process: leave out --jobs, --backend, --address, --resume."
        )


ABLATION = Analysis(
    name="ablate",
    files="ablation",
    about="Take out heads and MLPs at every step, and at one step at a time, and see what is lost and what heals.",
    study="analyses.ablation:study_heads",
    settings=(
        count("n_graphs", "Sampled graphs, of seed, seed + 1, ...", 1, 1, of_study=False),
        Setting(
            "components",
            "Such as 0.3,mlp1.  [default: every head and every MLP]",
            argument="which",
            parse=components_of,
        ),
        Setting("method", "zero, mean or resample.", "zero"),
        Setting(
            "keep",
            "Keep these heads alone, such as 0.2,1.7, and all MLPs.",
            metavar="HEADS",
            parse=partial(components_of, option="--keep"),
        ),
        Setting("draws", "With --keep: random sets beside it.", 8, int, least=0, most=MOST_DRAWS),
        Setting("by_token", "What heads are for at every kind of token, instead.", False, bool),
        STEPS,
        EXACT,
        *SWEEP,
    ),
    graphs=None,
    passes=("seed", "out"),
    check=check,
    swept=lambda study: isinstance(study, AblationStudy),
    loop=OnLoops(
        "analyses.loops.ablating:study_ablation",
        takes=("steps", "method"),
        settings=(
            LOOP_SITES,
            LOOP_METRIC,
            LOOP_FACTOR,
            Setting(
                "heads", "Of a looped model: every head by itself, and every two of a layer.", False, bool
            ),
        ),
    ),
)
"""Functions: `analyses.ablation`, `analyses.head_sets`."""
