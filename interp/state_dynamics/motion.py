"""Measures of how a state moves from step to step. With h_t what enters step t, and d_t = h_{t+1} - h_t:

    residual       ||d_t||                        step t's update
    relative       ||d_t|| / ||h_t||
    angle          between d_{t-1} and d_t, in degrees; nan where one of them is 0
    acceleration   ||d_t - d_{t-1}|| = ||h_{t+1} - 2 h_t + h_{t-1}||
    to_limit       ||h_t - h*||, h* the last state of the run (or one that is given)

The first four are those of Pappone, Crisostomi and Rodola 2025 (arXiv 2509.23314, who stop at small acceleration);
the distance to the limit is that of Geiping et al. 2025 (arXiv 2502.05171), where a much longer run stands for the
limit: here too, run well beyond the steps that are looked at. Norms of different models have different units; compare
``relative``. A discrete model moves by whole symbols, or not at all: its residual is 0 exactly where no symbol changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.one_line import one_line

Floats = NDArray[np.float64]

MEASURES: Final = ("residual", "relative", "angle", "acceleration", "to_limit")


@one_line
@dataclass(frozen=True, eq=False)
class Motion:
    """The measures of this module's docstring, for every place of the state.

    residual, relative, angle, acceleration: float [step, ...]; angle and acceleration are nan at step 0.
    to_limit: float [step + 1, ...].
    """

    residual: Floats
    relative: Floats
    angle: Floats
    acceleration: Floats
    to_limit: Floats


def dynamics_of(
    hidden: NDArray[np.floating[Any]] | Tensor, limit: NDArray[np.floating[Any]] | Tensor | None = None
) -> Motion:
    """The motion of any looped model's states, such as ``run_looped(...).hidden``.

    Args:
        hidden: float [step + 1, ..., d]; the norm is over the last axis.
        limit: float [..., d]; default: the last state.

    Raises:
        ValueError: fewer than 3 states (2 steps), which have no angle; a limit of another shape.
    """
    states = as_numpy(hidden)
    if states.ndim < 2 or len(states) < 3:
        raise ValueError(
            f"hidden has shape {tuple(states.shape)}; allowed is [step + 1, ..., d] with 2 steps or more (an angle is "
            "between two updates)"
        )
    end = states[-1] if limit is None else as_numpy(limit)
    if end.shape != states.shape[1:]:
        raise ValueError(f"limit has shape {end.shape}; allowed here is {states.shape[1:]}")
    end = end.astype(np.float64)
    n_steps, places = len(states) - 1, states.shape[1:-1]
    residual, relative = np.empty((n_steps, *places)), np.empty((n_steps, *places))
    angle, acceleration = np.full((n_steps, *places), np.nan), np.full((n_steps, *places), np.nan)
    to_limit = np.empty((n_steps + 1, *places))
    now, before = states[0].astype(np.float64), None
    to_limit[0] = np.linalg.norm(now - end, axis=-1)
    for t in range(n_steps):
        following = states[t + 1].astype(np.float64)
        update = following - now
        residual[t] = np.linalg.norm(update, axis=-1)
        relative[t] = _ratio(residual[t], np.linalg.norm(now, axis=-1))
        to_limit[t + 1] = np.linalg.norm(following - end, axis=-1)
        if before is not None:
            acceleration[t] = np.linalg.norm(update - before, axis=-1)
            cosine = _ratio((update * before).sum(-1), residual[t] * residual[t - 1])
            angle[t] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        now, before = following, update
    return Motion(residual, relative, angle, acceleration, to_limit)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, nan where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def as_numpy(array: NDArray[Any] | Tensor) -> NDArray[Any]:
    """An array, whatever it is and wherever it lies."""
    return array.numpy(force=True) if isinstance(array, Tensor) else array
