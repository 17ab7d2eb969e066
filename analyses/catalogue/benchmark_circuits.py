"""A benchmark of methods that score edges, on loops whose edges are known from the weights."""

from __future__ import annotations

from analyses.framework.record import Analysis
from analyses.framework.settings import Setting, count

MOST_NODES = 128
"""As many as there are names."""

BENCHMARK_CIRCUITS = Analysis(
    name="benchmark-circuits",
    about="Hold methods that score edges against compiled models, whose edges are known.",
    study="analyses.benchmark_circuits:study_benchmark",
    settings=(
        Setting("methods", "Such as exact,EAP-IG.  [default: all]", metavar="NAME,...", names=True),
        Setting("models", "compiled, compiled-spare.  [default: all]", metavar="NAME,...", names=True),
        count("seeds", "Seeds, from 0 on, each with pairs of its own.", 5, 1),
        count("n_pairs", "Pairs of a seed.", 3, 1),
        Setting("nodes", "Nodes of their graphs.", 8, int, least=2, most=MOST_NODES),
    ),
    graphs=None,
    takes=(),
    source=lambda context, settings: ("", []),
    frames=lambda study: {"summary": study.result.summary()},
)
"""Functions: `analyses.benchmark_circuits`."""
