"""All analyses with a record. One file each; a new one is named here, and has a command, a page and a section.

A record is imported when it is asked for: a command needs its own alone, and `--help` all of them. It names its
function by a text, so that nothing heavy is imported with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analyses.framework.record import Analysis

CATALOGUE: Final = {
    "solve": "solve:SOLVE",
    "compare": "compare:COMPARE",
    "evaluate": "evaluate:EVALUATE",
    "patch": "patching:PATCHING",
    "cross-step": "cross_step:CROSS_STEP",
    "attribution": "attribution:ATTRIBUTION",
    "ablate": "ablation:ABLATION",
    "circuit": "circuit:CIRCUIT",
    "attribution-graph": "attribution_graph:ATTRIBUTION_GRAPH",
    "probe": "probing:PROBING",
    "probe-reading": "probe_reading:PROBE_READING",
    "codes": "codes:CODES",
    "lens": "lens:LENS",
    "dynamics": "dynamics:DYNAMICS",
    "attention": "attention:ATTENTION",
    "failures": "failures:FAILURES",
    "atlas": "atlas:ATLAS",
    "certificate": "certificate:CERTIFICATE",
    "interchange": "interchange:INTERCHANGE",
    "mechanism": "mechanism:MECHANISM",
    "story": "story:STORY",
    "training-dynamics": "training_dynamics:TRAINING_DYNAMICS",
    "benchmark-circuits": "benchmark_circuits:BENCHMARK_CIRCUITS",
    "neurons": "neighbours:NEURONS",
    "modularity": "neighbours:MODULARITY",
    "massive": "neighbours:MASSIVE",
    "subnetwork": "neighbours:SUBNETWORK",
    "degeneracy": "neighbours:DEGENERACY",
    "addition": "neighbours:ADDITION",
    "separation": "neighbours:SEPARATION",
}
"""Name of a command -> file in this folder, and record in it; in the order of `recurlens --help` and, where they have a
page, of the navigation.
"""


def find(name: str) -> Analysis:
    """The record of a command's name."""
    file, record = CATALOGUE[name].split(":")
    return getattr(import_module(f"{__name__}.{file}"), record)


def every_record() -> list[Analysis]:
    """All of them, in order."""
    return [find(name) for name in CATALOGUE]
