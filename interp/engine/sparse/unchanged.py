"""Edits that write what stands there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from interp.engine.following import BaseRun, Item
from interp.engine.interventions import at


def unchanged(base: BaseRun, t: int, items: Sequence[Item]) -> list[bool]:
    """Of each item, whether it enters with the base run's state and writes what the base run had, bit for bit.

    Only where the base run's activation is kept, which it is for what comes from another run.
    """
    kept = {
        edit.place.hook_name: base.recording.kept(edit.place.hook_name, t)
        for item in items
        for edit in item.edits
    }
    found = [
        item.entering is None and all(kept[edit.place.hook_name] is not None for edit in item.edits)
        for item in items
    ]
    by_site: dict[tuple[str, int | None], list[tuple[int, int, Tensor]]] = {}
    for index, item in enumerate(items):
        for edit in item.edits if found[index] else ():
            site, pos = edit.place.site, edit.place.pos
            if pos is None or site.factor is not None or site.name in ("pattern", "attn_scores"):
                there = at(cast(Tensor, kept[edit.place.hook_name]), edit.place, base.model.vocabulary)
                found[index] = found[index] and torch.equal(edit.value.to(there), there)
            else:
                by_site.setdefault((edit.place.hook_name, site.head), []).append((index, pos, edit.value))
    for (name, head), given in by_site.items():
        there = cast(Tensor, kept[name])[[pos for _, pos, _ in given]]
        there = there if head is None else there[:, head]
        written = torch.stack([value for _, _, value in given]).to(there)
        same = (written == there).flatten(1).all(-1)
        for (index, _, _), equal in zip(given, cast(list[bool], cast(Any, same).tolist()), strict=True):
            found[index] = found[index] and equal
    return found
