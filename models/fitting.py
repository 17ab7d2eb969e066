"""Whether stored weights are those of a configuration: decided by names and shapes, before the model is allocated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Size, Tensor, nn

from models.config import RecurrentConfig

SHOWN = 5
"""Names of weights in a message."""


def misfit(
    build: Callable[[RecurrentConfig], nn.Module], cfg: RecurrentConfig, state: Mapping[str, Tensor]
) -> str:
    """What tells that ``state`` is not the weights of the model that ``build`` makes of ``cfg``; "" where nothing does.

    Layers are counted first; then the model is built without memory (on torch's ``meta`` device).
    """
    layers = {index for name in state if name.startswith("blocks.") and (index := name.split(".")[1])}
    if cfg.n_layers > len(layers):
        first = next(layer for layer in range(cfg.n_layers) if str(layer) not in layers)
        return f"missing blocks.{first}: config.json says n_layers={cfg.n_layers}, the file has {len(layers)}"
    return difference(_shapes(build, cfg), state)


def difference(needed: Mapping[str, Size], state: Mapping[str, Tensor]) -> str:
    """How the names and shapes of ``state`` differ from those ``needed``; "" where they do not."""
    missing, surplus = sorted(needed.keys() - state.keys()), sorted(state.keys() - needed.keys())
    if missing or surplus:
        return f"missing {_listed(missing)}, not expected {_listed(surplus)}"
    for name, shape in needed.items():
        if state[name].shape != shape:
            return (
                f"{name} is {tuple(state[name].shape)}, but config.json (its sizes and vocabulary) asks for "
                f"{tuple(shape)}"
            )
    return ""


def _shapes(build: Callable[[RecurrentConfig], nn.Module], cfg: RecurrentConfig) -> dict[str, Size]:
    """Name -> shape of the weights of the model."""
    without_memory = copy.copy(cfg)
    without_memory.device = "meta"
    with torch.device("meta"):
        return {name: weight.shape for name, weight in build(without_memory).state_dict().items()}


def _listed(names: list[str]) -> str:
    shown = [*map(repr, names[:SHOWN]), *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])]
    return ", ".join(shown) or "none"
