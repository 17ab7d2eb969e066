"""A sweep that runs in the background, part by part, and can be watched, cancelled and continued.

Readers of the same sweep share it: it stops when all have left it. Others are not kept waiting: a sweep has hook points
of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from dashboards.cached import SharedModel
from interp.causal.patching import Direction, PatchSweep, patch_sweep, record_pair
from interp.engine.sites import Site
from models.graph import ComputationGraph

_LEFT_ALONE = 120.0
"""Seconds after which a sweep that nobody watches ends."""

_KEPT = 16
"""Sweeps that are kept."""

_FIRST_PART, _LARGEST_PART = 16, 1024
"""Sites of the first part, and of any."""

_PART_SECONDS = 2.0
"""What a part is to take, about: how long a cancelled sweep goes on, and how much of it is lost."""

_LET_OTHERS = 0.02
"""Seconds between two parts in which a thread that waits for the model gets it; a lock alone is not fair."""


@dataclass(frozen=True)
class SweepRequest:
    """All that a sweep depends on."""

    model: str
    clean: ComputationGraph
    corrupt: ComputationGraph
    n_steps: int
    sites: tuple[Site, ...]
    metric: str
    direction: Direction
    nodes: tuple[int, ...] | None


class _StoppedError(Exception):
    """Ends the sweep of a part."""


class SweepJob:
    """One sweep: its parts that are done, and the thread that works on the rest."""

    def __init__(self, request: SweepRequest, shared: SharedModel) -> None:
        self.request = request
        self.problem: str | None = None
        self.cancelled = False
        self._shared = shared
        self._readers: set[str] = set()
        self._parts: list[PatchSweep] = []
        self._in_part = 0
        self._size = _FIRST_PART
        self._stop = threading.Event()
        self._watched = time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a thread works on it. Asking counts as watching."""
        self._watched = time.monotonic()
        return self._thread is not None and self._thread.is_alive()

    @property
    def n_kept(self) -> int:
        """Patched runs of the parts that are finished."""
        return sum(len(part.sites) for part in self._parts)

    @property
    def n_done(self) -> int:
        """Patched runs that are finished, those of the part under way among them."""
        return self.n_kept + self._in_part

    @property
    def finished(self) -> bool:
        """Whether every site is done."""
        return self.n_kept == len(self.request.sites)

    def start(self, reader: str | None = None) -> None:
        """Work on the sites that are not done, in the background; nothing happens where that is so already."""
        if reader is not None:
            self._readers.add(reader)
        if self.running or self.finished:
            return
        self.problem, self.cancelled = None, False
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, name="patch sweep", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop after the forward pass under way; parts that are done are kept."""
        self._stop.set()

    def cancel(self, reader: str | None = None) -> None:
        """As :meth:`leave`, as a reader wishes (None: all); where none is left it goes on only when asked to."""
        self._readers &= set() if reader is None else self._readers - {reader}
        self.cancelled = not self._readers
        self.leave(reader)

    def leave(self, reader: str | None = None) -> None:
        """A reader does not want it any more; as :meth:`pause` where no other one does."""
        self._readers.discard(reader or "")
        if not self._readers:
            self.pause()

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest is likely to take, by the parts that are done; None before the first."""
        parts = list(self._parts)
        seconds = sum(part.seconds for part in parts)
        left = len(self.request.sites) - self.n_done
        return left * seconds / self.n_kept if parts else None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the thread, at most so long; whether it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running

    def result(self) -> PatchSweep | None:
        """What is done so far: all sites, nan where the sweep has not been; None before the first part."""
        parts = list(self._parts)
        if not parts:
            return None
        raw = np.full(len(self.request.sites), np.nan)
        done = np.concatenate([part.raw for part in parts])
        raw[: len(done)] = done
        seconds = sum(part.seconds for part in parts)
        return replace(parts[0], sites=self.request.sites, raw=raw, seconds=seconds)

    def _work(self) -> None:
        request = self.request
        try:
            with self._shared.use() as model:
                runs = record_pair(model, request.clean, request.corrupt, request.n_steps)
            while not self.finished:
                begin = time.monotonic()
                sites = request.sites[self.n_kept : self.n_kept + self._size]
                with self._shared.use() as model:
                    self._check()
                    part = patch_sweep(
                        model,
                        *runs,
                        sites,
                        metric=request.metric,
                        direction=request.direction,
                        nodes=request.nodes,
                        n_steps=request.n_steps,
                        progress=self._progress,
                    )
                self._in_part = 0
                self._parts.append(part)
                time.sleep(_LET_OTHERS)
                share = min(2.0, _PART_SECONDS / max(time.monotonic() - begin, 1e-3))
                self._size = min(max(1, int(self._size * share)), _LARGEST_PART)
        except _StoppedError:
            pass
        except Exception as error:  # a thread's traceback would reach nobody
            known = isinstance(error, ValueError)
            self.problem = str(error) if known else f"{type(error).__name__}: {error}"
        finally:
            self._in_part = 0

    def _progress(self, done: int, total: int) -> None:
        self._in_part = done
        self._check()

    def _check(self) -> None:
        if self._stop.is_set() or time.monotonic() - self._watched > _LEFT_ALONE:
            raise _StoppedError


class _Jobs:
    """The latest sweeps of all visitors, by what they depend on."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[SweepRequest, SweepJob] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, request: SweepRequest, shared: SharedModel) -> SweepJob:
        """The sweep of a request, new or known."""
        with self._lock:
            job = self._jobs.pop(request, None) or SweepJob(request, shared)
            self._jobs[request] = job
            for known in list(self._jobs):
                if len(self._jobs) <= _KEPT:
                    break
                self._jobs.pop(known).pause()
            return job


@st.cache_resource(show_spinner=False)
def jobs() -> _Jobs:
    """The sweeps that are known, running or done."""
    return _Jobs()
