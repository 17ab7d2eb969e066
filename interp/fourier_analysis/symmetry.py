"""Gradient symmetricity, distance irrelevance and circularity: Clock or Pizza? (Zhong et al. 2023, arXiv 2306.17844,
section 4 and, for circularity, appendix.)

Q[x, ..., c] is the logit of answer c, E_x the embedding an operand's value stands with (what enters the step at the
right-hand side of the operand's leaf).

    gradient symmetricity  (definition 4.1)  mean over random (a, b, c) of the cosine of dQ_abc / dE_a and dQ_abc /
                           dE_b, c drawn independently of the sum. 1: the operands enter as their average only
                           (Pizza); lower: they enter differently (Clock). With three operands the mean over pairs.
    distance irrelevance   (definition 4.2)  of the correct logits L[a, b] = Q[a, b, a + b]: the mean over d of the
                           standard deviation of L[a, a + d] over a, divided by that of all L. 0: L depends on the
                           distance b - a alone (Pizza); 1: not on it (Clock). With more operands d is the tuple of
                           distances to the first; subtracted operands are negated first, of MUL the logarithms count.
    circularity            of the m values' embeddings, in the order of the characters: with v_i[x] the i-th principal
                           component, the mean over the first four of
                           max_k 2 |sum_x v_i[x] e^(2 pi i k x / m)|^2 / (m sum_x v_i[x]^2), k = 1 .. m // 2 (without
                           the 2 where k = m / 2): the largest share of a component's energy that one frequency has.
                           1: each is a wave, the values lie on circles, as both Clock and Pizza have them.

None is 0 at chance: a model that attends evenly treats operands alike before any training, so an untrained one has a
symmetricity near 1, and an irrelevance near that of unrelated numbers; of these the best of K = m // 2 frequencies
holds (1 + 1/2 + ... + 1/K) / K on average (.27 for m = 23). Only the difference to the control means something, and the
first two do not say that there are frequencies at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.fourier_analysis.characters import Characters
from interp.fourier_analysis.operand_tuples import OperandGrid, collect_grid, operand_grid
from models.one_line import one_line
from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True)
class Symmetry:
    """The three measures, of a model and of its untrained control.

    Attributes:
        gradient_symmetricity: -1 to 1; nan where all gradients are zero. gradient_sd: over samples.
        n_samples: samples with gradients that are not zero.
        distance_irrelevance: 0 to 1; nan where all correct logits are equal.
        circularity: 0 to 1; nan where all values have one embedding.
        control: the untrained model's, or None.
    """

    gradient_symmetricity: float
    gradient_sd: float
    n_samples: int
    distance_irrelevance: float
    circularity: float
    control: Symmetry | None = None


def measure_symmetry(
    model: RecurrentTransformer,
    ops: str | Sequence[str] = "ADD",
    n_operands: int | None = None,
    n_samples: int = 200,
    step: int = 0,
    control: bool = True,
    seed: int = 0,
    tokens: int = 8192,
) -> Symmetry:
    """All measures: of the embeddings, and of one equation's right-hand side with ``n_samples`` random samples for the
    gradients.

    Raises:
        ValueError: no samples, or as :func:`interp.fourier_analysis.operand_tuples.operand_grid`.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples is {n_samples}; allowed: 1 or more")
    grid = operand_grid(model, ops, n_operands, seed=seed)
    cosines = gradient_cosines(_sampled_gradients(model, grid, n_samples, step, seed))
    logits = collect_grid(model, grid, ["hook_logits"], step, tokens)["hook_logits"]
    correct = np.take_along_axis(logits, grid.truth[..., None], -1)[..., 0]
    other = None
    if control:
        other = measure_symmetry(
            model.untrained(seed + 1), ops, n_operands, n_samples, step, False, seed, tokens
        )
    return Symmetry(
        gradient_symmetricity=float(cosines.mean()) if cosines.size else float("nan"),
        gradient_sd=float(cosines.std()) if cosines.size else float("nan"),
        n_samples=cosines.size,
        distance_irrelevance=distance_irrelevance(correct, grid.characters),
        circularity=circularity(value_embeddings(model, grid.characters)),
        control=other,
    )


def gradient_cosines(gradients: Tensor) -> NDArray[np.float64]:
    """Float [sample]: the mean cosine between the gradients [sample, operand, d] of all pairs of operands; samples in
    which some operand's gradient is zero are left out.
    """
    given: NDArray[np.float64] = gradients.double().numpy()
    lengths = np.linalg.norm(given, axis=-1)
    kept = (lengths > 0).all(1)
    units = given[kept] / lengths[kept][..., None]
    pairs = list(combinations(range(given.shape[1]), 2))
    return np.stack([(units[:, i] * units[:, j]).sum(-1) for i, j in pairs]).mean(0)


def gradients_of(function: Callable[[Tensor], Tensor], embeddings: Tensor) -> Tensor:
    """Gradients [sample, operand, d] of ``function(embeddings)`` [sample] with respect to embeddings [sample, operand,
    d], each sample's of its own output.
    """
    leaf = embeddings.detach().clone().requires_grad_()
    (gradients,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return gradients


def distance_irrelevance(correct: NDArray[np.floating[Any]], characters: Characters) -> float:
    """Definition 4.2 for correct logits [axis 1, ..., axis n]; nan where they are all equal."""
    m, n = characters.order, characters.n_operands
    signed = np.asarray(correct, dtype=np.float64)
    for axis, sign in enumerate(characters.signs):
        if sign < 0:
            signed = np.take(signed, -np.arange(m) % m, axis)
    spread = float(signed.std())
    if spread <= 1e-6 * float(np.abs(signed).max()):
        return float("nan")
    start, *distances = np.indices((m,) * n).reshape(n, -1)
    by_distance = signed[(start, *((start + d) % m for d in distances))].reshape((m,) * n)
    return float(by_distance.std(0).mean() / spread)


def circularity(embeddings: NDArray[np.floating[Any]], n_components: int = 4) -> float:
    """The mean, over the first ``n_components`` principal components, of the largest share of one frequency.

    embeddings: float [value, d], in the order in which frequency 1 turns once round the circle. A component without
    variance, such as the third of a single circle, is left out; nan where there is none with any.

    Raises:
        ValueError: fewer than three values, which lie on every circle; fewer than one component.
    """
    m = len(embeddings)
    if m < 3 or n_components < 1:
        raise ValueError(
            f"{m} values and {n_components} components; allowed: at least 3 values and 1 component"
        )
    given = np.asarray(embeddings, dtype=np.float64)
    waves, sizes, _ = np.linalg.svd(given - given.mean(0), full_matrices=False)
    kept = sizes[:n_components] > 1e-9 * max(float(np.abs(given).max()), np.finfo(np.float64).tiny)
    if not kept.any():
        return float("nan")
    energy = np.abs(np.fft.rfft(waves[:, :n_components][:, kept], axis=0)[1:]) ** 2 / m
    # k and -k are one frequency; where they are the same k (m even, the last), it counts once.
    energy[: (m - 1) // 2] *= 2
    return float(energy.max(0).mean())


def value_embeddings(model: RecurrentTransformer, characters: Characters) -> NDArray[np.float64]:
    """Float [value, d_model]: rows of ``W_E``, in the order of the characters."""
    rows = model.W_E[model.vocabulary.slice("value")].detach().cpu().double().numpy()
    return rows[list(characters.values)]


def _sampled_gradients(
    model: RecurrentTransformer, grid: OperandGrid, n_samples: int, step: int, seed: int
) -> Tensor:
    """Float [sample, operand, d_model] of a random answer's logit."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(grid), size=n_samples)
    answers = torch.tensor(rng.integers(grid.characters.modulus, size=n_samples))
    operands = grid.shown[:, 1]
    entered: list[Tensor] = []

    def enter(activation: Tensor, hook: Any) -> Tensor:
        entered.append(activation.detach().requires_grad_())
        return entered[-1]

    device = model.W_E.device
    with torch.enable_grad(), model.hooks(fwd_hooks=[(f"steps.{step}.hook_embed", enter)]):
        logits = model.transition(grid.states(rows).to(device), step)[:, grid.rhs]
    of_values = logits[:, model.vocabulary.slice("value")]
    chosen = of_values[torch.arange(n_samples), answers.to(device)].sum()
    (gradients,) = torch.autograd.grad(chosen, entered[0])
    return gradients[:, operands].cpu()
