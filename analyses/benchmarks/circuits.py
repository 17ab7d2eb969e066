"""Circuit discovery: all edges of a pair cut one by one, in one go and the plain way.

    python -m analyses.benchmarks.circuits [--model discrete-corrected] [--nodes 16] [--edges 12] [--json FILE]

Ours is :class:`interp.circuits.cut_runs.CutRuns`, all edges of a step at once; plain is one full run from step 0 for
every edge, of which ``--edges`` evenly spread ones are timed and the rest is taken to cost the same. The difference is
that of the metric over these. Printed too: the processor time of a whole tied and per-step discovery on the pair, exact
scores, curves, random circuits, rivals and schedule included."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from analyses.benchmarks.harness import Ratio, compare, report
from interp.causal.pairs import sample_pairs
from interp.circuits.discovery import discover
from interp.circuits.pair_runs import pair_runs
from interp.circuits.plain_cuts import measure_plainly
from interp.circuits.schedule import schedule
from models import load

TITLE = "edges of a step cut one by one"


def main(
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=2, max=128, help="Of the graphs.")] = 16,
    edges: Annotated[int, typer.Option(min=1, help="That are cut the plain way.")] = 12,
    json: Annotated[Path | None, typer.Option(help="Where to write the numbers.")] = None,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(1)
    loaded = load(model)
    runs = pair_runs(loaded, sample_pairs(1, "leaf-value", nodes, loaded.cfg.ops))
    (pair,) = runs.pairs
    n_edges = runs.shape[1]
    cuts = list(np.eye(n_edges, dtype=bool))
    some = [cuts[index] for index in np.linspace(0, n_edges - 1, min(edges, n_edges)).astype(int)]
    ours, plain = pair.measure(some), [measure_plainly(pair, cut) for cut in some]
    timed = compare(
        lambda: pair.measure(cuts), lambda: [measure_plainly(pair, cut) for cut in some], repeats=5, warmup=0
    )
    theirs = timed.theirs_s * n_edges / len(some)
    ratio = Ratio(timed.ours_s, theirs, theirs / timed.ours_s, timed.repeats)
    report(TITLE, {f"{n_edges} edges, tied": ratio}, float(np.abs(ours - plain).max()), json)
    begin = time.process_time()
    schedule(runs, discover(runs).kept)
    print(f"  a whole discovery: {time.process_time() - begin:.1f} s of processor time")


if __name__ == "__main__":
    typer.run(main)
