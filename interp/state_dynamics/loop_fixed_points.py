"""The fixed points of any loop: of its state, and of every layer and level of its cycle.

A run is followed until each point of the cycle gives the same in two successive steps. What is then asked is whether
the fixed point is worth the name: a cyclic one (Blayney et al. 2026, arXiv 2604.11791) differs from layer to layer,
while a degenerate one is the same for all of them, or for all inputs.

    residual    ||h_t - h_(t-1)|| / ||h_t||, of the last step
    rate        (last residual / the one `window` steps before it) ^ (1 / window): below 1 it comes nearer still
    apart       ||h - h'|| / ||h||, between the limit of this layer and of the next one of the cycle, over all rows and
                positions together
    by_input    the same between the limits of two rows, at the same position
    by_pos      the same between the limits of two positions of a row

``what="direction"`` compares ``h / ||h||``: all that a layer behind a norm can see of a stream that grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from torch import nn

from interp.loop.protocol import Loop
from interp.state_dynamics.loop_dynamics import LoopDynamics, loop_dynamics
from models import as_loop
from models.one_line import one_line

Kind = Literal["cyclic", "degenerate", "none"]


@one_line
@dataclass(frozen=True, eq=False)
class LoopFixedPoints:
    """What each point of a cycle comes to.

    Attributes:
        what: whether vectors or their directions were compared.
        states: which points are states; the others are layers, in the order of the cycle.
        limits: point -> float [batch, pos, d], of the last step.
        residuals: point -> float [step, batch, pos], nan where there is nothing to compare.
        window: steps over which a rate is taken.
    """

    what: Literal["vector", "direction"]
    states: tuple[str, ...]
    limits: Mapping[str, NDArray[np.float64]]
    residuals: Mapping[str, NDArray[np.float64]]
    window: int

    @property
    def layers(self) -> list[str]:
        """The points that are no states."""
        return [point for point in self.limits if point not in self.states]

    def rate(self, point: str) -> NDArray[np.float64]:
        """This module's formula, float [batch, pos]; nan where nothing moves any more."""
        last, before = self.residuals[point][-1], self.residuals[point][-1 - self.window]
        ratio = np.divide(last, before, out=np.full_like(last, np.nan), where=before > 0)
        return ratio ** (1 / self.window)

    def fixed(self, point: str, tolerance: float = 1e-3) -> float:
        """The share of rows and positions whose last residual is within the tolerance."""
        return float((self.residuals[point][-1] <= tolerance).mean())

    def apart(self) -> pd.DataFrame:
        """The distance between the limits of each two layers, [layer, layer]."""
        found = {
            one: [_distance(self.limits[one], self.limits[other]) for other in self.layers]
            for one in self.layers
        }
        return pd.DataFrame(found, index=self.layers).T

    def summary(self, tolerance: float = 1e-3) -> pd.DataFrame:
        """A line a point: ``fixed`` (a share), medians of ``residual`` and ``rate``, ``apart`` (nan for states),
        ``by_input`` and ``by_pos`` (nan of one row or position), and the ``norm`` of the limit.
        """
        following = dict(zip(self.layers, [*self.layers[1:], *self.layers[:1]], strict=True))
        lines: list[dict[str, Any]] = []
        for point, limit in self.limits.items():
            rate = self.rate(point)
            line: dict[str, Any] = {"point": point, "fixed": self.fixed(point, tolerance)}
            line["residual"] = float(np.median(self.residuals[point][-1]))
            line["rate"] = float(np.nanmedian(rate)) if not np.isnan(rate).all() else float("nan")
            line["apart"] = _distance(limit, self.limits[following[point]]) if point in following else np.nan
            line["by_input"] = _distance(limit[1:], limit[:-1]) if len(limit) > 1 else np.nan
            line["by_pos"] = _distance(limit[:, 1:], limit[:, :-1]) if limit.shape[1] > 1 else np.nan
            lines.append(line | {"norm": float(np.median(np.linalg.norm(limit, axis=-1)))})
        return pd.DataFrame(lines)

    def kind(self, tolerance: float = 1e-3, least: float = 0.05) -> Kind:
        """What all layers together come to.

        ``"none"`` unless each is fixed at half of its rows and positions; ``"degenerate"`` where limits of successive
        layers, or of inputs, are less than ``least`` apart; else ``"cyclic"``. A single layer has no other to be apart
        from: then inputs alone count.
        """
        lines: Any = self.summary(tolerance)
        table = lines.set_index("point").loc[self.layers or list(self.states)]
        if not bool((table.fixed >= 0.5).all()):
            return "none"
        distances: list[float] = [
            table.by_input.min(),
            *([table.apart.max()] if len(self.layers) > 1 else []),
        ]
        return "degenerate" if any(distance < least for distance in distances) else "cyclic"


def fixed_points(
    model: Loop | nn.Module,
    inputs: Any,
    n_steps: int,
    kind: str | None = "resid_post",
    what: Literal["vector", "direction"] = "vector",
    window: int = 8,
) -> LoopFixedPoints:
    """Run a looped model for so many steps, and compare each point of its cycle with itself and with the others.

    Args:
        model: a loop, or a model that :func:`models.as_loop` knows, those of this repository among them.
        n_steps: more than ``window + 1``, and well beyond what the loop takes: the last step stands for the limit.
        kind: of sites that are a layer's output; each call of a module is a point of its own. None: states alone.

    Raises:
        LoopedError: as :func:`interp.loop_dynamics`. TypeError: a model that is neither.
        ValueError: too few steps for the window.

    Examples:
        >>> from interp import fixed_points
        >>> from models.compiled import make
        >>> found = fixed_points(make("reachability"), make("reachability").sample(2), n_steps=40)
        >>> found.summary()[["point", "fixed"]].values.tolist()
        [['state', 1.0], ['0.resid_post', 1.0], ['1.resid_post', 1.0]]
        >>> found.kind()
        'cyclic'
    """
    if not 0 < window < n_steps - 1:
        raise ValueError(f"window is {window} and n_steps {n_steps}; allowed is 0 < window < n_steps - 1")
    return fixed_points_of(loop_dynamics(as_loop(model), inputs, n_steps, kind), what, window)


loop_fixed_points = fixed_points
"""The name that it had for loops alone."""


def fixed_points_of(
    dynamics: LoopDynamics, what: Literal["vector", "direction"] = "vector", window: int = 8
) -> LoopFixedPoints:
    """Of points that were recorded."""
    limits: dict[str, NDArray[np.float64]] = {}
    residuals: dict[str, NDArray[np.float64]] = {}
    for name, point in dynamics.points.items():
        hidden = point.astype(np.float64)
        if what == "direction":
            hidden /= np.linalg.norm(hidden, axis=-1, keepdims=True).clip(min=1e-300)
        limits[name] = hidden[-1]
        size = np.linalg.norm(hidden[1:], axis=-1)
        moved = np.linalg.norm(np.diff(hidden, axis=0), axis=-1)
        residuals[name] = np.divide(moved, size, out=np.where(moved > 0, np.inf, 0.0), where=size > 0)
    return LoopFixedPoints(what, dynamics.states, limits, residuals, window)


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """``||one - other|| / ||one||``, all rows and positions together; nan where ``one`` is 0."""
    size = float(np.linalg.norm(one))
    return float(np.linalg.norm(one - other)) / size if size else float("nan")
