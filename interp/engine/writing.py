"""Hook functions that write edits into a batch of activations, each row its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from interp.engine.interventions import Edit, factor_slice
from interp.engine.sites import BY_DESTINATION
from models.recurrent import RecurrentTransformer
from models.vocabulary import FactoredVocabulary

NamedHook = tuple[str, Callable[..., Any]]


@contextmanager
def attached(model: RecurrentTransformer, step: int, hooks: Sequence[NamedHook]) -> Generator[None]:
    """Hooks at the points of one step, of a model that has no others.

    ``model.hooks`` visits every hook point of every step when it ends, which costs more than a small forward pass.
    """
    model.grow_steps(step + 1)
    points = [model.hook_dict[f"steps.{step}.{name}"] for name, _ in hooks]
    try:
        for point, (_, hook) in zip(points, hooks, strict=True):
            point.add_hook(hook)
        yield
    finally:
        for point in points:
            point.remove_hooks("fwd")


def write_hooks(
    vocabulary: FactoredVocabulary, rows: Sequence[Sequence[Edit]], start: int = 0, end: int | None = None
) -> list[NamedHook]:
    """Hook name within a step -> function that writes the edits of each batch row.

    ``start``, ``end``: the positions that the activations hold, where only part of a step is computed.
    """
    by_name: dict[str, list[tuple[int, Edit]]] = {}
    for row, edits in enumerate(rows):
        for edit in edits:
            by_name.setdefault(edit.place.hook_name, []).append((row, edit))
    return [(name, _writer(vocabulary, edits, start, end)) for name, edits in by_name.items()]


def _writer(
    vocabulary: FactoredVocabulary, edits: list[tuple[int, Edit]], start: int, end: int | None
) -> Callable[..., Tensor]:
    kinds = {(edit.place.site.head is None, edit.place.pos is None) for _, edit in edits}
    places = {(row, edit.place.pos, edit.place.site.head) for row, edit in edits}
    plain = all(
        edit.place.site.name not in BY_DESTINATION and edit.place.site.factor is None for _, edit in edits
    )
    if plain and len(kinds) == 1 and len(places) == len(edits) and not next(iter(kinds))[1]:
        return _at_once(edits, start, next(iter(kinds))[0])

    def write(activation: Tensor, hook: Any) -> Tensor:
        activation = activation.clone()
        for row, edit in edits:
            _write(activation[row], edit, vocabulary, start, end)
        return activation

    return write


def _at_once(edits: list[tuple[int, Edit]], start: int, all_heads: bool) -> Callable[..., Tensor]:
    """One position of each edit, no two alike: a single indexed assignment."""
    rows = torch.tensor([row for row, _ in edits])
    positions = torch.tensor([(edit.place.pos or 0) - start for _, edit in edits])
    heads = torch.tensor([edit.place.site.head or 0 for _, edit in edits])
    values = torch.stack([edit.value for _, edit in edits])

    def write(activation: Tensor, hook: Any) -> Tensor:
        activation = activation.clone()
        given = values.to(activation)
        if all_heads:
            activation[rows, positions] = given
        else:
            activation[rows, positions, heads] = given
        return activation

    return write


def _write(
    activation: Tensor, edit: Edit, vocabulary: FactoredVocabulary, start: int, end: int | None
) -> None:
    """Write one edit into one row's activation (a view) in place."""
    site, pos = edit.place.site, edit.place.pos
    value = edit.value.to(activation)
    if site.name in BY_DESTINATION:
        part = activation if site.head is None else activation[site.head]
        value = value[..., : part.shape[-1]]
        if pos is None:
            part[:] = value[..., start:end, :]
        else:
            part[..., pos - start, :] = value
        return
    if pos is None:
        part, value = activation, value[start:end]
    else:
        part = activation[pos - start]
    if site.head is not None:
        part = part[..., site.head, :]
    part[..., factor_slice(site, vocabulary)] = value
