"""What the Trajectory page shows, as one value, and its two ways into and out of the address bar.

Query parameters: `model`; `text`, or `n`, `seed` and `ops` of a sampled graph; `step` (`start`, or the step whose
result is shown); `at` (the position inspected); `edit` (`x_7@3=12`: after step 3 the value of x_7 is overwritten
with 12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dashboards.address import ParamReader
from interp.causal.overwrite import Overwrite
from interp.figures.template import state_label
from models.graph import ComputationGraph
from models.trajectory import Trajectory

EXAMPLE = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23"
SIZES = (6, 128)
SEEDS = (0, 2**31 - 1)
START = "start"

_EDIT = re.compile(r"(?P<node>[^@=]+)@(?P<step>start|\d{1,6})=(?P<value>\d{1,6}|EMPTY|N/A)")


@dataclass(frozen=True)
class Edit:
    """A value to be overwritten: the node's own name, the index of the state, the symbol of the value factor."""

    node: str
    state: int
    value: str

    def __str__(self) -> str:
        return f"{self.node}@{state_label(self.state)}={self.value}"

    def resolved(self, run: Trajectory) -> Overwrite:
        """The same by ids. Raises `ValueError` for a node, step or value the run does not have."""
        names = [node.name for node in run.encoded.graphs[0].nodes]
        if self.node not in names:
            raise ValueError(f"The graph has no node {self.node!r} to overwrite.")
        if self.state >= len(run.states):
            last = state_label(len(run.states) - 1)
            raise ValueError(
                f"There is no step {state_label(self.state)} to overwrite a value at; the last is {last}."
            )
        symbols = run.vocabulary.symbols("value")
        if self.value not in symbols:
            raise ValueError(
                f"There is no value {self.value}; allowed are 0 to {run.vocabulary.modulus - 1}."
            )
        return Overwrite(names.index(self.node), self.state, symbols.index(self.value))


@dataclass(frozen=True)
class View:
    """The page's content. `text` is None for a sampled graph; `state` and `at` are None for the last ones."""

    model: str = "compiled"
    text: str | None = None
    n: int = 32
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)
    state: int | None = None
    at: int | None = None
    edit: Edit | None = None

    def graph_text(self) -> str:
        """The text of the graph: as typed, or of the sampled graph. Raises `GraphError` for impossible sizes."""
        if self.text is not None:
            return self.text
        return ComputationGraph.sample(self.n, ops=self.ops, seed=self.seed).to_text()

    def same_graph(self, other: View) -> bool:
        """Whether both show the same run."""
        plain = {"state": None, "at": None, "edit": None}
        return replace(self, **plain) == replace(other, **plain)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        params = {"model": self.model}
        if self.text is not None:
            params["text"] = self.text
        else:
            params |= {"n": str(self.n), "seed": str(self.seed), "ops": ",".join(self.ops)}
        if self.state is not None:
            params["step"] = state_label(self.state)
        if self.at is not None:
            params["at"] = str(self.at)
        if self.edit is not None:
            params["edit"] = str(self.edit)
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, str], default: View) -> tuple[View, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out)."""
        reader = ParamReader(params)
        view = replace(
            default,
            model=params.get("model", default.model),
            text=params.get("text"),
            n=reader.number("n", *SIZES, default.n),
            seed=reader.number("seed", *SEEDS, default.seed),
            ops=reader.ops(default.ops),
            at=reader.number("at", 0, 10**6, None),
        )
        if params.get("step") == START:
            view = replace(view, state=0)
        elif (step := reader.number("step", 0, 10**6, None)) is not None:
            view = replace(view, state=step + 1)
        if "edit" in params:
            match = _EDIT.fullmatch(params["edit"])
            if match is None:
                reader.ignored("edit", "for example x_7@3=12")
            else:
                state = 0 if match["step"] == START else int(match["step"]) + 1
                view = replace(view, edit=Edit(match["node"], state, match["value"]))
        return view, reader.problems
