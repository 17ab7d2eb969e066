"""Numbers of things, as a sentence says them."""

from __future__ import annotations


def counted(count: int, thing: str, things: str = "") -> str:
    """``1 graph``, ``2 graphs``; things: the plural, default ``thing`` and an s.

    Examples:
        >>> from interp.statistics.counted import counted
        >>> counted(1, "graph"), counted(0, "graph"), counted(1200, "entry", "entries")
        ('1 graph', '0 graphs', '1,200 entries')
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def percent(share: float, digits: int = 1) -> str:
    """``12.5 %``, as :class:`interp.statistics.shares.Share` writes it.

    Examples:
        >>> from interp.statistics.counted import percent
        >>> percent(0.125), percent(1, 0)
        ('12.5 %', '100 %')
    """
    return f"{100 * share:.{digits}f} %"
