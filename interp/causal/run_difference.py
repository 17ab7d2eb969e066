"""Where two runs of graphs with the same nodes differ: by state, node and factor.

A node differs in a factor where any position of its equation shows another symbol of it. A run that has settled shows
its last state for ever; of one that has not, nothing is known beyond its end, and nothing is compared there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.factors import FACTORS
from models.one_line import one_line
from models.trajectory import Trajectory

VALUE: Final = FACTORS.index("value")


@one_line
@dataclass(frozen=True, eq=False)
class RunDifference:
    """Two runs of one graph each, node by node.

    Attributes:
        first, second: the runs.
        values: int [run, state, node], value symbols at right-hand sides as far as both runs are known.
        differs: bool [factor, state, node].
    """

    first: Trajectory
    second: Trajectory
    values: Int[Tensor, "run state node"]
    differs: Bool[Tensor, "factor state node"]

    @property
    def first_state(self) -> int | None:
        """The first state that is not the same in both runs: 0 for the text, ``t + 1`` for what step t wrote; None
        where none is.
        """
        where = self.differs.any(2).any(0).nonzero().flatten()
        return int(where[0]) if len(where) else None

    def nodes(self, state: int) -> list[int]:
        """Nodes that are not the same in a state, in text order."""
        return [int(node) for node in self.differs[:, state].any(0).nonzero().flatten()]


def same_nodes(first: Trajectory, second: Trajectory) -> bool:
    """Whether two runs of one graph each are of graphs with the same names and as many operands, node by node."""
    shapes = [
        [(node.name, len(node.operands)) for node in run.encoded.graphs[0].nodes] for run in (first, second)
    ]
    return shapes[0] == shapes[1]


def run_difference(first: Trajectory, second: Trajectory) -> RunDifference:
    """Compare two runs, state by state.

    Raises:
        ValueError: runs of several graphs, or of graphs with other nodes.

    Examples:
        >>> from interp import run_difference
        >>> from models import load
        >>> model = load("compiled")
        >>> runs = [model.run(f"{value} = a; 2 = b; a + b = c") for value in (20, 5)]
        >>> found = run_difference(*runs)
        >>> found.first_state, found.nodes(0), found.nodes(2)
        (0, [0], [0, 2])
    """
    for run in (first, second):
        if len(run.encoded) != 1:
            raise ValueError(f"expected runs of one graph, got one of {len(run.encoded)}")
    if not same_nodes(first, second):
        raise ValueError(
            "the graphs have other nodes; allowed are two with the same names and numbers of operands"
        )
    n_states = max(len(first.states), len(second.states))
    n_states = min([n_states, *(len(run.states) for run in (first, second) if run.fixed_point[0] < 0)])
    rhs = first.encoded.rhs[0]
    n_pos = int(rhs[-1]) + 1
    one, other = (_extended(run, n_states)[:, :n_pos] for run in (first, second))
    other = torch.stack(
        [_translation(second, first, factor)[other[..., place]] for place, factor in enumerate(FACTORS)], -1
    )
    unequal = (one != other).permute(2, 0, 1).float()  # [factor, state, pos]
    owner = torch.nn.functional.one_hot(torch.searchsorted(rhs.contiguous(), torch.arange(n_pos))).float()
    values = torch.stack([one[:, rhs, VALUE], other[:, rhs, VALUE]])
    return RunDifference(first, second, values, unequal @ owner > 0)


def _extended(run: Trajectory, n_states: int) -> Int[Tensor, "state pos factor"]:
    """The states of a run of one graph; beyond its end the last one."""
    return run.states[torch.arange(n_states).clamp_max(len(run.states) - 1), 0]


def _translation(run: Trajectory, into: Trajectory, factor: str) -> Int[Tensor, " symbol"]:
    """For every symbol of a run's factor the id that another run has for it, variables by the graph's own names; -1 for
    one that it does not have.
    """
    own, others = (_symbols(each, factor) for each in (run, into))
    return torch.tensor([others.index(symbol) if symbol in others else -1 for symbol in own])


def _symbols(run: Trajectory, factor: str) -> list[str]:
    symbols = list(run.vocabulary.symbols(factor))
    if factor == "variable":
        for node in run.encoded.graphs[0].nodes:
            symbols[node.variable] = f"node {node.name}"
    return symbols
