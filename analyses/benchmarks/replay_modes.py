"""The replay engine's three modes on everything that goes through it: time, what was computed, what differs.

    python -m analyses.benchmarks.replay_modes [--model discrete-corrected] [--nodes 32] [--json FILE]

Patch sweeps (every 4th site of `resid_pre`, every 16th of `z`), tied and per-step ablation of heads and MLPs,
cross-step patches of `resid_post`, and changed values: one in a run (`SetCode` at every right-hand side and step), or a
fifth of all values at once, as `recurlens evaluate --corrupt` changes them, with one run a graph. Processor time of one
thread, the modes in turn, medians; the first turn is not counted. `differ` counts (run, state, position) whose codes
are not those of "dense". What "checked" found in its audit stands in its tally."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from analyses.benchmarks.harness import Ratio, report
from analyses.benchmarks.patching import Case
from analyses.correction import corrupt_values
from analyses.options import writable
from interp import SetCode, SetFrom, SetValue, Site, record, run_interventions
from interp.causal.ablation import components, replacements
from interp.engine.interventions import Recording
from interp.engine.replay import Given, Replay
from interp.engine.sparse.tally import Exactness, Tally
from models import ComputationGraph, RecurrentTransformer, load

MODES: tuple[Exactness, ...] = ("dense", "states", "checked")
CORRUPT = 0.2

Job = tuple[Recording, Sequence[Given], int]
"""A run, what is done to it, and the length of all runs."""


def jobs(model: RecurrentTransformer, nodes: int, seed: int = 0) -> dict[str, list[Job]]:
    """What is replayed, by name."""
    case = Case(model, nodes, seed, 1)
    base, source, n_steps = case.base, case.source, case.n_steps
    zero = replacements("zero", [base], seed)
    conditions = [None, *range(n_steps)]
    ablations: list[Given] = [zero(one.site(step), 0) for one in components(model) for step in conditions]
    rhs = base.encoded.rhs[0].tolist()
    last = model.cfg.n_layers - 1
    crossed: list[Given] = [
        [SetFrom(Site("resid_post", j, last, pos), source, i) for pos in rhs]
        for i in range(n_steps)
        for j in range(n_steps)
    ]
    values = base.trajectory.values[:, 0]
    codes: list[Given] = [
        SetCode(step, f"rhs:{node}", "value", (int(values[step, node]) + 3) % model.cfg.modulus)
        for step in range(n_steps)
        for node in range(nodes)
    ]
    return {
        "patches of resid_pre": [(base, [SetFrom(s, source) for s in case.sites["resid_pre"][::4]], n_steps)],
        "patches of z": [(base, [SetFrom(s, source) for s in case.sites["z"][::16]], n_steps)],
        "ablations": [(base, ablations, n_steps)],
        "cross-step patches": [(base, crossed, n_steps)],
        "changed codes": [(base, codes, n_steps)],
        "a fifth of the values": [_corrupted(model, nodes, seed + number) for number in range(6)],
    }


def _corrupted(model: RecurrentTransformer, nodes: int, seed: int) -> Job:
    graph = ComputationGraph.sample(nodes, ops=model.vocabulary.ops, seed=seed)
    run = record(model, graph)
    step = run.n_steps // 2
    state = run.trajectory.states[step]
    drawn = torch.Generator().manual_seed(seed)
    changed, _ = corrupt_values(state, run.encoded, CORRUPT, model.cfg.modulus, drawn)
    return run, [SetValue(Site("state", step), changed[0])], run.n_steps


def followed(
    model: RecurrentTransformer, work: Iterable[Job], exact: Exactness, tally: Tally
) -> list[Replay]:
    """All of a job's runs."""
    return [
        replay
        for base, given, n_steps in work
        for replay in run_interventions(model, base, given, n_steps, None, exact=exact, tally=tally)
    ]


def differing(some: Sequence[Replay], others: Sequence[Replay]) -> tuple[int, int]:
    """(run, state, position) in which codes differ, and how many there are."""
    apart = [one.states != other.states for one, other in zip(some, others, strict=True)]
    return sum(int(each.any(-1).sum()) for each in apart), sum(each[..., 0].numel() for each in apart)


def timed(function: Callable[[], Any]) -> float:
    """Processor seconds."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(model: RecurrentTransformer, work: Mapping[str, list[Job]], repeats: int) -> dict[str, Ratio]:
    """Print a line for each job and mode; ratios are those of dense time to the mode's."""
    ratios: dict[str, Ratio] = {}
    for name, job in work.items():
        tallies = {exact: Tally() for exact in MODES}
        found = {exact: followed(model, job, exact, tallies[exact]) for exact in MODES}
        times: dict[Exactness, list[float]] = {exact: [] for exact in MODES}
        for _ in range(repeats):
            for exact in MODES:
                times[exact].append(timed(partial(followed, model, job, exact, Tally())))
        dense = median(times["dense"])
        for exact in MODES[1:]:
            took = median(times[exact])
            ratios[f"{name}, {exact}"] = Ratio(took, dense, dense / took, repeats)
            apart, compared = differing(found[exact], found["dense"])
            runs = sum(len(given) for _, given, _ in job)
            print(
                f"{name:<22} {exact:<8} {runs:5} runs {1e3 * dense / runs:7.2f} ms dense {1e3 * took / runs:7.2f} ms "
                f"{dense / took:5.2f} times; {apart} of {compared} differ\n    {tallies[exact]}",
                flush=True,
            )
    return ratios


def main(
    json: Annotated[Path | None, typer.Option(help="Where to write the numbers.", callback=writable)] = None,
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=8, help="Of the graphs.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repeats.")] = 5,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(1)
    loaded = load(model)
    ratios = compare(loaded, jobs(loaded, nodes), repeats)
    report(f"Replaying on {nodes} nodes, against exact='dense'", ratios, 0.0, json)


if __name__ == "__main__":
    typer.run(main)
