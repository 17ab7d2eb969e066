"""Circuits over steps: which edges between heads and MLPs carry an answer, in every step or in each anew."""

from __future__ import annotations

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import STEPS, Choice, Setting, count

MOST_NODES = 128
"""As many as there are names."""

CIRCUIT = Analysis(
    name="circuit",
    about="Find the circuit of a model over steps, tied and per step, and judge it by faithfulness.",
    study="analyses.circuit:study_circuit",
    settings=(
        Setting(
            "pair_kind",
            "How the corrupt graph is made: leaf-value, operand, operation, leaf-swap.",
            "leaf-value",
        ),
        count("pairs", "Graphs that are used, at most; half of them to judge it.", 4, 1),
        Setting("method", "exact, EAP, EAP-IG, ACDC, attention or random.", "exact"),
        Setting("sharing", "tied (an edge is in or out in all steps) or per-step.", "tied"),
        Setting("ablation", "What stands on cut edges: corrupt, mean or resample.", "corrupt"),
        Setting(
            "least", "Faithfulness that the circuit should have.", 0.95, float, least=0, most=1, above=True
        ),
        Setting(
            "every_pair",
            "Every single pair must have it, those that the circuit is found on too: it then transfers better.",
            False,
            bool,
        ),
        count("draws", "Random circuits of every size.", 5, 1),
        count("resampled", "More pairs, drawn to compare the circuits of single pairs.", 0),
        STEPS,
        Setting(
            "transfer_nodes",
            "Judge it, and the order of its edges, on graphs of so many nodes too.",
            type=int,
            least=2,
            most=MOST_NODES,
        ),
    ),
    graphs=4,
    passes=("seed",),
    frames=lambda study: {"curves": study.curves()},
    page=Page(
        title="Circuit",
        question="Is it the same circuit in every step?",
        intro="Edges lead from what writes to the residual stream to what reads from it. Those outside a circuit are "
        "cut, in all steps or in each anew, and what is left of the answer is its faithfulness.",
        choices=(
            Choice(
                "method",
                "Edges by",
                {
                    "exact": "cutting each",
                    "EAP": "EAP",
                    "EAP-IG": "EAP-IG",
                    "ACDC": "ACDC",
                    "attention": "attention",
                    "random": "chance",
                },
                "How edges are ranked.",
            ),
            Choice(
                "sharing",
                "Circuit",
                {"tied": "tied", "per-step": "per step"},
                "Tied: an edge is in it in all steps or in none.",
            ),
            Choice(
                "ablation",
                "Cut edges carry",
                {"corrupt": "the corrupt run", "mean": "the mean", "resample": "other positions"},
            ),
        ),
        graphs=2,
        at_once=40,
        further=("explain", "interchange", "benchmark-circuits"),
    ),
    section=Section(
        "Circuit",
        "Which edges between heads and MLPs carry an answer, in every step or in each anew.",
        {
            "faithfulness": "interp/circuits/discovery_figure.py",
            "edges": "interp/circuits/discovery_figure.py",
        },
        needs="states",
    ),
)
"""Functions: `analyses.circuit`."""
