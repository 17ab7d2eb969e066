"""Solving graphs by iterating a model, the way its method does."""

from __future__ import annotations

import torch

from models.recurrent import RecurrentTransformer
from models.running import iterate_until_settled
from models.training.objectives.protocol import to_tensor
from models.training.sampling import GraphBatch, Ints
from models.training.transition import empty_values, read_values, write_values

EXTRA_STEPS = 9
"""Steps allowed beyond the depth of the deepest graph."""


@torch.no_grad()
def solve_by_steps(model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
    """Values the model ends with, int64 [batch, node].

    From the all-EMPTY state: `default_steps` steps where the model has them, else until no discrete state
    changes (`models.running.iterate_until_settled`), at most the largest depth + 9 steps.
    """
    vocabulary = model.vocabulary
    state = to_tensor(write_values(graphs, empty_values(graphs, vocabulary)), model.W_E.device)
    fixed = model.cfg.default_steps
    if fixed is None:
        steps = iterate_until_settled(model, state, int(graphs.depths.max()) + EXTRA_STEPS)
    else:
        steps = model.iterate(state, fixed)
    *_, (_, state) = steps
    return read_values(graphs, state.cpu().numpy())
