"""One hostile case, and what is made of it: refused as documented, accepted, a wrong exception, or a hang."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.printable import printable

HANG_SECONDS = 2.0
"""Processor time of a case from which on it counts as a hang."""
GIVE_UP_SECONDS = 20.0
"""Processor time after which a case is interrupted."""
MEMORY_BYTES = 3 * 2**30
"""Memory of a worker; a case that asks for more gets a MemoryError, which is a wrong exception."""
SHOWN = 20
"""Findings of a kind that are kept word for word."""

REFUSED, ACCEPTED = "refused", "accepted"


class WrongAnswerError(AssertionError):
    """A case that was answered in another way than is documented; the message says how."""


class _Hang(BaseException):
    """Raised inside a case that goes on too long; no `except Exception` catches it."""


@dataclass(frozen=True)
class Case:
    """One hostile input. run: returns REFUSED or ACCEPTED; whatever it raises is a finding.

    usual: processor seconds that the same takes with ordinary input, not counted.
    """

    what: str
    run: Callable[[], str]
    usual: float = 0.0


Generator = Callable[[random.Random, Path], Case]
"""A case drawn from a random generator; the folder is for its files, and empty at first."""


@dataclass
class Tally:
    """What became of the cases of one kind."""

    kind: str
    refused: int = 0
    accepted: int = 0
    wrong: int = 0
    hangs: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """All of them."""
        return self.refused + self.accepted + self.wrong

    def add(self, other: Tally) -> None:
        """Count those of another worker too."""
        for name in ("refused", "accepted", "wrong", "hangs", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.findings = [*self.findings, *other.findings][:SHOWN]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"cases": self.cases, **vars(self)}


def judge(kind: str, generator: Generator, seed: int, indices: range, folder: Path) -> Tally:
    """Run the cases of some indices; case i is drawn from `seed` and i alone."""
    tally = Tally(kind)
    began = time.process_time()
    for index in indices:
        case = generator(random.Random(f"{kind} {seed} {index}"), folder)
        start = time.process_time()
        try:
            with _interrupted_after(GIVE_UP_SECONDS):
                answer = case.run()
        except _Hang:
            answer = f"no answer within {GIVE_UP_SECONDS:g} s"
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            answer = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {error}"
        took = time.process_time() - start - case.usual
        tally.slowest = max(tally.slowest, took)
        where = f"{kind} {index}: {printable(case.what)[:300]}"
        if took > HANG_SECONDS:
            tally.hangs += 1
            tally.findings.append(f"{where} took {took:.1f} s of processor time")
        if answer in (REFUSED, ACCEPTED):
            setattr(tally, answer, getattr(tally, answer) + 1)
        else:
            tally.wrong += 1
            tally.findings.append(f"{where}: {printable(answer)[:400]}")
    tally.seconds = time.process_time() - began
    tally.findings = tally.findings[:SHOWN]
    return tally


def limit_memory() -> None:
    """Let this process have no more than `MEMORY_BYTES` of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise `_Hang` in the body after so much processor time."""

    def interrupt(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
