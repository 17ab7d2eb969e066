"""Letting the process keep memory that caches free, so that the next cache need not ask the system for it again.

Caching one step of a batch allocates some hundred megabytes and frees them a moment later. glibc hands blocks
that large back to the system at once, and the page faults of getting them anew cost as much as the
computation itself (``python -m analyses.benchmarks.forward`` measures it)."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

SWITCH = "RECURLENS_KEEP_FREED_MEMORY"
KEPT_BYTES = 2**30
"""How much freed memory the process may hold on to."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 2**25


@cache
def keep_freed_memory() -> bool:
    """Ask glibc to keep up to :data:`KEPT_BYTES` of freed memory; whether it agreed.

    Called by every ``run_with_cache``; takes effect once for the process. Does nothing on other C libraries,
    or when the environment variable ``RECURLENS_KEEP_FREED_MEMORY`` is ``0``.
    """
    if os.environ.get(SWITCH) == "0" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    accepted = mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) == 1
    return mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) == 1 and accepted
