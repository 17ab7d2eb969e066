"""Activations of one run put into another, at every step, layer, position and head asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from analyses.framework.pairs import any_pair_source
from analyses.framework.record import Analysis, OnLoops
from analyses.framework.settings import EXACT, LOOP_FACTOR, PAIRS, STEPS, SWEEP, Setting
from analyses.inputs import InputError
from analyses.own_metric import OWN, metric_name
from analyses.patching import DIRECTIONS, TOGETHER, Where
from interp.causal.metric_records import METRICS
from models.bounds import index_of
from models.graph_errors import clip

MOST_INDICES = 100_000
"""Steps, layers, heads or positions in one option; there are never so many."""


def known_metric(text: str) -> str:
    """The same text, of a metric that is there, or of a file and function that make one. Raises InputError."""
    metric_name(text)
    return text


def direction(text: str) -> str:
    """The same text. Raises InputError for what is no direction."""
    if text not in DIRECTIONS:
        raise InputError(f"--direction is {text!r}: it must be one of {', '.join(DIRECTIONS)}.")
    return text


def numbers(text: str, flag: str, words: Sequence[str]) -> Any:
    """One of `words`, or "0,2" and "0:4" (the stop left out) as indices."""
    if text in words:
        return text
    found: list[int] = []
    for part in text.split(","):
        start, colon, stop = part.strip().partition(":")
        first, last = index_of(start), index_of(stop if colon else start)
        if first is None or last is None:
            found = []
            break
        indices = range(first, last if colon else last + 1)
        if len(found) + len(indices) > MOST_INDICES:
            raise InputError(f"{flag} is {clip(text)!r}: it has more than {MOST_INDICES} indices.")
        found += indices
    if not found:
        listed = "".join(f"{word}, " for word in words)
        raise InputError(f"{flag} is {clip(text)!r}: give {listed}indices (0,2) or a range (0:4).")
    return tuple(found)


def place(name: str, help: str, *words: str) -> Setting:
    """A setting that is one of some words, or indices."""
    return Setting(name, help, "all", parse=partial(numbers, flag=f"--{name}", words=words), of_study=False)


def where(settings: Mapping[str, Any]) -> dict[str, Where]:
    """The sites of a sweep."""
    names, axes = tuple(settings["sites"]), (settings[name] for name in ("step", "layer", "head", "pos"))
    return {"where": Where(names, *axes)}


PATCHING = Analysis(
    name="patch",
    files="patching",
    about="Patch one run's activations into another, step by step, and measure what comes back.",
    study="analyses.patching:patch",
    settings=(
        Setting("clean", "The clean text; needs --corrupt.", metavar="TEXT", of_study=False),
        Setting("corrupt", "The corrupt text, of the same length.", metavar="TEXT", of_study=False),
        *PAIRS,
        Setting(
            "sites", "Hook points, such as resid_pre,z,mlp_out.", "resid_pre", names=True, of_study=False
        ),
        place("step", "Steps to patch: all, together (in one patch), 0,2 or 0:4.", "all", TOGETHER),
        place("layer", "Layers: all, 0,1 or 0:2.", "all"),
        place("head", "Heads: all, together, 0,2 or 0:4.", "all", TOGETHER),
        place(
            "pos", "Positions: rhs, operands, all, together, 0,2 or 0:4.", "rhs", "operands", "all", TOGETHER
        ),
        Setting("metric", f"One of {', '.join(METRICS)}, or {OWN}.", "logit_diff", parse=known_metric),
        Setting(
            "read",
            "Nodes the metric reads.  [default: those that differ]",
            argument="nodes",
            metavar="NODES",
            names=True,
        ),
        Setting(
            "direction",
            "denoise (clean into corrupt) or noise (corrupt into clean).",
            "denoise",
            parse=direction,
        ),
        STEPS,
        EXACT,
        *SWEEP,
    ),
    graphs=None,
    passes=("out", "quiet"),
    source=any_pair_source,
    arguments=where,
    swept=lambda study: True,
    loop=OnLoops(
        "analyses.loops.intervening:study_patches",
        takes=("steps", "sites", "step", "pos", "metric", "read", "clean", "corrupt"),
        settings=(LOOP_FACTOR,),
        pair=True,
    ),
)
"""Functions: `analyses.patching`. Its page is `dashboards.patching`."""
