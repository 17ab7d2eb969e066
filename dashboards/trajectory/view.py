"""What the Trajectory page shows, as one value, and its two ways into and out of the address bar.

Query parameters: `model`; `text`, or `n`, `seed` and `ops` of a sampled graph; `step` (`start`, or the step whose
result is shown); `at` (the position inspected), or `node` (its index in the text); `edit` (`x_7@3=12`: after step 3 the
value of x_7 is overwritten with 12; `17.variable@3=x_9`: the variable at position 17 with x_9; `2.0@3=off`: head 0 of
layer 2 is off in step 3, with `all` in every step); `shown` (`original`, where an edit is there and the original run is
shown).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from analyses.edits import ALLOWED, AnyEdit, Edit, HeadEdit, parse_edit
from analyses.inputs import InputError
from dashboards.address import ParamReader
from dashboards.graph_view import GraphView
from dashboards.selection import Selection
from interp.figures.template import state_label
from models.graph import ComputationGraph

__all__ = ["EDITED", "ORIGINAL", "AnyEdit", "Edit", "HeadEdit", "View"]

START = "start"

EDITED, ORIGINAL = "edited", "original"


@dataclass(frozen=True)
class View(GraphView):
    """The page's content. `state` and `at` are None for the last ones; `node` is the one that `at` is in."""

    state: int | None = None
    at: int | None = None
    node: int | None = None
    edit: AnyEdit | None = None
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
            try:
                view = replace(view, edit=parse_edit(params["edit"]))
            except InputError:
                reader.ignored("edit", f"for example {ALLOWED}")
        if "shown" in params:
            view = replace(view, shown=reader.choice("shown", (ORIGINAL, EDITED), EDITED))
        return view, reader.problems
