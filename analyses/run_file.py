"""A run as one file: what every node showed after every step, and the view of the page that saved it.

``recurlens.trajectory.1``, as ``recurlens solve --json``, `Trajectory.to_json` and the Trajectory page write it. The
first has ``model`` besides, the last ``view`` too: the query parameters of the page, with the edit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import torch

from analyses.inputs import InputError
from analyses.json_object import is_address, read_object
from models.graph import ComputationGraph
from models.graph_errors import clip
from models.operations import OPERATIONS
from models.trajectory import Trajectory
from models.vocabulary import FactoredVocabulary

FORMAT: Final = "recurlens.trajectory.1"
_MOST_STATES: Final = 4096


@dataclass(frozen=True)
class RunOfGraph:
    """One graph of a file. values: symbols of every state and node. sure: probabilities of every step and node."""

    graph: ComputationGraph
    values: tuple[tuple[str, ...], ...]
    sure: tuple[tuple[float, ...], ...]

    @cached_property
    def trajectory(self) -> Trajectory:
        """The run as far as a file says: values at the right-hand sides; all else is as it was read."""
        vocabulary = FactoredVocabulary(
            ops=tuple(OPERATIONS), modulus=self.graph.modulus, n_variables=self.graph.n_variables
        )
        encoded = vocabulary.encode(self.graph)
        rhs = encoded.rhs[0]
        symbols = vocabulary.symbols("value")
        codes = torch.tensor([[symbols.index(value) for value in line] for line in self.values])
        states = encoded.factors.expand(len(codes), *encoded.factors.shape).clone()
        states[:, 0, rhs, 3] = codes
        confidence = torch.ones(len(codes) - 1, *encoded.factors.shape)
        confidence[:, 0, rhs, 3] = torch.tensor(self.sure).reshape(-1, len(rhs))
        changed = (codes[1:] != codes[:-1]).any(1)
        last = int(changed.nonzero().max()) if bool(changed.any()) else 0
        settled = last < len(changed) - 1 if len(changed) else False
        return Trajectory(
            states=states,
            confidence=confidence,
            encoded=encoded,
            vocabulary=vocabulary,
            fixed_point=torch.tensor([last if settled else -1]),
            cycle=torch.tensor([int(settled)]),
            hit_bound=torch.tensor([False]),
            bound=len(changed),
        )


@dataclass(frozen=True)
class SavedRun:
    """What a file holds. model: its name, where the file has it. view: query parameters, where the page saved it."""

    graphs: tuple[RunOfGraph, ...]
    model: str | None = None
    view: Mapping[str, str] | None = None

    @classmethod
    def from_json(cls, text: str) -> SavedRun:
        """The run of a file. Raises InputError for what is no such file."""
        data = read_object(text)
        if data.get("format") != FORMAT:
            raise InputError(f"format is {clip(repr(data.get('format')))}; {FORMAT!r} is expected.")
        model, view, given = data.get("model"), data.get("view"), data.get("graphs")
        if not isinstance(given, list) or not given:
            raise InputError("`graphs` has to be a list of at least one graph.")
        graphs = [_graph_of(one, number) for number, one in enumerate(cast("list[Any]", given))]
        return cls(
            tuple(graphs),
            model if isinstance(model, str) else None,
            cast("dict[str, str]", view) if is_address(view) else None,
        )


def run_json(run: Trajectory, model: str, view: Mapping[str, str]) -> str:
    """A run as the text of a file that opens again."""
    return json.dumps({"model": model, "view": dict(view)} | run.to_dict(), indent=2) + "\n"


def _graph_of(given: Any, number: int) -> RunOfGraph:
    """One entry of ``graphs``. Raises InputError."""
    where = f"graph {number}: "
    try:
        graph = ComputationGraph.parse(given["text"])
        nodes = list(given["nodes"])
        names = [node["name"] for node in nodes]
        values = [[str(value) for value in node["values"]] for node in nodes]
        sure = [[float(share) for share in node["confidence"]] for node in nodes]
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(f"{where}{reason}.") from error
    if names != [node.name for node in graph.nodes]:
        raise InputError(f"{where}the nodes are not those of its text.")
    n_states = len(values[0])
    if not 1 <= n_states <= _MOST_STATES:
        raise InputError(f"{where}it has {n_states} states; 1 to {_MOST_STATES} are allowed.")
    if {len(line) for line in values} != {n_states} or {len(line) for line in sure} != {n_states - 1}:
        raise InputError(f"{where}every node needs a value for each state and a probability for each step.")
    allowed = {*map(str, range(graph.modulus)), "EMPTY", "N/A"}
    if strange := sorted({value for line in values for value in line} - allowed):
        raise InputError(
            f"{where}{clip(repr(strange[0]))} is no value; a number below {graph.modulus} is, or EMPTY."
        )
    return RunOfGraph(graph, tuple(zip(*values, strict=True)), tuple(zip(*sure, strict=True)))
