"""Caching attention patterns against plain hooks: peak memory over what is kept, and time.

    python -m analyses.benchmarks.caching [--json FILE] [--graphs 64] [--steps 4] [--repeats 5] [--threads 1]

`hook_pattern` of all layers and steps of graphs of 32 nodes. The plain way is a hook on every such point that keeps its
detached tensor, gradients as torch has them unless told otherwise, and a stack over steps at the end. Memory is how
much the peak of a fresh process grows by over the loaded model and the encoded graphs, once for each way.
"""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from analyses.benchmarks.harness import (
    JsonOption,
    ModelOption,
    RepeatsOption,
    ThreadsOption,
    compare,
    peak_mib,
    report,
)
from models import ComputationGraph, RecurrentTransformer, load

NAME = "hook_pattern"
N_NODES = 32


class Case:
    """A model, encoded graphs, and the two ways to keep the patterns of their run."""

    def __init__(self, name: str, count: int, n_steps: int) -> None:
        self.model: RecurrentTransformer = load(name)
        vocabulary = self.model.vocabulary
        graphs = [
            ComputationGraph.sample(N_NODES, ops=vocabulary.ops, seed=seed, modulus=vocabulary.modulus)
            for seed in range(count)
        ]
        self.encoded, self.n_steps = self.model.to_encoded(graphs), n_steps

    def ours(self) -> dict[str, Tensor]:
        """`run_with_cache`."""
        _, cache = self.model.run_with_cache(self.encoded, names=NAME, n_steps=self.n_steps)
        return dict(cache)

    def plain(self) -> dict[str, Tensor]:
        """A hook, and a stack."""
        kept: dict[str, list[Tensor]] = defaultdict(list)

        def keep(activation: Tensor, hook: Any) -> None:
            kept[hook.plain_name].append(activation.detach())

        with self.model.hooks(fwd_hooks=[(lambda name: name.endswith(NAME), keep)]):
            self.model(self.encoded, n_steps=self.n_steps)
        return {name: torch.stack(activations) for name, activations in kept.items()}

    def difference(self) -> float:
        """The largest of any pattern."""
        ours, plain = self.ours(), self.plain()
        return max(float((ours[name] - plain[name]).abs().max()) for name in plain)


def _grown(way: str, name: str, count: int, n_steps: int, threads: int) -> tuple[float, float]:
    """MiB of the cache, and by how much the peak of this process grew."""
    torch.set_num_threads(threads)
    case = Case(name, count, n_steps)
    before = peak_mib()
    kept: dict[str, Tensor] = getattr(case, way)()
    size = sum(tensor.numel() * tensor.element_size() for tensor in kept.values()) / 2**20
    return size, peak_mib() - before


def memory(name: str, count: int, n_steps: int, threads: int) -> dict[str, float]:
    """MiB, each way in a fresh process."""
    found: dict[str, float] = {}
    for way in ("ours", "plain"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found["cache_mib"], found[f"{way}_mib"] = pool.apply(_grown, (way, name, count, n_steps, threads))
    return found


def main(
    json: JsonOption = None,
    model: ModelOption = "discrete-corrected",
    graphs: Annotated[int, typer.Option(min=1, help="Graphs of 32 nodes.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are run and kept.")] = 4,
    repeats: RepeatsOption = 5,
    threads: ThreadsOption = 1,
) -> None:
    """Measure and print; see the module's text."""
    peaks = memory(model, graphs, steps, threads)
    case = Case(model, graphs, steps)
    ratios = {NAME: compare(case.ours, case.plain, repeats, warmup=1)}
    title = f"patterns of {graphs} graphs of {N_NODES} nodes, {steps} steps, {threads} thread(s)"
    report(title, ratios, case.difference(), json, peaks)
    size = peaks["cache_mib"]
    for way in ("ours", "plain"):
        grown = peaks[f"{way}_mib"]
        print(
            f"  peak memory, {way:<6} {grown:9.1f} MiB, {grown / size:6.2f} times the {size:.1f} MiB that are kept"
        )


if __name__ == "__main__":
    typer.run(main)
