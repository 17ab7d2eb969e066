"""A sweep as a computation in the background (`dashboards.computing`), made part by part.

The parts that are done are drawn while it goes on, kept where it is cancelled, and continued.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from dashboards.cached import SharedModel
from dashboards.computing import Computation, Progress, computations
from interp.causal.normalising import Direction
from interp.causal.patching import PatchSweep, patch_sweep, record_pair
from interp.engine.sites import Site
from models.graph import ComputationGraph

_KEPT = 16
"""Sweeps that are kept."""

_FIRST_PART, _LARGEST_PART = 16, 1024
"""Sites of the first part, and of any."""

_PART_SECONDS = 2.0
"""What a part is to take, about: how much is lost where a sweep is cancelled."""


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


class Sweep:
    """One sweep: its parts that are done, and the computation that works on the rest."""

    def __init__(self, request: SweepRequest, shared: SharedModel) -> None:
        self.request = request
        self.job: Computation[PatchSweep | None] = computations().new(self._work)
        self._shared = shared
        self._parts: list[PatchSweep] = []
        self._in_part = 0
        self._size = _FIRST_PART

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

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest is likely to take, by the parts that are done; None before the first."""
        parts = list(self._parts)
        seconds = sum(part.seconds for part in parts)
        left = len(self.request.sites) - self.n_done
        return left * seconds / self.n_kept if parts else None

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

    def _work(self, report: Progress) -> PatchSweep | None:
        """Do the sites that are not done. Where `report` ends it, the parts that are done are kept."""
        request = self.request

        def advance(done: int, total: int) -> None:
            self._in_part = done
            report(self.n_done, len(request.sites))

        try:
            with self._shared.use() as model:
                runs = record_pair(model, request.clean, request.corrupt, request.n_steps)
            while not self.finished:
                begin = time.monotonic()
                sites = request.sites[self.n_kept : self.n_kept + self._size]
                with self._shared.use() as model:
                    part = patch_sweep(
                        model,
                        *runs,
                        sites,
                        metric=request.metric,
                        direction=request.direction,
                        nodes=request.nodes,
                        n_steps=request.n_steps,
                        progress=advance,
                    )
                self._in_part = 0
                self._parts.append(part)
                share = min(2.0, _PART_SECONDS / max(time.monotonic() - begin, 1e-3))
                self._size = min(max(1, int(self._size * share)), _LARGEST_PART)
        finally:
            self._in_part = 0
        return self.result()


class _Sweeps:
    """The latest sweeps of all readers, by what they depend on."""

    def __init__(self) -> None:
        self._known: OrderedDict[SweepRequest, Sweep] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, request: SweepRequest, shared: SharedModel) -> Sweep:
        """The sweep of a request, new or known."""
        with self._lock:
            sweep = self._known.pop(request, None) or Sweep(request, shared)
            self._known[request] = sweep
            for old in [old for old, one in self._known.items() if not one.job.running and one is not sweep]:
                if len(self._known) <= _KEPT:
                    break
                del self._known[old]
            return sweep


@st.cache_resource(show_spinner=False)
def sweeps() -> _Sweeps:
    """The sweeps that are known, running or done."""
    return _Sweeps()
