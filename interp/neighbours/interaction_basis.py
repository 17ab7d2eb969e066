"""The interaction basis of one step: which directions of the residual stream the values that are due depend on.

Bushnaq et al. (2024, arXiv 2405.10927 and 2405.10928). At the right-hand sides where a value is due, after a layer: the
activations are whitened by their principal components (those of no variance are left out), so that a direction's length
is one standard deviation; J is the derivative of the value logits (centred) by them at the same position, and the basis
is that of the right singular vectors of all J together, the eigenvectors of mean J^T J. A direction in which
activations do not vary, or on which the logits do not depend, is gone. An eigenvalue is how much the logits move, in
squares, when the direction moves by one standard deviation. What a saturated softmax reads, such as a name that is
looked up, has no derivative and is not in it.

How many directions are needed is asked by putting only the first k back, all others at their means, and counting due
values that are written; beside principal components (the first k by variance) and random directions of the whitened
space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.neighbours.step_set import StepSet
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

Floats = NDArray[np.float64]
_VARIES: Final = 1e-8
"""Share of the largest variance below which a principal component counts as constant."""
HELD: Final = 0.99
BASES: Final = ("interaction", "principal", "random")


@one_line
@dataclass(frozen=True, eq=False)
class InteractionBasis:
    """Directions after one layer.

    Attributes:
        layer: whose residual stream.
        variance: float [component], of principal components that vary, the largest first.
        strength: float [component], eigenvalues of mean J^T J in whitened coordinates, the largest first.
        kept: int [k], how many directions were put back; written: basis (:data:`BASES`) -> float [k], due values that
            are then written.
    """

    layer: int
    variance: Floats
    strength: Floats
    kept: NDArray[np.int64]
    written: dict[str, Floats]

    @property
    def held(self) -> tuple[int, int]:
        """The fewest directions that hold 99 % of the strength, and of the variance."""
        return _fewest(self.strength), _fewest(self.variance)

    def enough(self, basis: str) -> int | None:
        """The fewest directions, of those tried, with which 99 % is written of what is written with all; None where
        more are needed than were tried.
        """
        reached = np.flatnonzero(self.written[basis] >= HELD * self.written[basis][-1])
        return int(self.kept[reached[0]]) if len(reached) else None


def _fewest(values: Floats) -> int:
    reached: NDArray[np.bool_] = np.cumsum(values) >= HELD * values.sum()
    return int(reached.argmax()) + 1


def interaction_basis(
    model: RecurrentTransformer, steps: StepSet, layer: int, seed: int = 0
) -> InteractionBasis:
    """The basis after a layer.

    Raises:
        ValueError: a layer that the model does not have, or activations that do not vary.
    """
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer={layer}; allowed: 0 to {model.cfg.n_layers - 1}")
    resid, jacobian = _collected(model, steps, layer)
    mean = resid.mean(0)
    variance, axes = _components(resid - mean)
    if not len(variance):
        raise ValueError(f"activations after layer {layer} do not vary over {len(resid)} due values")
    whitened = axes * np.sqrt(variance)  # a standard deviation along each component, [d_model, component]
    moved = jacobian.reshape(-1, jacobian.shape[-1]) @ whitened
    strength, rotation = np.linalg.eigh(moved.T @ moved / len(resid))
    order = strength.argsort()[::-1]
    rng = np.random.default_rng(seed)
    directions = {
        "interaction": rotation[:, order],
        "principal": np.eye(len(variance)),
        "random": np.linalg.qr(rng.normal(size=(len(variance), len(variance))))[0],
    }
    kept = np.unique(np.r_[np.geomspace(1, len(variance), 10).astype(int), len(variance)])
    to_white = axes / np.sqrt(variance)

    def written(basis: NDArray[Any], k: int) -> float:
        kept = basis[:, :k]
        onto = torch.tensor(to_white @ kept @ kept.T @ whitened.T, dtype=model.cfg.dtype)
        return _written(model, steps, layer, torch.tensor(mean, dtype=model.cfg.dtype), onto)

    found = {name: np.array([written(basis, int(k)) for k in kept]) for name, basis in directions.items()}
    return InteractionBasis(layer, variance, np.maximum(strength[order], 0), kept, found)


def _components(centred: Floats) -> tuple[Floats, Floats]:
    """Variances, the largest first, and axes [d_model, component], of components that vary."""
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    variance = np.square(singular) / len(centred)
    varying = variance > _VARIES * variance.max(initial=0)
    return variance[varying], rows[varying].T


def _collected(model: RecurrentTransformer, steps: StepSet, layer: int) -> tuple[Floats, Floats]:
    """Residual stream [row, d_model] at due values, and derivatives of centred logits [row, value, d_model]."""
    name, values = f"steps.0.blocks.{layer}.hook_resid_post", model.vocabulary.slice("value")
    resid: list[Tensor] = []
    jacobian: list[Tensor] = []
    held: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: Any) -> Tensor:
        held["resid"] = activation.detach().requires_grad_(True)
        return held["resid"]

    for batch in steps.batches:
        due = batch.due.to(model.device)
        with torch.enable_grad(), model.hooks(fwd_hooks=[(name, keep)]):
            logits = model.transition(batch.state.to(model.device))[..., values]
        stream, of_row = held["resid"], due.cumsum(1)
        derivative = torch.zeros(*stream.shape[:2], logits.shape[-1], stream.shape[-1], device=stream.device)
        # Positions look back at others of their row: of each row one is asked at a time, and of all rows at once.
        for number in range(1, int(of_row.max()) + 1):
            asked = due & (of_row == number)
            for value in range(logits.shape[-1]):
                (gradient,) = torch.autograd.grad(logits[..., value][asked].sum(), stream, retain_graph=True)
                derivative[:, :, value][asked] = gradient[asked]
        chosen = derivative[due].detach()
        resid.append(stream.detach()[due].cpu())
        jacobian.append((chosen - chosen.mean(1, keepdim=True)).cpu())
    return torch.cat(resid).double().numpy(), torch.cat(jacobian).double().numpy()


def _written(model: RecurrentTransformer, steps: StepSet, layer: int, mean: Tensor, onto: Tensor) -> float:
    """Share of due values written with the stream after the layer, where they are due, at its mean but for what
    `onto` [d_model, d_model] lets through.
    """
    due: list[Tensor] = [batch.due.to(model.device) for batch in steps.batches]
    order = iter(due)
    mean, onto = mean.to(model.device), onto.to(model.device)

    def change(activation: Tensor, hook: Any) -> Tensor:
        here, changed = next(order), activation.clone()
        changed[here] = mean + (activation[here] - mean) @ onto
        return changed

    with model.hooks(fwd_hooks=[(f"steps.0.blocks.{layer}.hook_resid_post", change)]):
        return steps.written(model, values_alone=True)
