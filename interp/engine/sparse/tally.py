"""How much a replay computed, and how often it had to fall back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Exactness = Literal["states", "dense", "checked"]


@dataclass
class Tally:
    """Counted over the steps that were evaluated; one object may be given to several replays.

    Attributes:
        exact: the mode, as it was asked for.
        unchanged: steps in which what was written stood there already, so that nothing was computed.
        certified: steps that were computed where they can change.
        dense: steps that were computed at every position behind the change.
        fell_back: those among them that a certificate was tried on: margins below rounding, or a code too close.
        positions: positions behind the changes of the certified steps.
        computed: those among them that were computed.
        updated: steps that other codes enter, computed by what they change in the base run's attention.
        updated_positions: positions behind the changes of these.
        updated_computed: those among them at which the last MLP and the readout were computed.
        audited: certified steps that were computed densely as well (``"checked"`` alone).
        disagreements: audited steps whose states differed.
        by_step: step -> positions computed in it, of certified and dense steps.
    """

    exact: Exactness = "states"
    unchanged: int = 0
    certified: int = 0
    dense: int = 0
    fell_back: int = 0
    positions: int = 0
    computed: int = 0
    updated: int = 0
    updated_positions: int = 0
    updated_computed: int = 0
    audited: int = 0
    disagreements: int = 0
    by_step: dict[int, int] = field(default_factory=dict[int, int])

    def compute(self, step: int, positions: int) -> None:
        """Count positions computed in a step, densely or not."""
        self.by_step[step] = self.by_step.get(step, 0) + positions

    @property
    def skipped(self) -> float:
        """Share of the positions behind the changes that were not computed; nan where there were none."""
        return 1 - self.computed / self.positions if self.positions else float("nan")

    def __str__(self) -> str:
        """One line for people."""
        steps = self.unchanged + self.certified + self.dense
        text = (
            f"exact={self.exact}: {steps} steps, {self.unchanged} unchanged, {self.certified} certified "
            f"(at {self.computed} of {self.positions} positions), {self.dense} dense ({self.fell_back} fell back)"
        )
        return text + (f", {self.disagreements} of {self.audited} audited differ" if self.audited else "")


def check_exactness(exact: str) -> Exactness:
    """Raises ValueError for a mode that does not exist."""
    for known in get_args(Exactness):
        if exact == known:
            return known
    raise ValueError(f"exact={exact!r}; allowed are {', '.join(get_args(Exactness))}")
