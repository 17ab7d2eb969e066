"""Solving graphs by iterating a model, the way its method does."""

from __future__ import annotations

import torch

from models.recurrence import until_settled
from models.recurrent import RecurrentTransformer
from models.training.objectives.protocol import to_tensor
from models.training.sampling import GraphBatch, Ints
from models.training.transition import empty_values, read_values, write_values

EXTRA_STEPS = 9
"""Steps allowed beyond the depth of the deepest graph."""


@torch.no_grad()
def solve_by_steps(model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
    """Values the model ends with, int64 [batch, node].

    From the all-EMPTY state: `default_steps` steps where the model has them, else until no discrete state
    changes (`models.recurrence.until_settled`), at most the largest depth + 9 steps.
    """
    vocabulary = model.vocabulary
    state = to_tensor(write_values(graphs, empty_values(graphs, vocabulary)), model.W_E.device)
    fixed = model.cfg.default_steps
    bound = int(graphs.depths.max()) + EXTRA_STEPS if fixed is None else fixed
    steps = model.iterate(state, bound, stop=until_settled(model) if fixed is None else None)
    *_, (_, state) = steps
    return read_values(graphs, state.cpu().numpy())
