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
