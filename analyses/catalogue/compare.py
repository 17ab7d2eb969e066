"""Two runs beside each other: models, graphs and edits, and the first step at which they part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyses.edits import ALLOWED
from analyses.framework.record import Analysis, Chosen, Page, Section
from analyses.framework.settings import STEPS, Choice, Setting
from models.factors import FACTORS

SAME = "same"
_SIDES = ("first", "second")


def _models() -> Mapping[str, str]:
    from models.loading import with_steps

    return {SAME: "the same", **{name: name for name in with_steps()}}


def _typed(name: str) -> Any:
    return lambda text: {name: text} if text else {}


def _whole(name: str) -> Any:
    return lambda text: {name: int(text)} if text else {}


def shown(chosen: Chosen) -> tuple[str, ...]:
    """The figures of a view."""
    return _SIDES if chosen["show"] == "sides" else (chosen["show"],)


COMPARE = Analysis(
    name="compare",
    about="Compare two runs, step by step: models, graphs, or a run with itself after an edit.",
    study="analyses.compare:study_compare",
    settings=(
        Setting("other", "Model of the second run.  [default: the same]", metavar="NAME"),
        Setting("edit", f"An edit of the first run, such as {ALLOWED}.", metavar="EDIT"),
        Setting("other_edit", "An edit of the second run.", metavar="EDIT"),
        Setting("other_graph", "Equations of the second run.  [default: the same]", metavar="TEXT"),
        Setting("other_nodes", "Sample the second graph with so many nodes.", type=int, least=1),
        Setting("other_seed", "Sample the second graph with this seed.", type=int, least=0),
        STEPS,
    ),
    graphs=None,
    alone=True,
    page=Page(
        title="Compare",
        question="Where do two runs part?",
        intro="Two runs of the same graph, or of two graphs: another model, another seed or size, or the same run "
        "after an edit. The difference is exact, for a state is made of symbols.",
        choices=(
            Choice(
                "other",
                "Second model",
                _models,
                "What the first is compared with.",
                gives=lambda name: {} if name == SAME else {"other": name},
            ),
            Choice(
                "edit",
                "Edit of the first run",
                {"": "none"},
                f"For example {ALLOWED}: a value after step 3, a symbol at a position, a head off.",
                gives=_typed("edit"),
                typed=r".{0,200}",
            ),
            Choice(
                "other_edit",
                "Edit of the second run",
                {"": "none"},
                f"For example {ALLOWED}.",
                gives=_typed("other_edit"),
                typed=r".{0,200}",
            ),
            Choice(
                "other_seed",
                "Second seed",
                {"": "the same graph"},
                "Samples a graph for the second run.",
                gives=_whole("other_seed"),
                typed=r"\d{0,9}",
            ),
            Choice(
                "other_nodes",
                "Second size",
                {"": "the same"},
                "Nodes of the graph that is sampled for the second run.",
                gives=_whole("other_nodes"),
                typed=r"\d{0,3}",
            ),
            Choice(
                "other_graph",
                "Second graph",
                {"": "the same graph"},
                "Equations of the second run, in place of a seed: `20 = a; 2 = b; a + b = c`.",
                gives=_typed("other_graph"),
                typed=r"(?s).{0,20000}",
            ),
            Choice(
                "show",
                "Show",
                {
                    **{
                        name: f"{name} differs"
                        for name in ("value", *(each for each in FACTORS if each != "value"))
                    },
                    "sides": "side by side",
                },
                computed=False,
            ),
        ),
        graphs=1,
        at_once=256,
        shown=shown,
        beside=lambda model, chosen: () if chosen["other"] == SAME else (chosen["other"],),
        missing=lambda result: "The graphs have other nodes; they are to be seen side by side.",
    ),
    section=Section(
        "Two runs",
        "A run beside the same run with head 0.0 off in every step: where they part, and whether they end alike.",
        {"value": "interp/causal/run_difference_figure.py"},
        needs="states",
        arguments={"other_edit": "0.0@all=off"},
    ),
    loop="a graph, whose nodes are compared",
)
"""Functions: `analyses.compare`."""
