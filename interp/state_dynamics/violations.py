"""Fixed-point violations: a node that shows its true value and later another symbol.

A value that is right is a fixed point of the algorithm, so a perfect model never leaves it. A node that happens to be
right before its operands are (``t < depth``) is a guess; leaving that is counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class Violations:
    """What was right and then wrong.

    Attributes:
        lost: bool [step, batch, node]; right in the state entering the step, wrong in the one it writes.
        early: bool [step, batch, node]; those of ``lost`` that were right before they were due: step <= depth.
        right_once: bool [batch, node]; right in some state.
        right_at_end: bool [batch, node].
    """

    lost: NDArray[np.bool_]
    early: NDArray[np.bool_]
    right_once: NDArray[np.bool_]
    right_at_end: NDArray[np.bool_]

    @property
    def due(self) -> NDArray[np.bool_]:
        """Bool [step, batch, node]; the violations proper, ``lost`` without ``early``."""
        return self.lost & ~self.early

    @property
    def nodes(self) -> NDArray[np.bool_]:
        """Bool [batch, node]; nodes with at least one violation proper."""
        return np.any(self.due, axis=0)

    @property
    def graphs(self) -> NDArray[np.bool_]:
        """Bool [batch]; graphs with such a node."""
        return np.any(self.nodes, axis=-1)

    @property
    def first(self) -> NDArray[np.int64]:
        """Int [batch, node]; the first step that violated, -1 where none did."""
        return np.where(self.nodes, self.due.argmax(0), -1)

    @property
    def lasting(self) -> NDArray[np.bool_]:
        """Bool [batch, node]; violated, and wrong at the end."""
        return self.nodes & ~self.right_at_end


def violations_of(right: NDArray[np.bool_], depths: NDArray[Any]) -> Violations:
    """Where a node was right and became wrong.

    Args:
        right: bool [state, batch, node]; whether a node shows its true value, False where there is no such node.
        depths: int [batch, node]; -1 where there is no such node.

    Raises:
        ValueError: shapes that do not fit.

    Examples:
        >>> import numpy as np
        >>> from interp import violations_of
        >>> right = np.array([[[False]], [[True]], [[False]]])  # [state, batch, node]
        >>> violations_of(right, np.array([[0]])).lost.tolist()
        [[[False]], [[True]]]
    """
    check_right(right, depths)
    lost = right[:-1] & ~right[1:]
    steps = np.arange(len(lost))[:, None, None]
    return Violations(lost, lost & (steps <= depths), np.any(right, axis=0), right[-1])


def check_right(right: NDArray[np.bool_], depths: NDArray[Any]) -> None:
    """Raise ValueError unless ``right`` is [state, batch, node] and ``depths`` [batch, node]."""
    if right.ndim != 3 or right.shape[1:] != depths.shape:
        raise ValueError(
            f"right has shape {right.shape} and depths {depths.shape}; allowed are [state, batch, node] and "
            "[batch, node]"
        )
