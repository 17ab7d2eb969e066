"""What the sources of an earlier commit take for the same work, in turn with these.

    python -m analyses.benchmarks.commits ae7f864 [--json FILE] [--turns 3] [--repeats 3]

The commit is checked out into a temporary folder and runs with the packages that are installed here. Work is asked
for by public names alone: a step of 16 graphs of 32 nodes, without hooks and with everything cached; a sweep of
`resid_pre` at every place of one pair of 32-node graphs, and of an eighth of the heads' `z`; `resid_post` of 64
graphs collected, and probes fitted to 16 of them, with the bundled `discrete-corrected`. Measured is processor time
on one thread, the median of a process's repeats (15 times as many of a step) and of the turns, and by how much
activations, effects and accuracies differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from analyses.benchmarks.harness import Ratio, report
from analyses.options import writable

ROOT = Path(__file__).parents[2]
WORK = """
import json, statistics, sys, time

import torch

from interp import Site, collect, fit_probes, make_pair, patch_sweep
from models import ComputationGraph, load

torch.set_num_threads(1)
repeats = int(sys.argv[1])
model = load("discrete-corrected")
graphs = [ComputationGraph.sample(32, seed=seed) for seed in range(64)]
state = model.to_encoded(graphs[:16]).factors
tokens = model.vocabulary.pack(state)
view = model.at_step(0)
pair = make_pair(graphs[0], "leaf-value", 0)
grid = {name: Site.grid(model, pair.clean, name, n_steps=10) for name in ("resid_pre", "z")}


def sweep(sites):
    return patch_sweep(model, pair.clean, pair.corrupt, sites, n_steps=10).raw.tolist()


def probes():
    grid = fit_probes(model, graphs[:16], sites=["resid_post"], steps=[1, 2], folds=3, seed=0)
    return grid.to_frame()["accuracy"].tolist()


work = {
    "step, no hooks": lambda: model.transition(state).mean((0, 1)).tolist(),
    "step, everything cached": lambda: view.run_with_cache(tokens)[0].mean((0, 1)).tolist(),
    "sweep of resid_pre": lambda: sweep(grid["resid_pre"]),
    "sweep of z": lambda: sweep(grid["z"][::8]),
    "collecting resid_post": lambda: [float(collect(model, graphs, "resid_post").n_bytes)],
    "fitting probes": probes,
}
found = {}
for name, function in work.items():
    with torch.no_grad() if name.startswith("step") else torch.enable_grad():
        values, seconds = None, []
        for _ in range(15 * repeats if name.startswith("step") else repeats):
            begin = time.process_time()
            values = function()
            seconds.append(time.process_time() - begin)
    found[name] = [statistics.median(seconds), values]
json.dump(found, sys.stdout)
"""


def measured(tree: Path, repeats: int) -> dict[str, Any]:
    """Name of a work -> seconds and what was found, by the sources in a folder. Raises CalledProcessError."""
    command = [sys.executable, "-c", WORK, str(repeats)]
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=1800
    )
    return json.loads(run.stdout)


def main(
    commit: Annotated[str, typer.Argument(help="What to compare with.")],
    json: Annotated[Path | None, typer.Option(callback=writable, help="Also write here.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="Processes of each.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="In each process.")] = 3,
) -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory() as parent:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", parent], check=True, input=archive.stdout)
        trees = {"here": ROOT, "there": Path(parent)}
        runs = {tree: [measured(path, repeats)] for tree, path in trees.items()}
        for _ in range(turns - 1):
            for tree, path in trees.items():
                runs[tree].append(measured(path, repeats))
    ratios: dict[str, Ratio] = {}
    difference = 0.0
    for name in runs["here"][0]:
        here, there = (median(run[name][0] for run in runs[tree]) for tree in trees)
        ratios[name] = Ratio(here, there, there / here, turns * repeats)
        one, other = (np.array(runs[tree][0][name][1]) for tree in trees)
        difference = max(difference, float(np.nanmax(np.abs(one - other))))
    report(f"here against {commit} (plain), in processor time", ratios, difference, json)


if __name__ == "__main__":
    typer.run(main)
