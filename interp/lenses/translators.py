"""Translators of a tuned lens: which rows they are fitted on, by least squares, and on by the KL divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import torch
from torch import Tensor

from interp.lenses.readout import kl_divergence, to_tensor

LEARNING_RATE: Final = 1e-3


def check_fit(held_out: float, ridge: float, kl_steps: int, what: str) -> None:
    """Raises ValueError for a share outside (0, 1), a negative penalty or number of steps; ``what`` is split."""
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}; allowed is a share of the {what}s, above 0 and below 1")
    if ridge < 0 or kl_steps < 0:
        raise ValueError(f"ridge is {ridge} and kl_steps {kl_steps}; allowed are 0 or more")


def split_of(n: int, held_out: float, seed: int, what: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices to be fitted on, and those to read, ascending; raises ValueError for fewer than two."""
    if n < 2:
        raise ValueError(
            f"there is {n} {what}; a tuned lens needs at least 2: some to be fitted on, others to read"
        )
    from sklearn.model_selection import train_test_split  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    count = min(max(1, round(held_out * n)), n - 1)
    parts: Any = cast(Any, train_test_split)(range(n), test_size=count, random_state=seed)
    first, second = (tuple(sorted(int(index) for index in part)) for part in parts)
    return first, second


def least_squares(hidden: Tensor, last: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """``A`` and ``b`` of ``last = hidden + A hidden + b``, rows float [row, d]."""
    from sklearn.linear_model import Ridge  # pyright: ignore[reportMissingTypeStubs]

    fitted = cast(Any, Ridge(alpha=ridge)).fit(hidden.numpy(), (last - hidden).numpy())
    return to_tensor(fitted.coef_), to_tensor(fitted.intercept_)


def fit_translator(
    read: Callable[[Tensor], Tensor], hidden: Tensor, last: Tensor, ridge: float, kl_steps: int
) -> tuple[Tensor, Tensor]:
    """``A`` and ``b`` by least squares, and ``kl_steps`` steps of :func:`lower_kl` on from there."""
    fitted = least_squares(hidden, last, ridge)
    return lower_kl(read, fitted, hidden, last, kl_steps) if kl_steps else fitted


def translated(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``hidden + A hidden + b``, rows float [row, d]."""
    return hidden + hidden @ weight.T + bias


def lower_kl(
    read: Callable[[Tensor], Tensor],
    start: tuple[Tensor, Tensor],
    hidden: Tensor,
    last: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """``A`` and ``b`` after so many steps of Adam from ``start``; ``read``: float [row, d] -> logits [row, symbol]."""
    weight, bias = (part.clone().requires_grad_() for part in start)
    with torch.no_grad():
        target = read(last)
    optimiser = cast(Any, torch.optim.Adam([weight, bias], lr=LEARNING_RATE))
    with torch.enable_grad():
        for _ in range(steps):
            loss = kl_divergence(target, read(translated(hidden, weight, bias))).mean()
            weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
            optimiser.step()
    return weight.detach(), bias.detach()
