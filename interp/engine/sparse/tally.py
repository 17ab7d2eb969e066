"""How much a replay computed, and how often it had to fall back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Exactness = Literal["states", "dense", "checked"]


@dataclass
class Tally:
    """Counted over the steps that were evaluated; one object may be given to several replays.

    Attributes:
        exact: the mode, as it was asked for.
        unchanged: steps in which what was written stood there already, so that nothing was computed.
        certified: steps that were computed where they can change.
        dense: steps that were computed at every position behind the change.
        dense_positions: positions behind the changes of the dense steps.
        fell_back: those of the dense steps whose certificate failed: margins below rounding, or a code too close.
        positions: positions behind the changes of the certified steps.
        computed: those among them that were computed.
        updated: steps that other codes enter or that are written into at several places, computed from the base run's.
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
    dense_positions: int = 0
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

    @classmethod
    def of(cls, counts: Mapping[str, Any]) -> Tally:
        """From what `dataclasses.asdict` made of one, also by way of JSON, whose keys are text."""
        given: dict[str, Any] = {**counts, "by_step": {int(step): n for step, n in counts["by_step"].items()}}
        return cls(**given)

    @property
    def steps(self) -> int:
        """Steps that were evaluated."""
        return self.unchanged + self.certified + self.updated + self.dense

    def __add__(self, other: Tally) -> Tally:
        """Both together; the mode is the first's."""
        counts = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)[1:-1]}
        by_step = Counter(self.by_step)
        by_step.update(other.by_step)
        return Tally(self.exact, **counts, by_step=dict(by_step))

    def __str__(self) -> str:
        """One sentence for people."""
        text = f"exact={self.exact}: {self.steps} steps were followed"
        if self.steps:
            behind = max(1, self.positions + self.updated_positions + self.dense_positions)
            skipped = (self.positions - self.computed) / behind
            shortened = (self.updated_positions - self.updated_computed) / behind
            text += (
                f", {self.unchanged / self.steps:.1%} of them unchanged; of the positions behind the other changes "
                f"{skipped:.1%} were skipped and {shortened:.1%} left before the last MLP; "
                f"{self.dense / self.steps:.1%} of the steps were dense, {self.fell_back / self.steps:.1%} because a "
                "certificate failed"
            )
        return text + (
            f"; {self.disagreements} of {self.audited} audited steps differ" if self.audited else ""
        )


def check_exactness(exact: str) -> Exactness:
    """Raises ValueError for a mode that does not exist."""
    for known in get_args(Exactness):
        if exact == known:
            return known
    raise ValueError(f"exact={exact!r}; allowed are {', '.join(get_args(Exactness))}")
