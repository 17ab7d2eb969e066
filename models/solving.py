"""Solving graphs the way a model was trained to, whatever its method.

Five of the six methods iterate (:meth:`models.RecurrentTransformer.run`): ``discrete``, ``discrete-corrected`` and
``continuous`` until nothing changes, ``recurrent`` and ``feedforward`` for the number of steps the method fixes. A
``chain-of-thought`` model writes the solution as text after the question (Altabaa et al. 2025); here one step is one
equation together with its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from models.config import RecurrentConfig
from models.graph import ComputationGraph
from models.network import Network
from models.trajectory import Trajectory

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

KEPT_STEPS = 1000
"""A run that is asked for more steps than this is not continued, once nothing changes in any graph."""


def fixed_steps(cfg: RecurrentConfig) -> int | None:
    """The number of steps that the method of a model fixes; None where it depends on the graph."""
    return None if cfg.writes_text else cfg.default_steps


def solve(model: Network, graphs: Sequence[ComputationGraph], n_steps: int | None = None) -> Trajectory:
    """The run of ``model`` on ``graphs``; ``n_steps`` steps, or with None as many as its method takes.

    Of more than :data:`KEPT_STEPS` steps those that change nothing, because every discrete state is at its fixed point
    (of ``chain-of-thought``: all is written), are left out: they are known, and the run has as many steps as that.

    For ``chain-of-thought`` the values of the first t nodes in text order stand in ``states[t]``, as greedy decoding
    writes them, up to its first mistake: a wrong value is shown, what would follow it is not, and of an equation
    copied wrongly nothing is.

    Raises:
        GraphError: a graph outside the vocabulary. ValueError: negative ``n_steps``, or more than memory holds.
    """
    if not model.cfg.writes_text:
        if n_steps is not None and n_steps > KEPT_STEPS and model.cfg.bottleneck == "discrete":
            beginning = model.run(graphs, n_steps=KEPT_STEPS)
            if bool((beginning.cycle == 1).all()):
                return beginning
        return model.run(graphs, n_steps=n_steps)
    if n_steps is not None and n_steps < 0:
        raise ValueError(f"n_steps must be 0 or more, got {n_steps}")
    from models.training.objectives.chain_of_thought import write_out
    from models.training.sampling import batch_of

    encoded = model.to_encoded(graphs)
    written_out = write_out(cast("RecurrentTransformer", model), batch_of(encoded.graphs, model.vocabulary))
    values, probabilities = (torch.as_tensor(array) for array in written_out)
    n_nodes = encoded.rhs.shape[1]
    bound = n_nodes if n_steps is None else min(n_steps, max(n_nodes, KEPT_STEPS))
    states = encoded.factors.repeat(bound + 1, 1, 1, 1)
    confidence = torch.ones(bound, *encoded.factors.shape)
    written = values >= 0
    for node in range(min(bound, encoded.rhs.shape[1])):
        (rows,) = written[:, node].nonzero(as_tuple=True)
        places = encoded.rhs[rows, node]
        states[node + 1 :, rows, places, 3] = values[rows, node]
        confidence[node:, rows, places, 3] = probabilities[rows, node]
    finished = written.sum(-1) <= bound
    return Trajectory(
        states=states,
        confidence=confidence,
        encoded=encoded,
        vocabulary=model.vocabulary,
        fixed_point=torch.where(finished, (written.sum(-1) - 1).clamp_min(0), -1),
        cycle=finished.long(),
        hit_bound=~finished,
        bound=bound,
    )
