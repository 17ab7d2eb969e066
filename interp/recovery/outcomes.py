"""Where a run goes after an edit, and when it is there; exact for a state that determines the next.

A run is told by its packed states from the edited one on, beside those of the run without the edit:

    recovers    it is in the states of the run without the edit from some state on, to the end
    elsewhere   it comes to rest in another state: another basin
    cycle       it comes back to a state that it has left
    unsettled   none of these within the states that are there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp.state_dynamics.cycles import exact_cycles, lasting_cycles

RECOVERS: Final = "recovers"
ELSEWHERE: Final = "elsewhere"
CYCLE: Final = "cycle"
UNSETTLED: Final = "unsettled"
OUTCOMES: Final = (RECOVERS, ELSEWHERE, CYCLE, UNSETTLED)


@dataclass(frozen=True)
class Outcome:
    """What became of one edit.

    Attributes:
        kind: one of :data:`OUTCOMES`.
        time: steps from the edit until the run is in the states of the other run, in its fixed point, or in its cycle
            for the first time; -1 where it is unsettled.
        period: length of the cycle, 1 for a fixed point, 0 for a run that recovers or is unsettled.
        end: what the state at rest, or the whole cycle, is recognised by; empty for the others.
    """

    kind: str
    time: int
    period: int
    end: bytes


def outcome_of(path: NDArray[Any], without: NDArray[Any], determined: bool = True) -> Outcome:
    """What became of an edit.

    Args:
        path: packed states int [state, pos] from the edited one on; without: those of the run without the edit.
        determined: whether a state determines the next, so that one coincidence is proof; otherwise what is seen has to
            last to the end.

    Examples:
        >>> import numpy as np
        >>> from interp import outcome_of
        >>> without = np.array([[1], [2], [2], [2]])  # [state, pos]
        >>> outcome_of(np.array([[5], [7], [2], [2]]), without).time
        2
        >>> outcome_of(np.array([[5], [6], [5], [6]]), without).kind
        'cycle'
    """
    apart = np.flatnonzero((path != without).any(1))
    if not len(apart) or apart[-1] < len(path) - 1:
        return Outcome(RECOVERS, int(apart[-1]) + 1 if len(apart) else 0, 0, b"")
    found = exact_cycles(path[:, None]) if determined else lasting_cycles(path[:, None])
    start, period = int(found.start[0]), int(found.period[0])
    if period == 0:
        return Outcome(UNSETTLED, -1, 0, b"")
    kind = ELSEWHERE if period == 1 else CYCLE
    around = sorted(state.tobytes() for state in path[start : start + period])
    return Outcome(kind, start, period, b"".join(around))
