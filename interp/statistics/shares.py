"""Proportions with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), from scipy."""
    interval = _binomial_test(successes, trials).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def solves_more(mine: Any, theirs: Any) -> bool:
    """Whether one way solves measurably more than another of the same things: exact McNemar test, one-sided, 2.5 %.

    mine, theirs: bool [thing].
    """
    only_mine, only_theirs = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    if only_mine <= only_theirs:
        return False
    return float(_binomial_test(only_mine, only_mine + only_theirs, alternative="greater").pvalue) < 0.025


def _binomial_test(successes: int, trials: int, **options: Any) -> Any:
    stats: Any = import_module("scipy.stats")  # takes a while, and seldom needed
    return stats.binomtest(successes, trials, **options)


@dataclass(frozen=True)
class Share:
    """``count`` of ``total`` things, none or more."""

    count: int
    total: int

    @classmethod
    def of(cls, flags: Any) -> Share:
        """Of an array of truth values."""
        return cls(int(flags.sum()), int(flags.size))

    @property
    def value(self) -> float:
        """The proportion, nan of nothing."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval; 0 and 1 of nothing."""
        return wilson_interval(self.count, self.total) if self.total else (0.0, 1.0)

    @property
    def point(self) -> tuple[float, float, float]:
        """Value, and both ends of the interval."""
        return (self.value, *self.interval)

    def above(self, other: Share) -> bool:
        """Whether the whole interval lies above that of ``other``."""
        return self.interval[0] > other.interval[1]

    def __str__(self) -> str:
        """As ``12 of 32 (37.5 % [22.9, 54.7])``."""
        if not self.total:
            return "0 of 0"
        low, high = self.interval
        digits = 1 if self.value == 0 or self.value >= 0.01 else 3
        return (
            f"{self.count} of {self.total} ({100 * self.value:.{digits}f} % [{100 * low:.{digits}f}, "
            f"{100 * high:.{digits}f}])"
        )

    def to_dict(self) -> dict[str, float]:
        """``count``, ``total``, ``share``, ``low``, ``high``."""
        low, high = self.interval
        return {"count": self.count, "total": self.total, "share": self.value, "low": low, "high": high}
