"""Where every head looks at one step of one graph's run: attention from right-hand sides, on tokens and on the graph.

:mod:`interp.mechanism.attention_roles` sums over nodes and graphs; here nothing is summed. An entry of
:attr:`RhsPattern.pattern` is the attention probability (softmax over positions, rows sum to 1) from a node's
right-hand side to a position of the text. Attention says where a head looks, not whether what stands there has an
effect: that is what patching tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.data.labels import STATUSES, statuses
from interp.engine.walk import may_repeat
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

Floats32 = NDArray[np.float32]


@one_line
@dataclass(frozen=True, eq=False)
class RhsPattern:
    """The attention of one step.

    Attributes:
        graph: the graph. step: of its run.
        tokens: what stands at every position as the step is entered, by the variables' own names.
        shown: value that every node shows as the step is entered.
        rhs: int [node], positions of the right-hand sides.
        pattern: float32 [layer, head, node, pos].
    """

    graph: ComputationGraph
    step: int
    tokens: tuple[str, ...]
    shown: tuple[str, ...]
    rhs: NDArray[np.int64]
    pattern: Floats32

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self.pattern.shape[0]

    @property
    def n_heads(self) -> int:
        """Heads of a layer."""
        return self.pattern.shape[1]

    @property
    def status(self) -> tuple[str, ...]:
        """Of every node, by the symbolic algorithm's schedule: one of :data:`interp.data.labels.STATUSES`."""
        found = statuses(np.array(self.graph.depths_by_node), self.step)
        return tuple(STATUSES[int(index)] for index in found)

    @property
    def between_nodes(self) -> Floats32:
        """Float32 [layer, head, node, other]: attention from a node's right-hand side to another one's."""
        return self.pattern[..., self.rhs]

    def of(self, layer: int, head: int) -> Floats32:
        """[node, pos] of one head.

        Raises:
            ValueError: a layer or head that the model does not have.
        """
        if not (0 <= layer < self.n_layers and 0 <= head < self.n_heads):
            raise ValueError(
                f"layer {layer} and head {head}; allowed: 0..{self.n_layers - 1} and 0..{self.n_heads - 1}"
            )
        return self.pattern[layer, head]

    def to_frame(self, least: float = 0.01) -> pd.DataFrame:
        """Columns ``step, layer, head, node, status, pos, token, attention``; a line for each of at least ``least``."""
        layer, head, node, pos = np.nonzero(self.pattern >= least)
        names, status = [one.name for one in self.graph.nodes], self.status
        columns: dict[str, Any] = {
            "step": np.full(len(layer), self.step),
            "layer": layer,
            "head": head,
            "node": [names[index] for index in node],
            "status": [status[index] for index in node],
            "pos": pos,
            "token": [self.tokens[index] for index in pos],
            "attention": self.pattern[layer, head, node, pos],
        }
        return pd.DataFrame(columns)


@torch.no_grad()
def rhs_pattern(model: RecurrentTransformer, run: Trajectory, step: int, row: int = 0) -> RhsPattern:
    """The attention of all heads from all right-hand sides at one step of a run of ``model``.

    row: which graph of the batch.

    Raises:
        ValueError: a step that was not run, or a graph there is not.

    Examples:
        >>> from interp import rhs_pattern
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = rhs_pattern(model, model.run(graph), step=1)
        >>> found.tokens[found.of(2, 0)[2].argmax()]  # where head 2.0 looks from the right-hand side of c
        'b'
    """
    n_steps = len(run.states) - 1
    if not 0 <= step < n_steps:
        raise ValueError(f"step is {step}; allowed: 0..{n_steps - 1}")
    if not 0 <= row < len(run.encoded.graphs):
        raise ValueError(f"row is {row}; allowed: 0..{len(run.encoded.graphs) - 1}")
    graph = run.encoded.graphs[row]
    encoded = model.to_encoded(graph)
    n_pos, vocabulary = encoded.factors.shape[1], run.vocabulary
    # A step that is a function of the state it is entered with is run alone; else the run up to it.
    alone = may_repeat(model)
    entering = run.states[step, row : row + 1, :n_pos] if alone else encoded.factors
    number = 0 if alone else step
    tokens = vocabulary.pack(entering).to(model.W_E.device)
    _, cache = model.run_with_cache(
        tokens, steps=number, names="hook_pattern", positions=encoded.rhs, n_steps=number + 1
    )
    layers = [cache[f"blocks.{layer}.attn.hook_pattern"][0, 0] for layer in range(model.cfg.n_layers)]
    symbols = vocabulary.symbols("value")
    return RhsPattern(
        graph=graph,
        step=step,
        tokens=tuple(vocabulary.token_strings(run.states[step, row, :n_pos], graph)[0]),
        shown=tuple(symbols[int(code)] for code in run.values[step, row, : len(graph)]),
        rhs=cast("NDArray[np.int64]", encoded.rhs[0].cpu().numpy()),
        pattern=torch.stack(layers).float().cpu().numpy(),
    )
