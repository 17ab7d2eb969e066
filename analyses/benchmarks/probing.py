"""Collecting activations against the bare forward passes; its peak memory; fitting probes with one and two processes.

    python -m analyses.benchmarks.probing [--json FILE] [--graphs 256] [--repeats 5] [--threads 1]

`resid_post` of all layers at every right-hand side of every step. Two plain ways, on the same batches, encoded before
the clock starts, keep nothing and have no hooks: *every step* runs all graphs to the last step; *no repeats* leaves a
graph out once its state repeats, as collecting itself does. Ours makes the labels too. Bar: at least 0.8 of the
plain speed, that is plain/ours of 0.8. Peak memory is that of a fresh process, and what it grew by over the loaded
model and graphs, for so many graphs and for 8 times as many, kept in memory and streamed to a folder. Probes are fitted
to the first `--fit-graphs` graphs at three steps, controls included, by one process and by two.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import typer

from analyses.benchmarks.harness import (
    JsonOption,
    ModelOption,
    Ratio,
    RepeatsOption,
    ThreadsOption,
    peak_mib,
    report,
)
from interp import ActivationDataset, collect
from interp.data.labels import n_tokens
from interp.engine.walk import batches, walk
from interp.probing.probes import fit_probe_grid
from models import ComputationGraph, RecurrentTransformer, load

SITE = "resid_post"
N_NODES = 32
GROWTH = 8
FIT_STEPS = (1, 2, 3)
CHECKED = 16
"""How many graphs are compared with `run_with_cache`."""


def sampled(model: RecurrentTransformer, count: int) -> list[ComputationGraph]:
    """Graphs of 32 nodes."""
    return [
        ComputationGraph.sample(
            N_NODES, ops=model.vocabulary.ops, seed=seed, modulus=model.vocabulary.modulus
        )
        for seed in range(count)
    ]


class Case:
    """Graphs, their encoded batches, and the ways to run them."""

    def __init__(self, model: RecurrentTransformer, graphs: list[ComputationGraph], folder: Path) -> None:
        self.model, self.graphs, self.folder = model, graphs, folder
        plan = batches([n_tokens(graph) for graph in graphs])
        self.batches = [model.to_encoded([graphs[index] for index in batch]).factors for batch in plan]
        self.data = collect(model, graphs, SITE)
        self.n_steps = self.data.n_steps

    def every_step(self) -> None:
        """All graphs, all steps."""
        with torch.no_grad():
            for initial in self.batches:
                for _ in self.model.iterate(initial, self.n_steps):
                    pass

    def no_repeats(self) -> None:
        """All graphs until they repeat."""
        with torch.no_grad():
            for initial in self.batches:
                for _ in walk(self.model, initial, self.n_steps):
                    pass

    def in_memory(self) -> None:
        """Ours, kept in memory."""
        collect(self.model, self.graphs, SITE, n_steps=self.n_steps)

    def to_disk(self) -> None:
        """Ours, streamed."""
        collect(self.model, self.graphs, SITE, n_steps=self.n_steps, folder=self.folder)

    def difference(self) -> float:
        """Largest difference from `run_with_cache` of some graphs, one at a time, in both forms of the dataset."""
        stored = ActivationDataset.load(self.folder)
        largest = 0.0
        for number in range(min(CHECKED, len(self.graphs))):
            rows = (self.data.labels["graph"] == number).to_numpy()
            with torch.no_grad():
                _, cache = self.model.run_with_cache(
                    self.graphs[number], names=list(self.data.sites), positions="rhs", n_steps=self.n_steps
                )
            for site in self.data.sites:
                plain = cache[site][:, 0].numpy()
                for data in (self.data, stored):
                    largest = max(largest, float(np.abs(data.activations[site][:, rows] - plain).max()))
        return largest


def in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, the ways taking turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, function in ways.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in times.items()}


def collecting(case: Case, repeats: int) -> dict[str, Ratio]:
    """Both of ours against both plain ways."""
    ours = {"in memory": case.in_memory, "to disk": case.to_disk}
    plain = {"every step": case.every_step, "no repeats": case.no_repeats}
    seconds = in_turn({**ours, **plain}, repeats)
    return {
        f"{mine}, {other}": Ratio(seconds[mine], seconds[other], seconds[other] / seconds[mine], repeats)
        for other in plain
        for mine in ours
    }


def memory(
    name: str, count: int, n_steps: int | None, streamed: bool, threads: int
) -> tuple[float, float, float]:
    """MiB in a fresh process: before collecting, at its peak, and the size of the dataset."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (name, count, n_steps, streamed, threads))


def _peak(
    name: str, count: int, n_steps: int | None, streamed: bool, threads: int
) -> tuple[float, float, float]:
    torch.set_num_threads(threads)
    model = load(name)
    graphs = sampled(model, count)
    before = peak_mib()
    with tempfile.TemporaryDirectory() as parent:
        data = collect(
            model, graphs, SITE, n_steps=n_steps, folder=Path(parent) / "data" if streamed else None
        )
        return before, peak_mib(), data.n_bytes / 2**20


def print_memory(name: str, count: int, n_steps: int | None, threads: int) -> None:
    """Peaks for so many graphs and for 8 times as many."""
    print("  peak memory (RSS), MiB:     graphs    dataset     before       peak    grew by")
    grew: dict[tuple[bool, int], float] = {}
    for streamed in (False, True):
        for graphs in (count, GROWTH * count):
            before, peak, size = memory(name, graphs, n_steps, streamed, threads)
            grew[streamed, graphs] = peak - before
            where = "streamed to a folder" if streamed else "kept in memory"
            print(
                f"    {where:<22} {graphs:9} {size:10.1f} {before:10.1f} {peak:10.1f} {peak - before:10.1f}"
            )
    more = {streamed: grew[streamed, GROWTH * count] - grew[streamed, count] for streamed in (False, True)}
    print(
        f"    {GROWTH} times the graphs: {more[False]:.1f} MiB more in memory, {more[True]:.1f} MiB more streamed"
    )


def fitting(data: ActivationDataset, count: int, repeats: int) -> tuple[Ratio, float]:
    """Two processes against one, and the largest difference of what they found."""
    few = data.select(graph=range(count))
    steps = [step for step in FIT_STEPS if step < few.n_steps]
    fit = {jobs: partial(fit_probe_grid, few, steps=steps, jobs=jobs) for jobs in (1, 2)}
    fit[2]()  # the second process is started and imports what it needs
    seconds = in_turn({str(jobs): function for jobs, function in fit.items()}, repeats)
    found = [function().to_frame().select_dtypes("number").to_numpy() for function in fit.values()]
    apart = float(np.nanmax(np.abs(found[0] - found[1])))
    return Ratio(seconds["2"], seconds["1"], seconds["1"] / seconds["2"], repeats), apart


def main(
    json: JsonOption = None,
    model: ModelOption = "discrete-corrected",
    graphs: Annotated[int, typer.Option(min=8, help="Graphs of 32 nodes.")] = 256,
    fit_graphs: Annotated[int, typer.Option(min=8, help="Graphs that probes are fitted to.")] = 64,
    memory_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the runs whose memory is measured; default: all.")
    ] = None,
    repeats: RepeatsOption = 5,
    threads: ThreadsOption = 1,
) -> None:
    """Measure and print; see the module's text."""
    loaded = load(model)
    with tempfile.TemporaryDirectory() as parent:
        case = Case(loaded, sampled(loaded, graphs), Path(parent) / "data")
        ratios = collecting(case, repeats)
        difference = case.difference()
    ratios["fitting, 2 jobs against 1"], apart = fitting(case.data, fit_graphs, repeats)
    report(
        f"{graphs} graphs of {N_NODES} nodes, {case.n_steps} steps, {len(case.data.sites)} sites, {threads} thread(s); "
        f"probes of {min(fit_graphs, graphs)} graphs",
        ratios,
        max(difference, apart),
        json,
    )
    print_memory(model, graphs, memory_steps, threads)


if __name__ == "__main__":
    typer.run(main)
