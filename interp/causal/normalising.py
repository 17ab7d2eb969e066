"""The scale of patching: 0 is the corrupt run's metric, 1 the clean run's, in both directions (Zhang & Nanda 2024)."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Direction = Literal["denoise", "noise"]
"""``denoise`` puts the clean run's activations into the corrupt run, ``noise`` the reverse."""

Run = TypeVar("Run")


def base_and_source(clean: Run, corrupt: Run, direction: str) -> tuple[Run, Run]:
    """The run that is patched, and the one that values are taken from.

    Raises:
        ValueError: an unknown direction.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction is {direction!r}; allowed are {', '.join(get_args(Direction))}")
    return (corrupt, clean) if direction == "denoise" else (clean, corrupt)


def normalised(raw: NDArray[np.float64], clean: float, corrupt: float) -> NDArray[np.float64]:
    """``(raw - corrupt) / (clean - corrupt)``; nan where the two are equal."""
    return np.full_like(raw, np.nan) if clean == corrupt else (raw - corrupt) / (clean - corrupt)


def normalised_rows(raw: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    """The same of metrics [..., batch] and ends [batch]."""
    gap = clean - corrupt
    return torch.where(gap == 0, torch.nan, (raw - corrupt) / gap)
