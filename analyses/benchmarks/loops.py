"""Looped models: many edited runs that leave out what is known, and the graph model as a loop beside its own ways.

    python -m analyses.benchmarks.loops [--json FILE] [--n-nodes 12] [--steps 8] [--patches 160] [--no-merging]

Patches of one pair, evenly spaced over those of a residual stream, a layer of heads, and the state, at every step and
position. Three ways, whose seconds are for one patch: `interp.run_edits`; the same where the loop's `key` is hidden, so
that rows go through steps together and nothing merges; and with `take` hidden too, one run from the edited step on for
each patch (of an eighth of the patches). A continuous model has no key: there nothing merges, and nothing may be lost.

`as a loop`, and alone with `--no-merging`: a whole run by `interp.run_loop` beside `model.run`, and a sweep by
`patch_sweep` of the loop, which goes through the graph model's engine, beside its own; the other analyses likewise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from analyses.benchmarks.harness import Ratio, compare, report
from analyses.options import writable
from interp import (
    GraphTask,
    Site,
    StepEdit,
    code_usage,
    collect,
    dynamics,
    logit_difference,
    make_pair,
    patch_sweep,
    run_edits,
    run_loop,
    step_lens,
)
from interp.loop.edits import Put
from models import ComputationGraph, as_loop, load
from models.compiled import make


class Hidden:
    """A loop some of whose members are not there."""

    def __init__(self, loop: Any, *hidden: str) -> None:
        self._loop, self._hidden = loop, hidden

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(name)
        return getattr(self._loop, name)


class Case:
    """The patches of one pair of inputs; `sites` and states are all swept."""

    def __init__(self, loop: Any, clean: Any, corrupt: Any, sites: Sequence[str], steps: int, n: int) -> None:
        self.loop, self.inputs = loop, corrupt
        self.base = run_loop(loop, corrupt, steps)
        whole = run_loop(loop, clean, steps, record=sites)
        self.edits: list[StepEdit] = []
        for name in [*sites, *self.base.states]:
            values = whole[name] if name in whole.states else whole.once(name)
            for step in range(steps):
                value = values[step]
                self.edits += [StepEdit(name, step, Put(value, at)) for at in range(value.shape[1])]
        self.n_patches = len(self.edits)
        self.edits = self.edits[:: max(1, self.n_patches // n)]

    def run(self, edits: Sequence[StepEdit], *hidden: str) -> list[float]:
        """A number of every patched run's end."""
        loop: Any = Hidden(self.loop, *hidden)
        return [_number(run.read) for run in run_edits(loop, self.base, edits)]


def _number(read: Any) -> float:
    return float(sum(logits.float().mean() for logits in read.values()))


def merged(case: Case, repeats: int) -> tuple[dict[str, Ratio], float]:
    """Ours beside ours without merging and without batches, a patch; the largest difference of their numbers."""
    some = case.edits[::8]
    found: dict[str, Ratio] = {}
    apart = 0.0
    for way, hidden in (("without merging", ("key",)), ("one run a patch", ("key", "take"))):
        both = [case.run(some), case.run(some, *hidden)]
        apart = max(apart, *(abs(one - other) for one, other in zip(*both, strict=True)))
        edits = case.edits if way == "without merging" else some
        ratio = compare(partial(case.run, case.edits), partial(case.run, edits, *hidden), repeats, warmup=1)
        ours, theirs = ratio.ours_s / len(case.edits), ratio.theirs_s / len(edits)
        found[way] = Ratio(ours, theirs, theirs / ours, repeats)
    return found, apart


def as_a_loop(name: str, n_nodes: int, steps: int, repeats: int) -> dict[str, Ratio]:
    """The graph model by the protocol of loops, beside its own run and sweep of as many patches."""
    model = load(name)
    loop = as_loop(model)
    pair = make_pair(ComputationGraph.sample(n_nodes, ops=model.vocabulary.ops, seed=0), "leaf-value", 0)
    clean, corrupt = (model.to_encoded(graph) for graph in (pair.clean, pair.corrupt))
    metric = logit_difference("value", clean.factors.shape[1] - 1, 1, 2)
    sites = Site.grid(model, pair.clean, "resid_pre", n_steps=steps, layer=[1])
    run = partial(run_loop, loop, clean, steps)

    def sweep() -> object:
        return patch_sweep(loop, clean, corrupt, ["1.resid_pre"], metric, steps, pos="each")

    def own() -> object:
        return patch_sweep(model, pair.clean, pair.corrupt, sites, n_steps=steps)

    return {
        f"{name}: run_loop / run": compare(run, lambda: model.run(clean, steps), repeats),
        f"{name}: sweep / engine": compare(sweep, own, repeats, warmup=1),
        **_observed(model, n_nodes, steps, repeats),
    }


def _observed(model: Any, n_nodes: int, steps: int, repeats: int) -> dict[str, Ratio]:
    """Analyses of a graph model on 8 graphs, as a loop beside its own; prints what either keeps of `resid_post`."""
    loop, task = as_loop(model), GraphTask(model.vocabulary, n_nodes)
    graphs = task.sample(8)
    labels = task.labels(graphs)
    kept = sum(
        array.nbytes for array in collect(model, graphs, "resid_post", n_steps=steps).activations.values()
    )
    sites = [site for site in loop.sites if site.endswith("resid_post")]
    run = run_loop(loop, graphs, steps, record=sites, read=False)
    whole = sum(tensor.nbytes for tensor in (*run.activations.values(), *run.states.values()))
    print(f"collected: {kept / 1e6:.2f} MB; a run of the loop: {whole / 1e6:.2f} MB")
    both: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "collect": (
            lambda: collect(loop, graphs, labels, n_steps=steps),
            lambda: collect(model, graphs, n_steps=steps),
        ),
        "step_lens": (
            lambda: step_lens(loop, graphs, steps, factor="value"),
            lambda: step_lens(model, graphs, steps),
        ),
        "code_usage": (
            lambda: code_usage(loop, graphs, steps, task=task),
            lambda: code_usage(model, graphs, steps),
        ),
        "dynamics": (lambda: dynamics(loop, graphs, steps), lambda: dynamics(model, graphs, steps)),
    }
    return {
        f"{name} / own": compare(ours, theirs, repeats, warmup=1) for name, (ours, theirs) in both.items()
    }


def main(
    json: Annotated[Path | None, typer.Option(help="Where to write the numbers.", callback=writable)] = None,
    n_nodes: Annotated[int, typer.Option(min=3, help="Nodes of the graphs.")] = 12,
    steps: Annotated[int, typer.Option(min=2, help="Length of all runs.")] = 8,
    repeats: Annotated[int, typer.Option(min=5, help="Interleaved repeats.")] = 5,
    patches: Annotated[int, typer.Option(min=8, help="Patches of a pair, about.")] = 160,
    merging: Annotated[bool, typer.Option(help="Also edited runs, with and without merging.")] = True,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(threads)
    ratios: dict[str, Ratio] = {}
    difference = 0.0
    cases: dict[str, Callable[[], Case]] = {
        name: partial(_graphs, name, n_nodes, steps, patches)
        for name in ("compiled", "discrete-corrected", "continuous")
    }
    cases["parity"] = partial(_parity, steps, patches)
    for name, made in cases.items() if merging else ():
        case = made()
        found, apart = merged(case, repeats)
        ratios |= {f"{name}, {way}": ratio for way, ratio in found.items()}
        difference = max(difference, apart)
        print(f"{name}: {len(case.edits)} of {case.n_patches} patches")
    ratios |= as_a_loop("discrete-corrected", n_nodes, steps, repeats)
    report(
        f"Edited runs of {steps} steps; seconds are for one patch, {threads} thread(s)",
        ratios,
        difference,
        json,
    )


def _graphs(name: str, n_nodes: int, steps: int, patches: int) -> Case:
    model = load(name)
    pair = make_pair(ComputationGraph.sample(n_nodes, ops=model.vocabulary.ops, seed=0), "leaf-value", 0)
    clean, corrupt = (model.to_encoded(graph) for graph in (pair.clean, pair.corrupt))
    return Case(as_loop(model), clean, corrupt, ["1.resid_pre", "1.z"], steps, patches)


def _parity(steps: int, patches: int) -> Case:
    return Case(make("parity"), ["1011011"], ["0011011"], ["0.resid_pre", "0.z"], steps, patches)


if __name__ == "__main__":
    typer.run(main)
