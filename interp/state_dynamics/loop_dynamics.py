"""Where any loop comes to rest: its states, and every layer of its cycle.

A loop of several layers that converges has a fixed point for each of them: what a layer gives at step t and at t + 1
becomes the same, while two layers stay apart. Blayney et al. 2026 (arXiv 2604.11791) call that a cyclic fixed point;
where the limits of all layers coincide too, it is degenerate. The measures are those of
:mod:`interp.state_dynamics.motion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.loop.protocol import Loop, sites_of, steps_of
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from interp.state_dynamics.cycles import Settling, approximate_cycles
from interp.state_dynamics.motion import MEASURES, Motion, dynamics_of
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopDynamics:
    """How states and layers move.

    Attributes:
        points: name -> float32 [step, batch, pos, d]: states (with one more step) and what layers give, in the order of
            the cycle; of a layer that is called several times per step, each call by itself (``"L.0.resid_post 2"``).
        states: which of them are states.
    """

    points: Mapping[str, NDArray[np.float32]]
    states: tuple[str, ...]

    def motion(self, point: str) -> Motion:
        """The measures, arrays [step, batch, pos]."""
        return dynamics_of(self.points[point])

    def settling(self, point: str, tolerance: float = 1e-3, longest: int = 8) -> Settling:
        """Of every row and position [batch, pos], the fixed point or cycle it keeps to until the end."""
        hidden = self.points[point]
        rows = hidden.reshape(len(hidden), -1, hidden.shape[-1])
        return approximate_cycles(rows, tolerance, longest).reshaped(*hidden.shape[1:3])

    def to_frame(self) -> pd.DataFrame:
        """A line a point, step, row and position: ``point``, ``step``, ``row``, ``pos``, and the measures."""
        frames: list[pd.DataFrame] = []
        for point in self.points:
            motion = self.motion(point)
            step, row, pos = (axis.ravel() for axis in np.indices(motion.residual.shape))
            columns: dict[str, Any] = {"point": point, "step": step, "row": row, "pos": pos}
            columns |= {name: getattr(motion, name)[: len(motion.residual)].ravel() for name in MEASURES}
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    def summary(self, tolerance: float = 1e-3, longest: int = 8) -> pd.DataFrame:
        """A line a point: shares of positions that end in a ``fixed`` point and in a longer ``cycle``, the median
        ``relative`` update of the last step, and ``apart``: the median distance between the limits of this layer and of
        the next of the cycle, over the limit's norm (nan for states; 0 for all layers: degenerate).
        """
        layers = [point for point in self.points if point not in self.states]
        following = dict(zip(layers, [*layers[1:], *layers[:1]], strict=True))
        lines: list[dict[str, Any]] = []
        for point, hidden in self.points.items():
            period = self.settling(point, tolerance, longest).period
            line: dict[str, Any] = {"point": point, "fixed": float((period == 1).mean())}
            line |= {"cycle": float((period > 1).mean())}
            line["relative"] = float(np.nanmedian(self.motion(point).relative[-1]))
            line["apart"] = (
                _apart(hidden[-1], self.points[following[point]][-1]) if point in following else np.nan
            )
            lines.append(line)
        return pd.DataFrame(lines)


def loop_dynamics(
    loop: Loop, inputs: Any, n_steps: int | None = None, kind: str | None = "resid_post"
) -> LoopDynamics:
    """Run a loop and keep its states, and what its layers give.

    Args:
        n_steps: run well beyond what is looked at: the last state stands for the limit. Default: what the loop says.
        kind: the kind of site that is a layer's output; None: states alone.

    Raises:
        LoopedError: a loop without such sites; no number of steps. ValueError: fewer than 3 steps.

    Examples:
        >>> from interp import loop_dynamics
        >>> from models import as_loop, load
        >>> found = loop_dynamics(as_loop(load("compiled")), "20 = a; 2 = b; a + b = c", n_steps=6)
        >>> found.summary().loc[:, ["point", "fixed"]].values.tolist()[:2]
        [['state.hidden', 1.0], ['0.resid_post', 1.0]]
    """
    count = steps_of(loop, inputs, n_steps, "dynamics")
    if count < 3:
        raise ValueError(f"n_steps is {count}; allowed are 3 or more (an angle is between two updates)")
    record = [] if kind is None else sites_of(loop, kind, "dynamics of layers")
    return dynamics_of_run(run_loop(loop, inputs, count, record=record, read=False))


def dynamics_of_run(run: LoopRun) -> LoopDynamics:
    """Of a run that was made: its states that are vectors [state, batch, pos, d], and all that it recorded."""
    states = {
        name: state for name, state in run.states.items() if state.is_floating_point() and state.ndim == 4
    }
    points = dict(states)
    for name in run.activations:
        called = run.calls[name]
        for call in range(called.shape[1]):
            many = called.shape[1] > 1
            points[f"{name} {call}" if many else name] = run[name][called[:, call], call]
    return LoopDynamics({name: _numpy(point) for name, point in points.items()}, tuple(states))


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Over the positions where ``one`` is not 0."""
    size = np.linalg.norm(one, axis=-1)
    distance = np.linalg.norm(one - other, axis=-1)
    return float(np.median(distance[size > 0] / size[size > 0])) if (size > 0).any() else float("nan")


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return cast(Any, tensor.to(torch.float32)).numpy(force=True)
