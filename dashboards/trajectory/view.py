"""What the Trajectory page shows, as one value, and its two ways into and out of the address bar.

Query parameters: `model`; `text`, or `n`, `seed` and `ops` of a sampled graph; `step` (`start`, or the step whose
result is shown); `at` (the position inspected), or `node` (its index in the text); `edit` (`x_7@3=12`: after step 3 the
value of x_7 is overwritten with 12; `17.variable@3=x_9`: the variable at position 17 with x_9); `shown` (`original`,
where an edit is there and the original run is shown).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from dashboards.address import ParamReader
from dashboards.graph_inputs import GraphView
from dashboards.selection import Selection
from interp.causal.overwrite import Overwrite
from interp.figures.scene import symbols_of
from interp.figures.template import state_label
from models.factors import FACTORS
from models.graph import ComputationGraph
from models.trajectory import Trajectory

START = "start"

EDITED, ORIGINAL = "edited", "original"

_EDIT = re.compile(r"(?P<where>[^@=]+)@(?P<step>start|\d{1,6})=(?P<symbol>[^@]+)")
_PLACE = re.compile(rf"(?P<at>\d{{1,6}})\.(?P<factor>{'|'.join(FACTORS)})")


@dataclass(frozen=True)
class Edit:
    """A symbol to be overwritten in the state of an index: the value at a node's right-hand side, or a factor's symbol
    at a position.

    where: the node's own name, or position and factor: `17.variable`. symbol: a variable by the name that the graph
    gives it.
    """

    where: str
    state: int
    symbol: str

    def __str__(self) -> str:
        return f"{self.where}@{state_label(self.state)}={self.symbol}"

    @classmethod
    def of(cls, run: Trajectory, at: int, state: int, factor: str, symbol: int) -> Edit:
        """The edit that puts a symbol id of a factor at a position; values at right-hand sides by the node's name."""
        graph = run.encoded.graphs[0]
        rhs = run.encoded.rhs[0].tolist()
        is_value = factor == "value" and at in rhs
        where = graph.nodes[rhs.index(at)].name if is_value else f"{at}.{factor}"
        return cls(where, state, symbols_of(run, factor)[symbol])

    def node_of(self, run: Trajectory) -> str | None:
        """The node whose value it is about, by name; None of another symbol."""
        return self.where if self.where in [node.name for node in run.encoded.graphs[0].nodes] else None

    def resolved(self, run: Trajectory) -> Overwrite:
        """The same by ids. Raises `ValueError` for a node, position, step or symbol the run does not have."""
        names = [node.name for node in run.encoded.graphs[0].nodes]
        place = _PLACE.fullmatch(self.where)
        if self.where not in names and place is None:
            raise ValueError(f"The graph has no node {self.where!r} to overwrite.")
        if self.state >= len(run.states):
            last = state_label(len(run.states) - 1)
            raise ValueError(
                f"There is no step {state_label(self.state)} to overwrite a value at; the last is {last}."
            )
        if self.where in names or place is None:
            node, at, factor = names.index(self.where), None, "value"
        else:
            at, factor = int(place["at"]), place["factor"]
            rhs = run.encoded.rhs[0].tolist()
            if at > rhs[-1]:
                raise ValueError(f"There is no position {at} to overwrite; this graph has 0 to {rhs[-1]}.")
            node = next(index for index, last in enumerate(rhs) if at <= last)
        symbols = symbols_of(run, factor)
        if self.symbol not in symbols:
            allowed = f"0 to {run.vocabulary.modulus - 1}" if factor == "value" else ", ".join(symbols[:12])
            raise ValueError(f"There is no {factor} {self.symbol}; allowed are {allowed}.")
        return Overwrite(node, self.state, symbols.index(self.symbol), factor, at)


@dataclass(frozen=True)
class View(GraphView):
    """The page's content. `state` and `at` are None for the last ones; `node` is the one that `at` is in."""

    state: int | None = None
    at: int | None = None
    node: int | None = None
    edit: Edit | None = None
    shown: str = EDITED

    def graph_text(self) -> str:
        """The text of the graph: as typed, or of the sampled graph. Raises `GraphError` for impossible sizes."""
        if self.text is not None:
            return self.text
        return ComputationGraph.sample(self.n, ops=self.ops, seed=self.seed).to_text()

    def selected(self) -> Selection:
        """The model, the graph, the step whose result is shown, and the node that is inspected."""
        step = None if self.state is None else self.state - 1
        return replace(super().selected(), step=step, node=self.node)

    def with_selection(self, chosen: Selection) -> Self:
        """The same of what is chosen; another graph has no edit, and begins at its last step."""
        view = super().with_selection(chosen)
        if not view.same_graph(replace(self, model=view.model)):
            view = replace(view, state=None, at=None, node=None, edit=None)
        if chosen.step is not None:
            view = replace(view, state=chosen.step + 1)
        if chosen.node is not None and chosen.node != view.node:
            view = replace(view, node=chosen.node, at=None)
        return view

    def same_graph(self, other: View) -> bool:
        """Whether both show the same run."""
        unlike: dict[str, Any] = {"state": None, "at": None, "node": None, "edit": None, "shown": EDITED}
        return replace(self, **unlike) == replace(other, **unlike)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        params = super().to_params()
        if self.state is not None:
            params["step"] = state_label(self.state)
        if self.at is not None:
            params["at"] = str(self.at)
        if self.edit is not None:
            params["edit"] = str(self.edit)
            if self.shown != EDITED:
                params["shown"] = self.shown
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, str], default: View) -> tuple[View, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out)."""
        reader = ParamReader(params)
        view = replace(
            default.read_from(reader),
            at=reader.number("at", 0, 10**6, None),
            node=reader.number("node", 0, 10**4, None),
        )
        if params.get("step") == START:
            view = replace(view, state=0)
        elif (step := reader.number("step", 0, 10**6, None)) is not None:
            view = replace(view, state=step + 1)
        if "edit" in params:
            match = _EDIT.fullmatch(params["edit"])
            if match is None:
                reader.ignored("edit", "for example x_7@3=12, or 17.variable@3=x_9")
            else:
                state = 0 if match["step"] == START else int(match["step"]) + 1
                view = replace(view, edit=Edit(match["where"], state, match["symbol"]))
        if "shown" in params:
            view = replace(view, shown=reader.choice("shown", (ORIGINAL, EDITED), EDITED))
        return view, reader.problems
