"""A second task, and a loop that solves it: running parity, one position a step, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

UNKNOWN = 2


class ParityTask:
    """Bits [batch, pos]; the answer at a position is the parity of all bits up to it."""

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return torch.randint(2, (n, 6), generator=torch.Generator().manual_seed(seed))

    def tokens(self, inputs: Tensor) -> list[list[str]]:
        return [[str(int(bit)) for bit in row] for row in inputs]

    def labels(self, inputs: Tensor) -> pd.DataFrame:
        row, pos = (
            axis.flatten() for axis in torch.meshgrid(*map(torch.arange, inputs.shape), indexing="ij")
        )
        parity = inputs.cumsum(1) % 2
        columns = {"row": row, "pos": pos, "bit": inputs.flatten(), "parity": parity.flatten()}
        return pd.DataFrame({name: column.numpy() for name, column in columns.items()})

    def oracle_step(self, codes: Mapping[str, Tensor], inputs: Tensor) -> dict[str, Tensor]:
        before = nn.functional.pad(codes["parity"], (1, 0))[:, :-1]
        return {"parity": torch.where(before == UNKNOWN, UNKNOWN, (before + inputs) % 2)}

    def levels(self, inputs: Tensor) -> Tensor:
        return torch.arange(inputs.shape[1]).expand_as(inputs)


class ParityLoop:
    """The state is one-hot of the parities [batch, pos, 3]; a head looks one position back, a table adds the bit."""

    n_heads = 1

    def __init__(self) -> None:
        self.module = nn.ModuleDict(
            {"pattern": nn.Identity(), "looked_up": nn.Identity(), "table": nn.Identity()}
        )
        self.sites = {"pattern": "pattern", "z": "looked_up", "resid_post": "table"}

    def n_steps(self, inputs: Tensor) -> int:
        return inputs.shape[1]

    def begin(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        unknown = torch.full_like(inputs, UNKNOWN)
        return nn.functional.one_hot(unknown, 3).float(), inputs

    def step(self, state: Tensor, step: int, context: Tensor) -> Tensor:
        n = state.shape[1]
        back = torch.eye(n).roll(1, dims=0)
        back[0] = 0
        pattern = self.module["pattern"](back.expand(len(state), 1, n, n))
        before = self.module["looked_up"]((pattern @ state[:, None])[:, 0])
        before = before + torch.eye(3)[0] * (
            before.sum(-1, keepdim=True) == 0
        )  # the first position: parity 0
        even, odd, unknown = before.unbind(-1)
        flipped = torch.stack([odd, even, unknown], dim=-1)
        return self.module["table"](torch.where(context[..., None] == 1, flipped, before))

    def read(self, state: Tensor, context: Tensor) -> dict[str, Tensor]:
        return {"parity": state}

    def tokens(self, inputs: Tensor) -> list[list[str]]:
        return ParityTask().tokens(inputs)

    def take(self, context: Any, rows: Tensor) -> Any:
        return context[rows]
