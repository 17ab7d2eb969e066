"""The fixed-point test: a solved state, given to the model, must stay (what a hierarchical reasoning model was found to
leave: arXiv 2601.10679).

The state with every true value at its right-hand side is a fixed point of the algorithm. It is made from the text, not
by the model: symbols enter a discrete model, and of a model without a bottleneck their embedding enters step 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs

STEPS = 8
"""For how long a solved state is followed, unless said otherwise."""


@one_line
@dataclass(frozen=True, eq=False)
class Staying:
    """How long solved states stay.

    Attributes:
        nodes: int [graph], size of the graph.
        left: int [graph], the first step whose state differs from the solved one in any token; -1 where none does.
        values_left: the same of right-hand sides' values alone.
        n_steps: how many steps were run.
    """

    nodes: NDArray[np.int64]
    left: NDArray[np.int64]
    values_left: NDArray[np.int64]
    n_steps: int

    @property
    def stayed(self) -> Share:
        """Graphs whose solved state stays as it is in every step."""
        return Share.of(self.left < 0)

    @property
    def values_stayed(self) -> Share:
        """Graphs all of whose values stay right in every step."""
        return Share.of(self.values_left < 0)

    def to_frame(self) -> pd.DataFrame:
        """Columns ``graph, nodes, left, values_left``."""
        columns = {"nodes": self.nodes, "left": self.left, "values_left": self.values_left}
        return pd.DataFrame({"graph": np.arange(len(self.nodes))} | columns)


def solved_state(encoded: EncodedGraphs) -> Tensor:
    """Int [batch, pos, factor]: the text with every true value at its right-hand side."""
    state = encoded.factors.clone()
    batch, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
    state[batch, encoded.rhs[batch, node], 3] = encoded.values[batch, node]
    return state


def staying(model: RecurrentTransformer, graphs: Sequence[ComputationGraph], n_steps: int = STEPS) -> Staying:
    """Give every graph's solved state to the model, and see whether it stays for ``n_steps`` steps.

    Raises:
        ValueError: fewer than one step, a model that writes text.

    Examples:
        >>> from interp import staying
        >>> from models import ComputationGraph, load
        >>> graphs = [ComputationGraph.sample(8, seed=seed) for seed in range(3)]
        >>> staying(load("compiled"), graphs).stayed.value
        1.0
    """
    if n_steps < 1:
        raise ValueError(f"n_steps is {n_steps}; allowed is 1 or more")
    encoded = model.to_encoded(list(graphs))
    solved = solved_state(encoded)
    hidden = None
    if model.cfg.bottleneck == "continuous":
        with torch.no_grad():
            hidden = model.embed_state(solved.to(model.W_E.device))
    run = model.run(encoded, n_steps, initial_state=solved, initial_hidden=hidden)
    differs = (run.states[1:] != solved).any(-1) & encoded.mask
    wrong = ~run.right[1:] & (encoded.rhs >= 0)
    return Staying(
        np.array([len(graph) for graph in encoded.graphs]),
        _first(differs.any(-1)),
        _first(wrong.any(-1)),
        n_steps,
    )


def _first(flags: Tensor) -> NDArray[np.int64]:
    """Of bool [step, graph] the first step that is true, -1 where none is."""
    return torch.where(flags.any(0), flags.int().argmax(0), -1).numpy()
