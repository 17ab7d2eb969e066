"""How much of a computation is done, told to who listens, whatever functions are at work inside of it.

A loop that takes long goes through its items with :func:`followed`; a loop inside of it divides what one item of the
outer stands for. So a command or a page that listens around a whole study is told a share from 0 to 1, and no function
in between passes anything on. Without a listener nothing is done. A listener hears its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class _Span:
    """A part of the whole, from ``begin`` to ``end``, both 0 to 1, and who is told how much of the whole is done.

    reached: where the last phase ended; what follows without a phase of its own is what is left.
    """

    begin: float
    end: float
    report: Callable[[float], None]
    reached: float

    def left(self, share: float) -> float:
        """The share of the whole at which this share of what is left is done."""
        return self.reached + (self.end - self.reached) * share


_SPAN: ContextVar[_Span | None] = ContextVar("span", default=None)


@contextmanager
def listening(report: Callable[[float], None]) -> Generator[None]:
    """Hear how much of the block is done, a share from 0 to 1 that never falls."""
    most = 0.0

    def tell(share: float) -> None:
        nonlocal most
        most = max(most, share)
        report(most)

    before = _SPAN.set(_Span(0.0, 1.0, tell, 0.0))
    try:
        yield
    finally:
        _SPAN.reset(before)


@contextmanager
def phase(begin: float, end: float) -> Generator[None]:
    """What the block does is this part, 0 to 1, of what is being followed; at its end so much is done."""
    span = _SPAN.get()
    if span is None:
        yield
        return
    length = span.end - span.begin
    with _part(span, span.begin + length * begin, span.begin + length * end):
        yield


def followed(items: Iterable[T], count: int | None = None) -> Iterator[T]:
    """The items, one by one: what is done to produce one and until the next is asked for is its part of what is left.

    count: how many there are, where the items do not say.
    """
    span = _SPAN.get()
    if span is None:
        yield from items
        return
    total = len(items) if count is None and isinstance(items, Collection) else count or 1
    ends = [span.left((number + 1) / total) for number in range(total)]
    remaining = iter(items)
    for end in ends:
        with _part(span, span.reached, end):
            try:
                item = next(remaining)
            except StopIteration:
                return
            yield item
    yield from remaining


def told(done: int, total: int) -> None:
    """So many of all the items of what is being followed are done."""
    span = _SPAN.get()
    if span is not None:
        span.report(span.left(done / total if total else 1.0))


@contextmanager
def _part(span: _Span, begin: float, end: float) -> Generator[None]:
    """The block is the part of the whole from ``begin`` to ``end``."""
    before = _SPAN.set(_Span(begin, end, span.report, begin))
    try:
        yield
    finally:
        _SPAN.reset(before)
    span.reached = end
    span.report(end)
