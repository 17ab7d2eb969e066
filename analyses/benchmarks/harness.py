"""How all benchmarks measure: our way and the plain way in turn, several times, medians compared.

Absolute times depend on the machine and on what else it is doing; interleaving makes both ways suffer alike,
so the ratio is what counts. ``ratio`` is ``theirs / ours``: above 1 we are faster."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from analyses.options import writable
from models.files import write_text


def _use(threads: int) -> int:
    torch.set_num_threads(threads)
    return threads


JsonOption = Annotated[Path | None, typer.Option(help="Where to write the numbers.", callback=writable)]
ModelOption = Annotated[str, typer.Option(help="Name or path.")]
RepeatsOption = Annotated[int, typer.Option(min=5, help="Interleaved repeats.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of torch.", callback=_use)]


@dataclass(frozen=True)
class Ratio:
    """Medians of one comparison, in seconds, over ``repeats`` interleaved runs."""

    ours_s: float
    theirs_s: float
    ratio: float
    repeats: int


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int = 15, warmup: int = 2) -> Ratio:
    """Time ``ours`` and ``theirs`` in turn; their order swaps every time.

    Raises:
        ValueError: fewer than 5 repeats, from which no median worth quoting comes.
    """
    if repeats < 5:
        raise ValueError(f"repeats must be at least 5, got {repeats}")
    for _ in range(warmup):
        ours()
        theirs()
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(repeats):
        order = [("ours", ours), ("theirs", theirs)]
        for name, function in order if repeat % 2 else reversed(order):
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    ours_s, theirs_s = statistics.median(times["ours"]), statistics.median(times["theirs"])
    return Ratio(ours_s, theirs_s, theirs_s / ours_s, repeats)


def machine() -> dict[str, Any]:
    """What the numbers were measured on: kind of processor, threads, versions; no names."""
    return {
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def peak_mib() -> float:
    """Largest resident size of this process so far, in MiB.

    Of this program alone where the system tells (Linux): ``ru_maxrss`` starts at the peak of its parent.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def report(
    title: str,
    ratios: dict[str, Ratio],
    max_abs_diff: float,
    path: Path | None,
    memory: Mapping[str, float] | None = None,
) -> None:
    """Print one line per comparison; write ratios, difference, machine and ``memory`` as JSON if ``path`` is given."""
    print(title)
    for name, ratio in ratios.items():
        print(
            f"  {name:<28} ours {1e3 * ratio.ours_s:9.2f} ms   plain {1e3 * ratio.theirs_s:9.2f} ms   "
            f"ours/plain {1 / ratio.ratio:6.3f}   plain/ours {ratio.ratio:6.3f}"
        )
    print(f"  largest difference {max_abs_diff:.2e}")
    if path is not None:
        data = {
            "ratios": {name: asdict(ratio) for name, ratio in ratios.items()},
            "max_abs_diff": max_abs_diff,
            "machine": machine(),
            **({} if memory is None else {"memory": dict(memory)}),
        }
        write_text(path, json.dumps(data, indent=2) + "\n")
