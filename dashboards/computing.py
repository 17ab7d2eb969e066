"""Long computations in the background: shared by the readers who ask for the same, watched, and left with Cancel.

A computation starts at once, so that a short one never waits for a long one. After some seconds of processor time it
is a long one, and goes on when one of the few places for those is free. Who waits is told so. It ends when every
reader has left it; what it found is given to all who wait for it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import streamlit as st
from torch.overrides import TorchFunctionMode

from dashboards import messages
from dashboards.again import run_again
from dashboards.chart_to_come import chart_to_come

T = TypeVar("T")
Progress = Callable[[int, int], None]

PATIENCE = 1.5
"""Seconds for which a page waits for a computation before it shows progress instead."""

ASK = 10.0
"""Seconds from which a page asks before it starts a computation that is expected to take so long."""

LONG = 3.0
"""Seconds of processor time after which a computation is a long one."""

_PLACES = 1
"""Long computations that go on at a time."""

_LEFT_ALONE = 120.0
"""Seconds after which a reader who does not look any more has left."""

_KEPT = 64
"""Computations that are remembered."""

_EVERY = 0.05
"""Seconds between two looks at whether a computation is to go on."""


class _StoppedError(BaseException):
    """Ends a computation that nobody waits for; no `except Exception` of a study may keep it alive."""


class _Places:
    """The places of long computations; who came first is first."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def take(self, who: object, check: Callable[[], None]) -> None:
        """Wait for a place; `check` is called meanwhile and may raise."""
        with self._changed:
            self._queue.append(who)
            try:
                while self._free == 0 or self._queue[0] is not who:
                    self._changed.wait(_EVERY)
                    check()
                self._free -= 1
            finally:
                self._queue.remove(who)
                self._changed.notify_all()

    def give_back(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def before(self, who: object) -> int:
        """How many wait before this one."""
        with self._changed:
            return self._queue.index(who) if who in self._queue else 0


class _Asking(TorchFunctionMode):
    """Asks before every operation of torch in this thread whether to go on."""

    def __init__(self, ask: Callable[[], None]) -> None:
        super().__init__()
        self._ask = ask

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._ask()
        return func(*args, **(kwargs or {}))


class Computation(Generic[T]):
    """One computation, and the thread that works on it.

    work: called with a function (done, total) that it may call. expected: seconds that it is likely to take, if known.
    seconds: that it took, once there is a result.
    """

    def __init__(self, work: Callable[[Progress], T], places: _Places, expected: float | None = None) -> None:
        self.result: T | None = None
        self.problem: str | None = None
        self.waiting = False
        self.seconds = 0.0
        self._work, self._places, self._expected = work, places, expected
        self._readers: dict[str, float] = {}
        self._done, self._total = 0, 0
        self._begin, self._asked, self._turns = 0.0, 0.0, 0.0
        self._has_place = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether a thread works on it."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def elapsed(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._begin

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1: as the study says, or by the time that such a one took; None: unknown."""
        if self._done and self._total:
            return min(1.0, self._done / self._total)
        if self._expected:
            return min(0.99, self.elapsed / self._expected)
        return None

    def words(self, rest: float | None = None) -> str:
        """What is going on, how long it has taken, and how long it may take yet; rest: seconds, where who asks knows
        better.
        """
        passed = f"{self.elapsed:.0f} s so far"
        if self.waiting:
            others = self._places.before(self)
            queue = f", {others} before this one" if others else ""
            return f"waiting for another reader's computation{queue}; {passed}"
        if rest is not None:
            return f"{passed}, about {rest:.0f} s more"
        share = self.share
        if not share:
            return f"{passed}; nothing to tell the rest by yet"
        if share >= 0.99 and not self._done:
            return f"{passed}, longer than the last of this kind"
        return f"{passed}, about {self.elapsed * (1 - share) / share:.0f} s more"

    def start(self, reader: str) -> None:
        """Work for a reader; what is at work or found already stays."""
        with self._lock:
            self._readers[reader] = time.monotonic()
            if self.running or self.result is not None:
                return
            self.problem, self._done, self._begin = None, 0, time.monotonic()
            self._thread = threading.Thread(target=self._run, name="computation", daemon=True)
            self._thread.start()

    def watch(self, reader: str) -> None:
        """A reader still looks."""
        if reader in self._readers:
            self._readers[reader] = time.monotonic()

    def leave(self, reader: str) -> None:
        """A reader does not want it any more; it ends when that is so of all."""
        self._readers.pop(reader, None)

    def wait(self, seconds: float) -> bool:
        """Wait for the thread, at most so long; whether it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running

    def _run(self) -> None:
        begin = time.thread_time()
        try:
            with _Asking(lambda: self._ask(begin)):
                result = self._work(lambda done, total: self._progress(begin, done, total))
            self.seconds, self.result = self.elapsed, result
        except _StoppedError:
            pass
        except Exception as error:  # a thread's traceback would reach nobody
            if not isinstance(error, ValueError):
                logging.getLogger(__name__).exception("a computation failed")
            self.problem = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        finally:
            self.waiting = False
            if self._has_place:
                self._has_place = False
                self._places.give_back()

    def _progress(self, begin: float, done: int, total: int) -> None:
        self._done, self._total = done, total
        self._ask(begin)

    def _ask(self, begin: float) -> None:
        now = time.monotonic()
        if now - self._asked < _EVERY:
            return
        self._asked = now
        self._check()
        if not self._has_place and time.thread_time() - begin > LONG:
            self.waiting = True
            self._places.take(self, self._check)
            self.waiting, self._has_place = False, True

    def _check(self) -> None:
        since = time.monotonic() - _LEFT_ALONE
        if not any(seen > since for seen in list(self._readers.values())):
            raise _StoppedError


class _Computations:
    """The latest computations of all readers, by what they depend on; `pace`: seconds for one of a kind's size."""

    def __init__(self) -> None:
        self.pace: dict[object, float] = {}
        self._known: OrderedDict[object, Computation[Any]] = OrderedDict()
        self._places = _Places(_PLACES)
        self._lock = threading.Lock()

    def of(self, key: object, work: Callable[[Progress], T], expected: float | None = None) -> Computation[T]:
        """The computation of a key, new or known."""
        with self._lock:
            found = self._known.pop(key, None) or Computation(work, self._places, expected)
            self._known[key] = found
            for old in [old for old, one in self._known.items() if not one.running and one is not found]:
                if len(self._known) <= _KEPT:
                    break
                del self._known[old]
            return found

    def new(self, work: Callable[[Progress], T]) -> Computation[T]:
        """One that is kept by who asks for it, and shares the places with all others."""
        return Computation(work, self._places)

    def expected(self, kind: object, size: float) -> float | None:
        """Seconds that one of a kind is likely to take, by the last of its kind; None where there was none."""
        return self.pace[kind] * size if kind in self.pace else None

    def begun(self, key: object) -> bool:
        """Whether the computation of a key is at work, or has ended in a way that no page has shown yet."""
        found = self._known.get(key)
        return found is not None and (found.running or found.problem is not None)

    def forget(self, key: object) -> None:
        """Let the computation of a key be made anew when it is asked for again."""
        with self._lock:
            self._known.pop(key, None)


@st.cache_resource(show_spinner=False)
def computations() -> _Computations:
    """The computations that are known, running or done."""
    return _Computations()


def reader() -> str:
    """The name of this visitor."""
    name: str = st.session_state.setdefault("reader", uuid.uuid4().hex)
    return name


def computed(
    place: str,
    key: object,
    work: Callable[[Progress], T],
    about: str,
    asked: bool = False,
    kind: object = None,
    size: float = 1.0,
    so_far: Callable[[], object] | None = None,
) -> T | None:
    """What `work` finds; None while it is at work, was cancelled or failed, which the page then shows.

    place: of the page, where a reader has one computation at a time. key: all that the result depends on. about: in
    words. asked: the reader has just asked for it, so that an earlier Cancel is forgotten. kind, size: the last of the
    same kind tells by its size how long it is likely to take. so_far: what there is of it before it has ended; the page
    is run again when that changes.
    """
    cancelled = f"{place} cancelled"
    if asked:
        st.session_state.pop(cancelled, None)
    if st.session_state.get(cancelled) == key:
        messages.info(f"Cancelled: {about}.")
        if not st.button("Compute", type="primary", key=f"{place}_again"):
            return None
        del st.session_state[cancelled]
    pace = computations().pace
    job = computations().of(key, work, computations().expected(kind, size))
    before: Computation[Any] | None = st.session_state.get(f"{place} computation")
    if before is not None and before is not job:
        before.leave(reader())
    st.session_state[f"{place} computation"] = job
    if job.problem is None:
        job.start(reader())
    ended = not job.running
    if not ended:
        with chart_to_come(), messages.spinner(f"{about[:1].upper()}{about[1:]} ..."):
            ended = job.wait(PATIENCE)
    if not ended:
        _progress_fragment(place, key, job, about, so_far, None if so_far is None else so_far())
        return None
    if job.problem is not None:
        messages.error(job.problem)
        computations().forget(key)
    elif kind is not None:
        pace[kind] = job.seconds / size
    return job.result


@st.fragment(run_every=0.5)
def _progress_fragment(
    place: str,
    key: object,
    job: Computation[Any],
    about: str,
    so_far: Callable[[], object] | None,
    drawn: object,
) -> None:
    """How far it is, and a button to leave it; the whole page is run again when it has ended, or found more than is
    drawn.
    """
    job.watch(reader())
    if not job.running or (so_far is not None and so_far() != drawn):
        run_again()
    left, right = st.columns([6, 1], vertical_alignment="center")
    messages.progress(job.share or 0.0, f"{about[:1].upper()}{about[1:]}: {job.words()}", left)
    if right.button("Cancel", key=f"{place}_cancel", width="stretch"):
        job.leave(reader())
        st.session_state[f"{place} cancelled"] = key
        st.rerun()
