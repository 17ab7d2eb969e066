"""Where the fit of a subspace begins, and how fast it moves.

    random      a random subspace
    probe       the subspace that a linear probe (ridge regression) reads the variable in

From a random subspace gradients must first find the variable. In a model that attends as sharply as `compiled` they do
not: part of every other slot is moved along, a name that is moved halfway sends a head to another node, and the loss
says how wrong that is rather than where the variable stands. A probe's subspace moves little else. Near the end the
cross-entropy of logits that lead by much is 0 before the subspace is the variable's; from a probe the logits are
therefore divided until the model's own answers lead by :data:`LEAD` on average, and steps are small, since Adam's do
not shrink with the gradient. Controls begin in the same way as what they stand beside.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from transformer_lens.tools.analysis.projection_kernel import orthonormal_subspace

RANDOM_START, PROBE_START = "random", "probe"
STARTS: Final = (RANDOM_START, PROBE_START)
RATES: Final = {RANDOM_START: 1e-2, PROBE_START: 3e-4}
"""Adam's learning rates."""
LEAD: Final = 3.0
"""By which own answers lead once logits are divided: a cross-entropy of at least 0.05."""
_RIDGE: Final = 1e-3
"""Of the mean squared norm of the activations."""


def probe_start(activations: Tensor, labels: Tensor, rank: int, seed: int) -> Tensor | None:
    """Orthonormal columns [d_model, rank]: what a probe reads ``labels``, int [row], in; the strongest directions
    where it reads more, random ones beside them where fewer. None where there is but one label.
    """
    classes: Any = cast(Any, labels).unique()
    if len(classes) < 2:
        return None
    rows = activations - activations.mean(0)
    wanted: Any = (labels[:, None] == classes).float()
    square = rows.T @ rows
    damped = square + _RIDGE * square.diagonal().sum() / len(rows) * torch.eye(len(square))
    weights: Tensor = cast(Any, torch).linalg.solve(damped, rows.T @ (wanted - wanted.mean(0)))
    # Reduced-rank regression: the directions by how much of the labels they tell, not by the size of their weights.
    _, _, told = cast(Any, torch).linalg.svd(rows @ weights, full_matrices=False)
    read = orthonormal_subspace(weights @ told[: min(rank, len(classes) - 1)].T).basis
    drawn = torch.randn(len(square), rank, generator=torch.Generator().manual_seed(seed))
    return _completed(torch.cat([read, drawn[:, : rank - read.shape[1]]], 1))[:, :rank]


def turn_onto(one: Tensor, other: Tensor) -> Tensor:
    """An orthogonal matrix [d_model, d_model] that takes ``one`` to ``other``, orthonormal columns [d_model, rank]."""
    return _completed(other) @ _completed(one).T


def softened(logits: Callable[[Tensor], Tensor], rows: Tensor) -> Callable[[Tensor], Tensor]:
    """``logits`` of rows int [batch], divided so that the largest lead by :data:`LEAD` on average over ``rows``."""
    with torch.no_grad():
        best = logits(rows).topk(2, -1).values
    scale = max(float((best[:, 0] - best[:, 1]).mean()) / LEAD, 1.0)
    return lambda chosen: logits(chosen) / scale


class TurnedView(nn.Module):
    """A step of which hook functions see activations [..., d_model] in turned coordinates, ``activation @ turn``."""

    def __init__(self, view: Any, turn: Tensor) -> None:
        super().__init__()
        self.step_view, self.turn = view, turn
        self.train(view.training)

    @contextmanager
    def hooks(self, fwd_hooks: Sequence[tuple[str, Callable[..., Any]]] = ()) -> Generator[TurnedView]:
        """TransformerLens's ``hooks``, forward ones."""
        with self.step_view.hooks(fwd_hooks=[(name, self._turned(hook)) for name, hook in fwd_hooks]):
            yield self

    def _turned(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(activation: Tensor, hook: Any) -> Tensor | None:
            seen = activation @ self.turn
            new = function(seen, hook=hook)
            return None if new is None else activation + (new - seen) @ self.turn.T

        return run


def _completed(basis: Tensor) -> Tensor:
    """Orthonormal columns [d_model, d_model] that begin with those of ``basis``."""
    parts: Any = cast(Any, torch).linalg.qr(basis, mode="complete")
    whole: Tensor = parts[0]
    signs = torch.ones(len(whole))
    signs[: basis.shape[1]] = parts[1].diagonal().sign()
    return whole * signs
