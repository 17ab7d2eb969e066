"""Tensors of several steps as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """One tensor of several, of the widest dtype among them."""
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1:
        widest = tensors[0].dtype
        for dtype in dtypes:
            widest = torch.promote_types(widest, dtype)
        tensors = [tensor.to(widest) for tensor in tensors]
    return torch.stack(list(tensors))


def halted_at(stopped: Sequence[Tensor], first: int) -> Tensor:
    """The first state at which ``stopped`` (bool [batch] or [batch, pos], of every state) holds, -1 where none."""
    by_state = torch.stack(list(stopped))
    return torch.where(by_state.any(0), by_state.int().argmax(0) + first, -1)
