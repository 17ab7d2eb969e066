"""Solving graphs by iterating a model, the way its method does."""

from __future__ import annotations

import torch

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
    changes, at most the largest depth + 9 steps. Padding is kept as padding between steps of a discrete
    model.
    """
    vocabulary = model.vocabulary
    device = model.W_E.device
    state = to_tensor(write_values(graphs, empty_values(graphs, vocabulary)), device)
    mask = to_tensor(graphs.mask, device)
    steps = model.cfg.default_steps or int(graphs.depths.max()) + EXTRA_STEPS
    before = state
    for _, state in model.iterate(before, steps):
        if model.cfg.default_steps is None and torch.equal(state[mask], before[mask]):
            break
        before = state
    return read_values(graphs, state.cpu().numpy())
