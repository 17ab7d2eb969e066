"""Models that share their weights and nothing else, so that several threads can use one model at a time."""

from __future__ import annotations

import copy

from models.recurrent import RecurrentTransformer


def with_own_hooks(model: RecurrentTransformer) -> RecurrentTransformer:
    """A model of the same weights, by reference, with a configuration and hook points of its own.

    What is hooked, cached or switched (``set_use_attn_result``) in one is not seen by the other; a weight that is
    changed in place is changed in both.
    """
    twin = RecurrentTransformer(copy.deepcopy(model.cfg))
    twin.load_state_dict(model.state_dict(), assign=True)
    for own, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        own.requires_grad_(theirs.requires_grad)
    return twin.train(model.training)
