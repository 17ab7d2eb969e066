"""Edits of single positions, written into activations that hold one row for each item."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp.engine.interventions import Edit

LOCAL = ("q", "z", "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
"""Sites whose change stays at its position until the next layer, in the order of the forward pass."""

KEYS = ("k", "v")
ENTERING = ("resid_pre",)


class Writes:
    """The edits of several items by the name of their sites."""

    def __init__(self, items: Sequence[Sequence[Edit]]) -> None:
        self._of: dict[tuple[str, bool], list[tuple[int, Edit]]] = {}
        for row, edits in enumerate(items):
            for edit in edits:
                site = edit.place.site
                self._of.setdefault((site.name, site.head is None), []).append((row, edit))
        self.names = {name for name, _ in self._of}

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        """The activation [item, ...] with what the items write at the sites of that name."""
        for whole in (True, False):
            given = self._of.get((name, whole))
            if given is None:
                continue
            activation = activation.clone()
            rows = torch.tensor([row for row, _ in given], device=activation.device)
            values = torch.stack([edit.value for _, edit in given]).to(activation)
            if whole:
                activation[rows] = values
            else:
                heads = torch.tensor([edit.place.site.head for _, edit in given], device=activation.device)
                activation[rows, heads] = values
        return activation


def single_place(edits: Sequence[Edit]) -> tuple[int, int] | None:
    """The one (layer, position) that all edits are at, no two at the same site or one inside another; else None."""
    if not edits:
        return None
    first = edits[0].place
    if first.pos is None:
        return None
    if len(edits) > 1:
        sites = {(edit.place.site.name, edit.place.site.head) for edit in edits}
        wholes = {name for name, head in sites if head is None}
        apart = len(sites) == len(edits) and not any(
            name in wholes and head is not None for name, head in sites
        )
        if not apart or any((edit.place.layer, edit.place.pos) != (first.layer, first.pos) for edit in edits):
            return None
    return first.layer, first.pos
