"""One process or several, behind one small interface.

    accelerate launch --multi_gpu --num_processes 2 -m analyses.train --method discrete-corrected

starts two (on CPUs too, whatever the flag is called; with `--cpu` accelerate itself starts a single one).

Under `accelerate launch` (or anything else that sets WORLD_SIZE) every process draws its own batches and
the gradients are averaged in one flattened exchange per step; alone, nothing is exchanged and accelerate is
not imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.training.journal import MissingExtraError


@dataclass
class Workers:
    """This process among `count`; `index` 0 writes files."""

    index: int = 0
    count: int = 1
    accelerator: Any = None

    @classmethod
    def connect(cls, device: str = "cpu") -> Workers:
        """Join the other processes, if there are any.

        Raises:
            MissingExtraError: several processes, but accelerate is not installed.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        try:
            from accelerate import Accelerator  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise MissingExtraError(
                "training with several processes needs accelerate: pip install 'recurlens[train]'"
            ) from error
        accelerator = Accelerator(cpu=device == "cpu")
        return cls(accelerator.process_index, accelerator.num_processes, accelerator)

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.index == 0

    def average(self, gradients: list[Tensor], counts: Tensor) -> Tensor:
        """Average the gradients in place over the processes and return the sum of `counts` (float64 [n]) over them."""
        if self.count == 1:
            return counts
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), counts.to(gradients[0])])
        flat = self.accelerator.reduce(flat, reduction="sum")
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient) / self.count)
            start += gradient.numel()
        return flat[start:].to(counts)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()
