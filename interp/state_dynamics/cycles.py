"""Where a run settles: in a fixed point, or in a cycle of states. Exact for symbols, up to a tolerance for vectors.

A discrete state determines the next one, so the first state that comes back closes a cycle and everything after it is
known: one coincidence is proof. Vectors only come near: there a cycle is what is seen, to the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class Settling:
    """Of every row where it settled.

    Attributes:
        start: int [row], the first state that belongs to the fixed point or cycle; -1 where none was seen.
        period: int [row], length of the cycle, 1 for a fixed point, 0 where none was seen.
    """

    start: NDArray[np.int64]
    period: NDArray[np.int64]

    @property
    def settled_by(self) -> NDArray[np.int64]:
        """Int [row]: the step that wrote the first state of the fixed point or cycle (0 where nothing ever changed), as
        ``Trajectory.fixed_point`` counts; -1 where none was seen.
        """
        return np.where(self.period > 0, np.maximum(self.start - 1, 0), -1)

    def reshaped(self, *shape: int) -> Settling:
        """The same with several row axes."""
        return Settling(self.start.reshape(shape), self.period.reshape(shape))


def exact_cycles(states: NDArray[Any]) -> Settling:
    """The first state of every row that equals an earlier one; states: symbols [state, row, ...], compared exactly.

    ``start`` is that earlier one, ``period`` the distance. Right for a state that determines the next.

    Examples:
        >>> import numpy as np
        >>> from interp import exact_cycles
        >>> found = exact_cycles(np.array([[0], [1], [2], [1], [2]]))  # [state, row]
        >>> found.start.tolist(), found.period.tolist()
        ([1], [2])
    """
    n_states, n_rows = states.shape[:2]
    start = np.full(n_rows, -1)
    period = np.zeros(n_rows, dtype=np.int64)
    for row in range(n_rows):
        seen: dict[bytes, int] = {}
        for t in range(n_states):
            first = seen.setdefault(np.ascontiguousarray(states[t, row]).tobytes(), t)
            if first < t:
                start[row], period[row] = first, t - first
                break
    return Settling(start, period)


def lasting_cycles(states: NDArray[Any], longest: int = 8) -> Settling:
    """The shortest cycle that every row keeps to until the end of the run, for symbols that do not determine the next.

    Row r is in a cycle of length p from state s on if state t + p equals state t for every t in s..T - p, T being the
    last state, and there are at least p such t: a whole period has been seen twice. ``start`` is the smallest such s,
    ``period`` the smallest such p up to ``longest``. states: symbols [state, row, ...].
    """
    flat = states.reshape(*states.shape[:2], -1)
    return _lasting(len(flat), longest, lambda length: (flat[length:] == flat[:-length]).all(-1))


def approximate_cycles(
    hidden: NDArray[np.floating[Any]], tolerance: float = 1e-3, longest: int = 8
) -> Settling:
    """As :func:`lasting_cycles`, where ``||h[t + p] - h[t]|| <= tolerance * ||h[t]||`` counts as equal.

    hidden: float [state, row, d]. Raises ValueError for a negative tolerance and another shape.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance is {tolerance}; allowed is 0 or more")
    if hidden.ndim != 3:
        raise ValueError(f"hidden has shape {hidden.shape}; allowed is [state, row, d]")
    size = np.linalg.norm(hidden, axis=-1)

    def near(length: int) -> NDArray[np.bool_]:
        apart = np.linalg.norm(hidden[length:] - hidden[:-length], axis=-1)
        return apart <= tolerance * size[:-length]

    return _lasting(len(hidden), longest, near)


def _lasting(n_states: int, longest: int, repeated: Callable[[int], NDArray[np.bool_]]) -> Settling:
    """``repeated(p)``: bool [state, row], whether state t + p counts as equal to state t."""
    n_rows = repeated(1).shape[1]
    start = np.full(n_rows, -1)
    period = np.zeros(n_rows, dtype=np.int64)
    for length in range(1, min(longest, n_states // 2) + 1):
        stays = repeated(length)[::-1].astype(np.int64).cumprod(0).sum(0)
        found = (period == 0) & (stays >= length)
        start[found] = n_states - length - stays[found]
        period[found] = length
    return Settling(start, period)
