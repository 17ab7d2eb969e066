"""Patch sweeps: the replay engine against TransformerLens's own sweep and against a plain loop.

    python -m analyses.benchmarks.patching [--json FILE] [--model discrete-corrected] [--scaling] [--full 128]

`resid_pre` over all steps x layers x positions and `z` over all steps x layers x positions x heads of one pair of
32-node graphs. TransformerLens sweeps the run unrolled to one deep model (`generic_activation_patch` on
`model.unrolled(n)`, one full forward for each patch); the plain loop runs the recurrent model once for each patch. Both
are timed on an evenly spaced sample of the sites, ours on all of them; what is compared is seconds per site.
`--scaling` adds how the cost grows with graph size, steps and sites; `--full N` times the whole step x position x head
sweep of one graph of N nodes and prints the peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from functools import partial, partialmethod
from statistics import median
from typing import Annotated, Any, cast
from unittest.mock import patch

import torch
import typer
from torch import Tensor
from tqdm import tqdm

from analyses.benchmarks.harness import JsonOption, ModelOption, Ratio, RepeatsOption, ThreadsOption, report
from interp import make_pair
from interp.causal.metrics import Answer, measure
from interp.causal.patching import patch_sweep, record_pair
from interp.engine.interventions import SetFrom
from interp.engine.replay import run_plainly
from interp.engine.sites import Site
from models import ComputationGraph, RecurrentTransformer, load

AXES = {"resid_pre": ("layer", "pos"), "z": ("layer", "pos", "head")}


class Case:
    """One pair of graphs and the three ways to sweep it. `names`: hook points whose sites are all swept."""

    def __init__(self, model: RecurrentTransformer, n_nodes: int, seed: int, sample: int) -> None:
        ops = model.vocabulary.ops
        pair = make_pair(ComputationGraph.sample(n_nodes, ops=ops, seed=seed), "leaf-value", seed)
        self.model, self.clean, self.corrupt = model, pair.clean, pair.corrupt
        self.source, self.base = record_pair(model, pair.clean, pair.corrupt)
        self.n_steps = self.source.n_steps
        ends = [run.trajectory.values[-1, 0] for run in (self.source, self.base)]
        self.nodes = [int(node) for node in (ends[0] != ends[1]).nonzero().flatten()]
        runs = self.source.trajectory, self.base.trajectory
        self.answer = Answer.of(*runs, self.nodes, self.n_steps)
        unpatched = patch_sweep(model, pair.clean, pair.corrupt, [], nodes=self.nodes, n_steps=self.n_steps)
        self.gap, self.untouched = abs(unpatched.clean - unpatched.corrupt), unpatched.corrupt
        self.sites = {name: Site.grid(model, pair.clean, name, n_steps=self.n_steps) for name in AXES}
        self.sampled = {name: sites[:: max(1, len(sites) // sample)] for name, sites in self.sites.items()}

    def ours(self, sites: Sequence[Site]) -> list[float]:
        """The metric after each patch, by the engine."""
        return patch_sweep(
            self.model, self.clean, self.corrupt, sites, nodes=self.nodes, n_steps=self.n_steps
        ).raw.tolist()

    def loop(self, sites: Sequence[Site]) -> list[float]:
        """One full run for each patch."""
        given = [SetFrom(site, self.source) for site in sites]
        return [
            measure("logit_diff", replay, self.answer)
            for replay in run_plainly(self.model, self.base, given, self.n_steps)
        ]

    def transformer_lens(self, name: str, sites: Sequence[Site]) -> list[float]:
        """TransformerLens's sweep over the unrolled run."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
        from transformer_lens import patching

        view = self.model.unrolled(self.n_steps)
        wanted = f"hook_{name}"
        with torch.no_grad():
            _, cache = view.run_with_cache(
                self.source.encoded.packed, names_filter=lambda hook: hook.endswith(wanted)
            )
        layers = self.model.cfg.n_layers
        index = pd.DataFrame(
            [
                [cast(int, site.step) * layers + cast(int, site.layer), site.pos, site.head][
                    : len(AXES[name])
                ]
                for site in sites
            ],
            columns=list(AXES[name]),
        )
        setter: Any = (
            patching.layer_pos_patch_setter
            if name == "resid_pre"
            else patching.layer_pos_head_vector_patch_setter
        )
        with torch.no_grad():
            found = patching.generic_activation_patch(
                cast(Any, view),
                self.base.encoded.packed,
                cast(Any, cache),
                self.metric,
                setter,
                name,
                index_df=index,
            )
        return cast(Tensor, found).tolist()

    def metric(self, logits: Tensor) -> Tensor:
        """`logit_diff` of :mod:`interp.causal.metrics`, from logits [batch, pos, d_vocab]."""
        at = self.base.encoded.rhs[0, self.nodes]
        values = logits[0, at][:, self.model.vocabulary.slice("value")]
        right, wrong = (values.gather(-1, end[:, None]) for end in (self.answer.clean, self.answer.corrupt))
        return (right - wrong).mean()


def quietly(function: Callable[[], list[float]]) -> list[float]:
    """TransformerLens draws a progress bar for every sweep; its drawing is not what is measured."""
    with patch.object(tqdm, "__init__", partialmethod(tqdm.__init__, disable=True)):
        return function()


def compared(case: Case, repeats: int) -> tuple[dict[str, Ratio], float]:
    """Ratios for each name and each other way, and the largest difference of a normalised effect.

    The three ways take turns; seconds are for one site.
    """
    ratios: dict[str, Ratio] = {}
    difference = 0.0
    for name in AXES:
        sampled = case.sampled[name]
        ways: dict[str, tuple[Callable[[], list[float]], int]] = {
            "ours": (partial(case.ours, case.sites[name]), len(case.sites[name])),
            "TransformerLens": (
                partial(quietly, partial(case.transformer_lens, name, sampled)),
                len(sampled),
            ),
            "plain loop": (partial(case.loop, sampled), len(sampled)),
        }
        everywhere = case.ours(case.sites[name])
        # Most patches change nothing, where agreement is no news: compare where the effect is largest, too.
        order = sorted(range(len(everywhere)), key=lambda i: -abs(everywhere[i] - case.untouched))
        strongest = [case.sites[name][i] for i in order[: len(sampled)]]
        theirs = quietly(partial(case.transformer_lens, name, strongest))
        for other in (theirs, case.loop(strongest)):
            difference = max(difference, *_apart([everywhere[i] for i in order], other, case.gap))
        mine = case.ours(sampled)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, (function, count) in ways.items():
                start = time.perf_counter()
                found = function()
                times[way].append((time.perf_counter() - start) / count)
                if way != "ours":
                    difference = max(difference, *_apart(mine, found, case.gap))
        ours = median(times["ours"])
        for way in ("TransformerLens", "plain loop"):
            theirs = median(times[way])
            ratios[f"{name}, {way}"] = Ratio(ours, theirs, theirs / ours, repeats)
    return ratios, difference


def _apart(ours: Sequence[float], theirs: Sequence[float], gap: float) -> list[float]:
    """Differences of normalised effects, for as many as there are of theirs."""
    return [abs(a - b) / gap for a, b in zip(ours, theirs, strict=False)]


def scaling(model: RecurrentTransformer, seed: int) -> None:
    """Print how the cost grows: with nodes (and with them steps), with steps alone, with the number of sites."""
    print("  nodes  positions  steps   sites     s      ms per site")
    for n_nodes in (8, 16, 32, 64, 128):
        case = Case(model, n_nodes, seed, 1)
        sites = Site.grid(model, case.clean, "resid_pre", n_steps=case.n_steps, layer=[1])
        _line(case, n_nodes, case.n_steps, sites)
    case = Case(model, 32, seed, 1)
    for steps in (1, 2, 4, case.n_steps):
        _line(case, 32, steps, Site.grid(model, case.clean, "resid_pre", n_steps=steps, layer=[1]))
    for count in (10, 100, 1000):
        sites = case.sites["resid_pre"]
        _line(case, 32, case.n_steps, sites[:: max(1, len(sites) // count)])


def _line(case: Case, n_nodes: int, steps: int, sites: Sequence[Site]) -> None:
    start = time.perf_counter()
    case.ours(sites)
    took = time.perf_counter() - start
    n_pos = int(case.base.encoded.mask.sum())
    print(f"  {n_nodes:5} {n_pos:10} {steps:6} {len(sites):7} {took:7.2f} {1e3 * took / len(sites):10.3f}")


def full(model: RecurrentTransformer, n_nodes: int, seed: int) -> None:
    """The whole step x layer x position x head sweep of one graph, with its time and the process's peak memory."""
    case = Case(model, n_nodes, seed, 1)
    sites = case.sites["z"]
    start = time.perf_counter()
    case.ours(sites)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  z of one {n_nodes}-node graph: {len(sites)} sites ({case.n_steps} steps) in {took:.0f} s, "
        f"{1e3 * took / len(sites):.2f} ms per site; peak memory of the process {peak:.2f} GB"
    )


def main(
    json: JsonOption = None,
    model: ModelOption = "discrete-corrected",
    repeats: RepeatsOption = 5,
    sample: Annotated[int, typer.Option(min=1, help="Sites on which the other ways are timed.")] = 40,
    threads: ThreadsOption = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the pair.")] = 0,
    with_scaling: Annotated[bool, typer.Option("--scaling", help="Also print how the cost grows.")] = False,
    full_nodes: Annotated[
        int | None, typer.Option("--full", min=8, help="Only: the z sweep of so many nodes.")
    ] = None,
) -> None:
    """Measure and print; see the module's text."""
    loaded = load(model)
    if full_nodes is not None:
        full(loaded, full_nodes, seed)
        return
    case = Case(loaded, 32, seed, sample)
    ratios, difference = compared(case, repeats)
    sizes = ", ".join(f"{len(sites)} sites of {name}" for name, sites in case.sites.items())
    report(
        f"Patching one pair of 32 nodes, {case.n_steps} steps, {sizes}; times are for one site, {threads} thread(s)",
        ratios,
        difference,
        json,
    )
    if with_scaling:
        scaling(loaded, seed)


if __name__ == "__main__":
    typer.run(main)
