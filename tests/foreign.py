"""Looped models of the kinds that `recurlens --model FILE.py:FUNCTION` is given, small and with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FILE = Path(__file__)
IDS = "3 1 4 1 5"


class Mixer:
    """The least that a loop is."""

    n_steps = 4

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.ModuleDict(
            {"embed": nn.Embedding(11, 8), "mix": nn.Linear(8, 8), "out": nn.Linear(8, 11)}
        )

    def begin(self, inputs: Tensor) -> tuple[Tensor, None]:
        return self.module["embed"](inputs), None

    def step(self, state: Tensor, step: int, context: None) -> Tensor:
        return state + torch.tanh(self.module["mix"](state.cumsum(1)))

    def read(self, state: Tensor, context: None) -> dict[str, Tensor]:
        return {"token": self.module["out"](state)}


class Breaks(Mixer):
    """Fails in its second step, as a model with a mistake does."""

    def step(self, state: Tensor, step: int, context: None) -> Tensor:
        return state @ state if step else state


def albert() -> Any:
    from tests.models.adapters.test_adapters import albert

    return albert()


def headless() -> Any:
    return albert().albert


def hrm_text() -> Any:
    from tests.models.adapters.test_adapters import hrm_text

    return hrm_text()


def _quiet() -> None:
    """x-transformers writes its advice to the stream that there was when it was imported."""
    from loguru import logger

    logger.disable("x_transformers")


def looped_decoder() -> Any:
    _quiet()
    from tests.models.adapters.test_adapters import looped_decoder

    return looped_decoder()[0]


def tied_layers() -> Any:
    _quiet()
    from tests.models.adapters.test_adapters import tied_layers

    return tied_layers()[0]


def halting() -> Any:
    from tests.models.adapters.test_adapters import open_mythos

    return open_mythos()[1]


def huginn() -> Any:
    from tests.models.adapters.test_adapters import huginn

    return huginn()[1]


def nothing() -> int:
    return 3
