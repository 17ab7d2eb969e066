"""One study over many graphs: spread over workers by joblib, results in order as they come.

Each worker computes with one thread and loads the model once. `loky` are processes and `threading` threads of this
machine; `ray` and `dask` are joblib's backends of these names and use a cluster where one is configured (RAY_ADDRESS,
DASK_SCHEDULER_ADDRESS), this machine otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from analyses.inputs import InputError, load_model

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

Item = TypeVar("Item")
Result = TypeVar("Result")

BACKENDS = {"loky": "joblib", "threading": "joblib", "ray": "ray", "dask": "distributed"}
"""Name of a backend -> the module it needs."""

_own = threading.local()


def check_backend(backend: str) -> None:
    """Raises InputError for an unknown backend, or one that is not installed."""
    if backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}: use one of {', '.join(BACKENDS)}.")
    if find_spec(BACKENDS[backend]) is None:
        installed = ", ".join(name for name, module in BACKENDS.items() if find_spec(module) is not None)
        raise InputError(
            f"Backend {backend!r} needs the package {BACKENDS[backend]!r} (pip install {BACKENDS[backend]}), which is "
            f"not installed here; installed: {installed}."
        )


def sweep_graphs(
    task: Callable[[RecurrentTransformer, Item], Result],
    items: Sequence[Item],
    model: str,
    jobs: int = 1,
    backend: str = "loky",
) -> Iterator[Result]:
    """`task(model, item)` for every item, in order; with `jobs` above 1 in that many workers.

    task, items and results must be picklable (a function of a module, or a partial of one). `model` is a name or path:
    every worker loads its own, and computes with one thread, so that the numbers do not depend on `jobs`. Results of
    `ray` come all at the end, those of the others one by one.

    Raises:
        InputError: a backend that is unknown or not installed. What `task` raises.
    """
    check_backend(backend)
    with _one_thread():
        if jobs == 1:
            for item in items:
                yield _work(task, model, item)
            return
        from joblib import Parallel, delayed

        with _registered(backend, jobs):
            workers = Parallel(n_jobs=jobs, return_as="list" if backend == "ray" else "generator")
            results: Any = workers(delayed(_work)(task, model, item) for item in items)
            yield from results


def _work(task: Callable[[RecurrentTransformer, Item], Result], model: str, item: Item) -> Result:
    """One item, in a worker; its model is kept for the next."""
    import torch

    torch.set_num_threads(1)
    if getattr(_own, "name", None) != model:
        _own.model, _own.name = load_model(model), model
    return task(_own.model, item)


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
def _registered(backend: str, jobs: int) -> Iterator[None]:
    """The backend as joblib's default, with a cluster to run on."""
    from joblib import parallel_config

    with ExitStack() as stack:
        if backend == "ray":
            from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]

            register_ray()
        if backend == "dask":
            import dask  # pyright: ignore[reportMissingImports]
            from distributed import Client  # pyright: ignore[reportMissingImports]

            elsewhere = dask.config.get("scheduler-address", None)
            local = (
                {} if elsewhere else {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
            )
            stack.enter_context(Client(**local))
        stack.enter_context(parallel_config(backend, n_jobs=jobs))
        yield
