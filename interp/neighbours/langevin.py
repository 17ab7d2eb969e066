"""Local learning coefficients by stochastic gradient Langevin dynamics.

Lau et al. (2023, arXiv 2308.12108): around a minimum w* of a mean loss L of n samples the coefficient is estimated by

    n beta (E[L(w)] - L(w*)),   w from the density exp(-n beta L(w) - gamma/2 |w - w*|^2), beta = 1 / log n,

which gamma keeps near w*. A chain starts at w* and moves by

    -step/2 (n beta dL/dw + gamma (w - w*)) + sqrt(step) noise,

with the loss of one batch at a time, each batch once in every round (Welling and Teh 2011). Half the number of weights
for a quadratic, less where the loss is degenerate. Weights may be some of a model's (Wang et al. 2024, arXiv
2410.02984, the coefficient of a head); the others stay at w*.

Where the loss is a product of m factors that vanish together (w1^2 w2^2: m = 2) the estimate is too low at any finite
temperature, by (m - 1) / log of it: the log log n term of Watanabe's free energy. How far it is off shows in the energy
itself. With E the mean and V the variance of n beta (L - L(w*)), V is E where m is 1, and for any m

    dE / d log beta = E - V = (coefficient - E)^2 / (m - 1),

so that one chain gives the coefficient as E + sqrt((m - 1) (E - V)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.progress import followed

Floats = NDArray[np.float64]
Loss = Callable[[], Tensor]
"""Of the weights as they are now: a scalar, or float [chain] where the weights have an axis of chains."""


class Part(NamedTuple):
    """Weights that move: a tensor that requires gradients, or one row of it (its first axis)."""

    tensor: Tensor
    row: int | None = None

    def of(self, tensor: Tensor) -> Tensor:
        """The same part of another tensor of that shape, or of this one: a view."""
        return tensor if self.row is None else tensor[self.row]


@dataclass(frozen=True)
class Sampler:
    """How chains move.

    Attributes:
        n_beta: of the density. gamma: how strongly it is kept near w*. step: size.
        draws: that are counted, rounded up to whole rounds of the batches. burn: that are made before.

    Raises:
        ValueError: numbers that are not positive, or nothing that is drawn.
    """

    n_beta: float
    gamma: float
    step: float
    draws: int
    burn: int

    def __post_init__(self) -> None:
        if not min(self.n_beta, self.gamma, self.step) > 0 or self.draws < 1 or self.burn < 0:
            raise ValueError(
                f"n_beta={self.n_beta}, gamma={self.gamma}, step={self.step}, draws={self.draws}, burn={self.burn}; "
                "allowed: the first three above 0, 1 draw or more, burn 0 or more"
            )


def langevin(
    losses: Sequence[Loss], parts: Sequence[Part], sampler: Sampler, generator: torch.Generator
) -> Floats:
    """Losses along a chain, float [draw] or [draw, chain]; the weights are put back in the end.

    losses: of each batch.

    Raises:
        ValueError: no batches or parts.
    """
    if not losses or not parts:
        raise ValueError(f"{len(losses)} batches and {len(parts)} parts; allowed: 1 or more of each")
    tensors = list({id(part.tensor): part.tensor for part in parts}.values())
    before = [tensor.detach().clone() for tensor in tensors]
    moving = [(part, next(n for n, one in enumerate(tensors) if one is part.tensor)) for part in parts]
    rounds = -(-sampler.draws // len(losses))
    found: list[Tensor] = []
    order = _batches(len(losses), generator)
    try:
        for number in followed(range(sampler.burn + rounds * len(losses))):
            loss = losses[next(order)]()
            gradients = torch.autograd.grad(loss.sum(), tensors)
            if number >= sampler.burn:
                found.append(loss.detach())
            for part, place in moving:
                weight = part.of(tensors[place].data)
                pull = sampler.n_beta * part.of(gradients[place])
                pull += sampler.gamma * (weight - part.of(before[place]))
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight += sqrt(sampler.step) * noise.to(weight.device) - sampler.step / 2 * pull
    finally:
        for tensor, values in zip(tensors, before, strict=True):
            tensor.data.copy_(values)
    return torch.stack(found).double().cpu().numpy()


def _batches(count: int, generator: torch.Generator) -> Iterator[int]:
    """Rounds of all batches, each in a random order, without end."""
    while True:
        order: Any = torch.randperm(count, generator=generator)
        yield from order.tolist()


def coefficient(drawn: Floats, least: float, n_beta: float, multiplicity: int = 1) -> float:
    """The coefficient from losses that a chain has drawn, around a loss of `least`.

    multiplicity: of the coefficient; above 1 its logarithm is added, by the variance of the losses. That of batches
    is not that of the loss: with more than one batch only 1 is meant.
    """
    energy = n_beta * (drawn - least)
    mean = float(energy.mean())
    more = max(mean - float(energy.var()), 0.0) * (multiplicity - 1)
    return mean + sqrt(more)
