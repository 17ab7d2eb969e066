"""A benchmark of methods that score edges, on loops whose edges are known from the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import Choice, Setting, count

MOST_NODES = 128
"""As many as there are names."""
QUICK = ("EAP", "EAP-IG", "attention", "random")
"""Methods that cut no edge, which takes long."""
REPORTED: Mapping[str, Any] = {"methods": QUICK, "seeds": 2, "n_pairs": 1}
"""What the report's section asks."""

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
    page=Page(
        title="Benchmark",
        question="Which methods find a circuit that is known?",
        intro="The weights of compiled models say which edges between heads and MLPs can matter. Methods that score "
        "edges are held against that: by the order of their scores, and by the share of such edges among as many with "
        "the largest. One seed is one draw of pairs of graphs.",
        choices=(
            Choice(
                "methods",
                "Methods",
                {
                    "quick": "gradients, attention, chance",
                    "all": "those and ones that cut edges",
                },
                "Cutting edges one by one takes much longer.",
                gives=lambda value: {"methods": QUICK} if value == "quick" else {},
            ),
            Choice(
                "seeds",
                "Seeds",
                {"1": "1", "5": "5"},
                gives=lambda value: {"seeds": int(value), "n_pairs": 1},
            ),
        ),
        graphs=0,
        model=False,
        further=("circuit", "explain", "interchange"),
    ),
    section=Section(
        "Methods on known circuits",
        "How well the methods that score edges by gradients find the edges of compiled models, which are known from "
        "the weights; beside chance. This is about the methods, not about the model of this report.",
        {"benchmark": "interp/circuits/benchmark_figure.py"},
        needs="states",
        arguments=REPORTED,
    ),
)
"""Functions: `analyses.benchmark_circuits`."""
