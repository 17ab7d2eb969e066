"""The replay engine's constants, each at other values: what that does to the time.

    python -m analyses.benchmarks.replay_constants [--model discrete-corrected] [--nodes 32] [--repeats 5]

Every 8th patch of `z`, and changed values (`analyses.benchmarks.replay_modes`), in processor time of one thread. A
constant is set for as long as its line is measured, in turn with what stands in the code; a number above 1 says how
many times as long the job takes. Constants that decide what is granted to rounding (`ROUNDING`, `SAMPLE`, `TIE`,
`INFLATION`) are not swept: time is no reason to change them."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from statistics import median
from typing import Annotated
from unittest.mock import patch

import torch
import typer

from analyses.benchmarks.patching import Case
from analyses.benchmarks.replay_modes import Job, followed, jobs, timed
from interp import SetFrom
from interp.engine.sparse.tally import Tally
from models import RecurrentTransformer, load

PATCHES, CODES, MANY = "patches of z", "changed codes", "a fifth of the values"

OTHERS: list[tuple[str, str, str, tuple[float, ...]]] = [
    ("interp.engine.sparse.step", "LEAST", PATCHES, (6, 96)),
    ("interp.engine.sparse.step", "LEAST_OTHERS", CODES, (1, 24, 48)),
    ("interp.engine.sparse.step", "LEAST_OTHERS", MANY, (1,)),
    ("interp.engine.sparse.updates", "FEW", CODES, (1 / 32, 1 / 2)),
    ("interp.engine.following", "WASTE", CODES, (0.1, 0.6)),
    ("interp.engine.sparse.step", "FLOATS", PATCHES, (2**18, 2**22)),
    ("interp.engine.sparse.step", "MOST_HOPELESS", PATCHES, (0.1, 0.9)),
    ("interp.engine.sparse.certificate", "BISECTIONS", PATCHES, (6, 24)),
    ("interp.engine.sparse.attention", "SMALLEST_REST", PATCHES, (0.02, 0.5)),
    ("interp.engine.sparse.attention", "AT_ONCE", PATCHES, (2**20, 2**24)),
    ("interp.engine.replay", "BLOCK", PATCHES, (256, 4096)),
]
"""Module, constant, the job it matters to, and other values."""


def work(model: RecurrentTransformer, nodes: int) -> dict[str, list[Job]]:
    """The three jobs."""
    case = Case(model, nodes, 0, 1)
    patches = [SetFrom(site, case.source) for site in case.sites["z"][::8]]
    made = jobs(model, nodes)
    return {
        PATCHES: [(case.base, patches, case.n_steps)],
        **{name: made[name] for name in (CODES, MANY)},
    }


def main(
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=8, help="Of the graphs.")] = 32,
    repeats: Annotated[int, typer.Option(min=3, help="Interleaved repeats.")] = 5,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(1)
    loaded = load(model)
    given = work(loaded, nodes)
    for job in given.values():
        followed(loaded, job, "states", Tally())
    for module, name, which, values in OTHERS:
        run = partial(followed, loaded, given[which], "states", Tally())
        own: list[float] = []
        other: dict[float, list[float]] = {value: [] for value in values}
        for _ in range(repeats):
            own.append(timed(run))
            for value, times in other.items():
                with patch.object(import_module(module), name, value):
                    times.append(timed(run))
        stands = getattr(import_module(module), name)
        ratios = ", ".join(f"{value:g}: {median(times) / median(own):.2f}" for value, times in other.items())
        print(f"{name:<14} {stands:<10g} {which:<21} {ratios}", flush=True)


if __name__ == "__main__":
    typer.run(main)
