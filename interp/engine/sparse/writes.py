"""Edits of single positions, written into activations that hold one row for each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.engine.interventions import Edit

LOCAL = ("q", "z", "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
"""Sites whose change stays at its position until the next layer, in the order of the forward pass."""

KEYS = ("k", "v")
ENTERING = ("resid_pre",)
BEFORE_ATTENTION = (*ENTERING, "q", *KEYS)
AFTER_ATTENTION = LOCAL[1:]
BEHIND_MID = LOCAL[4:]

Write = Callable[[str, Tensor], Tensor]
"""(name of a site, the activation [row, ...]) -> the activation with what is written there."""


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


class LayerWrites:
    """The edits of several items in one layer, each at a position from ``start`` on."""

    def __init__(self, items: Sequence[Sequence[Edit]], layer: int, start: int) -> None:
        self._of: dict[str, list[tuple[int, int, Edit]]] = {}
        for item, edits in enumerate(items):
            for edit in edits:
                if edit.place.layer == layer:
                    given = (item, cast(int, edit.place.pos) - start, edit)
                    self._of.setdefault(edit.place.site.name, []).append(given)

    def mask(self, names: Sequence[str], like: Bool[Tensor, "item later"]) -> Bool[Tensor, "item later"]:
        """Where something is written at sites of these names."""
        mask = torch.zeros_like(like)
        given = [each for name in names for each in self._of.get(name, ())]
        mask[[item for item, _, _ in given], [pos for _, pos, _ in given]] = True
        return mask

    def at(self, rows: Bool[Tensor, "item later"]) -> Write:
        """Writes into activations that have a row for each of these positions; what is written elsewhere must not be
        asked for.
        """
        number = numbers(rows)

        def write(name: str, activation: Tensor) -> Tensor:
            for every in (True, False):
                given = [
                    each for each in self._of.get(name, ()) if (each[2].place.site.head is None) == every
                ]
                if not given:
                    continue
                activation = activation.clone()
                at = number[[item for item, _, _ in given], [pos for _, pos, _ in given]]
                values = torch.stack([edit.value for _, _, edit in given]).to(activation)
                if every:
                    activation[at] = values
                else:
                    activation[at, torch.tensor([edit.place.site.head for _, _, edit in given])] = values
            return activation

        return write


def several_places(edits: Sequence[Edit]) -> bool:
    """Whether all edits are at single positions, and it does not matter in which order they are written: no place is
    inside another, or twice there.
    """
    places = [(edit.place.hook_name, edit.place.site.head, edit.place.pos) for edit in edits]
    alike = {(name, head is None) for name, head, _ in places}
    return (
        all(pos is not None for _, _, pos in places)
        and len(set(places)) == len(places)
        and len(alike) == len({name for name, _ in alike})
    )


def numbers(rows: Bool[Tensor, "item later"]) -> Int[Tensor, "item later"]:
    """Which row stands for a position, if there is one for each of those; -1 elsewhere."""
    return torch.where(rows, rows.flatten().cumsum(0).view_as(rows) - 1, -1)


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
