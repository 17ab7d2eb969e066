"""The attribution graph of one run: codes, and the heads and MLPs between them, that made one value."""

from __future__ import annotations

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import Choice, Setting, count

LAST = "last"

ATTRIBUTION_GRAPH = Analysis(
    name="attribution-graph",
    about="Draw what made one node's value: the codes of every state, and the heads and MLPs between them.",
    study="analyses.attribution_graph:study_attribution_graph",
    settings=(
        Setting("node", "Node by name or index.  [default: the last of the deepest]", metavar="NAME"),
        count("draws", "How often every code is replaced.", 4, 1),
        Setting("node_share", "Share of influence that nodes keep.", 0.8, float, least=0, most=1, above=True),
        Setting(
            "edge_share", "Share of influence that edges keep.", 0.98, float, least=0, most=1, above=True
        ),
        count("runs", "Runs whose top path is deleted: further graphs are sampled.", 1, 1),
        count("random_paths", "Random paths that are deleted for control.", 20, 1),
    ),
    graphs=None,
    alone=True,
    passes=("seed",),
    page=Page(
        title="Explain",
        name="explain",
        question="What made this value?",
        intro="The codes that a node's value goes back to, state by state, and the heads and MLPs between them. Edges "
        "between states are measured by replacing codes, edges inside a step by cutting them.",
        choices=(
            Choice(
                "node",
                "Node",
                {LAST: "the last of the deepest", **{str(node): str(node) for node in range(128)}},
                "Whose value is explained.",
                gives=lambda node: {} if node == LAST else {"node": node},
            ),
        ),
        graphs=1,
        at_once=24,
        further=("circuit", "interchange"),
        missing=lambda result: "There is no such node in this graph.",
    ),
    section=Section(
        "Attribution graph",
        "What one node's value goes back to, and whether it is lost without the strongest path.",
        {"attribution_graph": "interp/circuits/attribution_graph_figure.py"},
        needs="states",
    ),
)
"""Functions: `analyses.attribution_graph`."""
