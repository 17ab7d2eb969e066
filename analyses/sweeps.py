"""One study over many graphs: spread over workers by joblib, results in order, each kept on disk as it comes.

Each worker computes with one thread and loads the model once. `loky` are processes and `threading` threads of this
machine; `ray` and `dask` are joblib's backends of these names and use a running cluster where `address` says so, one
of this machine, made for the sweep, otherwise. The items of a worker that dies are computed again by another, and
loky's workers end when the process that they work for does, however it ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from analyses.inputs import InputError, bad_input, load_model

if TYPE_CHECKING:
    from analyses.kept import Kept, Storable
    from models.recurrent import RecurrentTransformer

Item = TypeVar("Item")
Result = TypeVar("Result")
Stored = TypeVar("Stored", bound="Storable")

BACKENDS = {"loky": "joblib", "threading": "joblib", "ray": "ray", "dask": "distributed"}
"""Name of a backend -> the module it needs."""
CLUSTERS = ("dask", "ray")
"""Backends that can use a running cluster."""
DEATHS = 3
"""Times in a row that workers may die without any result before the sweep is given up."""
WATCH_SECONDS = 0.5
CONNECT_SECONDS = 20
_CHUNK = 4
"""Items per job that are given to ray at once: its results come together."""

_own = threading.local()


class Spread(TypedDict, total=False):
    """On which workers a sweep runs, and where its results are kept; the options of the same names.

    jobs: 1, unless given. backend: loky. address: of a running cluster.
    out, resume: a folder that keeps every result as it is there, and whether to go on with those that it has
    (`analyses.kept`); the caller writes the table and then calls `analyses.kept.forget(out)`.
    """

    jobs: int
    backend: str
    address: str | None
    out: Path | None
    resume: bool


def check_backend(backend: str, address: str | None = None) -> None:
    """Raises InputError for an unknown backend, one that is not installed, or an address that it has no use for."""
    if backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}: use one of {', '.join(BACKENDS)}.")
    if find_spec(BACKENDS[backend]) is None:
        installed = ", ".join(name for name, module in BACKENDS.items() if find_spec(module) is not None)
        raise InputError(
            f"Backend {backend!r} needs the package {BACKENDS[backend]!r} (pip install {BACKENDS[backend]}), which is "
            f"not installed here; installed: {installed}."
        )
    if address is not None and backend not in CLUSTERS:
        raise InputError(
            f"--address {address} is that of a running cluster, and --backend is {backend!r}: it must be one of "
            f"{', '.join(CLUSTERS)}."
        )


def sweep_graphs(
    task: Callable[[RecurrentTransformer, Item], Result],
    items: Sequence[Item],
    model: str,
    jobs: int = 1,
    backend: str = "loky",
    address: str | None = None,
    kept: Kept[Any] | None = None,
) -> Iterator[Result]:
    """`task(model, item)` for every item, in order; with `jobs` above 1 in that many workers.

    task, items and results must be picklable (a function of a module, or a partial of one). `model` is a name or path:
    every worker loads its own, and computes with one thread, so that the numbers do not depend on `jobs`.

    address: a running cluster of dask (`tcp://host:8786`) or ray (`ray://host:10001`, `host:6379`, `auto`), whose
    machines must have this package and the model.
    kept: where results are kept; those that are there already are read, not computed.

    Raises:
        InputError: a backend that is unknown or not installed, a cluster that cannot be reached, workers that have
            other weights, or that keep dying. What `task` raises.
    """
    check_backend(backend, address)
    jobs = min(jobs, max(1, len(items)))
    known = frozenset[int]() if kept is None else kept.finished
    left = [index for index in range(len(items)) if index not in known]
    waiting: dict[int, Result] = {}
    with _one_thread():
        computed = _computed(task, items, left, model, jobs, backend, address)
        with closing(computed):
            for index in range(len(items)):
                while index not in known and index not in waiting:
                    done, result = next(computed)
                    if kept is not None:
                        kept.add(done, result)
                    waiting[done] = result
                yield kept.load(index) if kept is not None and index in known else waiting.pop(index)


def kept_sweep(
    task: Callable[[RecurrentTransformer, Item], Stored],
    items: Sequence[Item],
    model: str,
    kind: type[Stored],
    texts: Sequence[str],
    about: Mapping[str, Any],
    out: Path | None = None,
    resume: bool = False,
    **workers: Any,
) -> Iterator[Stored]:
    """As `sweep_graphs`, with results of a kind that are kept in the folder `out`, if there is one.

    texts: every item as text. about: what else the results depend on, as JSON values. workers: of :class:`Spread`.

    Raises:
        InputError: as `sweep_graphs` and `analyses.kept.Kept.begin`, and where `task` raises a ValueError.
    """
    from analyses.kept import keep_results

    kept = keep_results(out, resume, kind, model, texts, **about)
    with bad_input():
        yield from sweep_graphs(task, items, model, kept=kept, **workers)


def _computed(
    task: Callable[[RecurrentTransformer, Item], Result],
    items: Sequence[Item],
    left: Sequence[int],
    model: str,
    jobs: int,
    backend: str,
    address: str | None,
) -> Generator[tuple[int, Result], None, None]:
    """(index, result) of the items that are left, each as soon as it is there."""
    if not left:
        return
    digest = _load(model, None)
    if jobs == 1 and address is None:
        own = _own.model  # a sweep inside a task has a model of its own in its place
        for index in left:
            yield index, task(own, items[index])
        return
    waiting, fruitless = list(left), 0
    with _registered(backend, jobs, address):
        while waiting:
            # A list, for as long as ray cannot give its results one by one.
            given = waiting[: _CHUNK * jobs] if backend == "ray" else list(waiting)
            try:
                for index, result in _spread(task, items, given, model, digest, backend):
                    waiting.remove(index)
                    fruitless = 0
                    yield index, result
            except _deaths(backend) as error:
                fruitless += 1
                if fruitless == DEATHS:
                    raise InputError(
                        f"Workers of backend {backend!r} died {DEATHS} times in a row without a result (out of memory?)"
                        f": {error}"
                    ) from error


def _spread(
    task: Callable[[RecurrentTransformer, Item], Result],
    items: Sequence[Item],
    given: Sequence[int],
    model: str,
    digest: str,
    backend: str,
) -> Iterator[tuple[int, Result]]:
    from joblib import Parallel, delayed

    workers = Parallel(return_as="list" if backend == "ray" else "generator_unordered")
    results: Any = workers(delayed(_work)(task, model, digest, index, items[index]) for index in given)
    yield from results


def _work(
    task: Callable[[RecurrentTransformer, Item], Result], model: str, digest: str, index: int, item: Item
) -> tuple[int, Result]:
    """One item, in a worker; its model is kept for the next."""
    import torch

    torch.set_num_threads(1)
    found = _load(model, digest)
    if found != digest:
        raise InputError(
            f"A worker has other weights for the model {model!r}: give a path that is the same on all machines."
        )
    return index, task(_own.model, item)


def _load(model: str, digest: str | None) -> str:
    """Have the model of this thread be `model`, with weights of this digest if it can be; returns its digest."""
    from models.digests import model_digest

    if digest is None or getattr(_own, "known", None) != (model, digest):
        _own.model = load_model(model)
        _own.known = (model, model_digest(_own.model))
    return _own.known[1]


def watch_parent(parent: int) -> None:
    """End this worker when the process `parent` that started it is gone; called once, as it begins.

    Where a process keeps the number of its parent for ever (Windows), nothing is done.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def _deaths(backend: str) -> tuple[type[BaseException], ...]:
    """What is raised where a worker of the backend died."""
    if backend == "dask":
        from distributed import KilledWorker  # pyright: ignore[reportMissingImports]

        return (KilledWorker,)
    if backend == "ray":
        from ray.exceptions import RayActorError, WorkerCrashedError  # pyright: ignore[reportMissingImports]

        return (RayActorError, WorkerCrashedError)
    return (BrokenExecutor,)


@contextmanager
def _one_thread() -> Iterator[None]:
    import scipy.linalg  # noqa: F401  (the limit is on libraries that are loaded)
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    try:
        # Sums in numpy, scipy and scikit-learn depend on the number of threads in their last digits.
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)
        vars(_own).clear()


@contextmanager
def _registered(backend: str, jobs: int, address: str | None) -> Iterator[None]:
    """The backend as joblib's default, with a cluster to run on."""
    from joblib import parallel_config

    options: dict[str, Any] = {}
    with ExitStack() as stack:
        if backend == "loky":
            options = {
                "inner_max_num_threads": 1,
                "initializer": watch_parent,
                "initargs": (os.getpid(),),
            }
        if backend == "ray":
            stack.enter_context(_ray(jobs, address))
        if backend == "dask":
            stack.enter_context(_dask(jobs, address))
        stack.enter_context(parallel_config(backend, n_jobs=jobs, **options))
        yield


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    import ray  # pyright: ignore[reportMissingImports]
    from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]

    ours = not ray.is_initialized()
    if ours:
        here = {"num_cpus": jobs, "include_dashboard": False} if address is None else {"address": address}
        try:
            ray.init(log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise InputError(_unreachable("ray", address, error)) from error
    register_ray()
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[None]:
    import dask.config  # pyright: ignore[reportMissingImports]
    from distributed import Client  # pyright: ignore[reportMissingImports]

    elsewhere = address or dask.config.get("scheduler-address", None)
    try:
        if elsewhere:
            client = Client(elsewhere, timeout=CONNECT_SECONDS)
        else:
            client = Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
    except (OSError, ValueError) as error:
        raise InputError(_unreachable("dask", elsewhere, error)) from error
    with client:
        yield


def _unreachable(backend: str, address: str | None, error: Exception) -> str:
    where = "a cluster on this machine" if address is None else f"the cluster at {address}"
    return f"Backend {backend!r} cannot reach {where}: {' '.join(str(error).split())}"
