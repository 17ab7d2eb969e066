"""A row of the claims table, and the rule that grades a share; the claims are in `analyses.claims`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from analyses.paper_claims import STATEMENTS, Statement
from analyses.studies import plain
from models.one_line import one_line

Verdict = Literal["holds", "partly", "not", "does not apply", "not measured"]
HOLDS: Final = 0.95
PARTLY: Final = 0.5


@one_line
@dataclass(frozen=True)
class Claim:
    """A row of the table; `numbers` are the measurements that the verdict and the two texts rest on."""

    key: str
    verdict: Verdict
    measured: str
    control: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statement(self) -> Statement:
        """What the paper says, and the rule."""
        return STATEMENTS[self.key]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: statement, verdict, texts, numbers."""
        texts = {"verdict": self.verdict, "measured": self.measured, "control": self.control}
        return {"key": self.key, **asdict(self.statement), **texts, "numbers": plain(self.numbers)}


def not_told(key: str, reason: str, failed: bool = False) -> Claim:
    """The row of a claim that is not measured: it does not apply, or its section failed."""
    return Claim(key, "not measured" if failed else "does not apply", reason, "")


def graded(share: float, control: float = 0.0) -> Verdict:
    """The verdict on a share, by the rule at the head of `analyses.claims`; nan is `not`."""
    if math.isnan(share) or share < PARTLY:
        return "not"
    beaten = math.isnan(control) or share >= 2 * control
    return "holds" if share >= HOLDS and beaten else "partly"
