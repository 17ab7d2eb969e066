"""The compiled loops against their symbolic steps, on thousands of inputs and of states that no run comes to.

    python -m analyses.benchmarks.loop_steps [--loop NAME ...] [--inputs 1000] [--states 4] [--json FILE]

Of every input each step of its run, until nothing changes (the machine: 64 steps at most), and one step from each of
`--states` random states. A step is right when every factor shows the symbol of the oracle at every real position.
`lead`: the least by which a logit that should be the largest was larger than the next. Exit code 1 for a wrong step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
import typer
from torch import Tensor

from analyses.options import at_least, run_alone, writable
from models.compiled import loops, make
from models.files import write_text

BATCH = 50
SEED = 1_000


@torch.no_grad()
def agreement(name: str, inputs: int, states: int) -> dict[str, Any]:
    """Counts of one loop: ``steps`` that rows took, ``wrong`` ones, ``symbols``, the least ``lead``, ``seconds``."""
    loop: Any = make(name)
    start, counts = time.monotonic(), {"steps": 0, "wrong": 0, "symbols": 0}
    lead = float("inf")
    for batch in _batches(loop, inputs):
        state, context = loop.begin(batch)
        draw = torch.Generator().manual_seed(len(batch))
        symbols = loop.start(context)
        for step in range(loop.n_steps(batch) + 1):
            before, state = symbols, loop.step(state, step, context)
            symbols = loop.oracle_step(before, context)
            lead = min(lead, _judge(loop, state, symbols, context, counts))
            if all(torch.equal(symbols[factor], before[factor]) for factor in loop.factors):
                break
        for _ in range(states):
            symbols = loop.scramble(context, draw)
            state = loop.step(loop.embed(symbols, context), 0, context)
            lead = min(lead, _judge(loop, state, loop.oracle_step(symbols, context), context, counts))
    seconds = time.monotonic() - start
    return {"loop": name, "inputs": inputs, **counts, "lead": lead, "seconds": round(seconds)}


def _judge(loop: Any, state: Tensor, symbols: Any, context: Any, counts: dict[str, int]) -> float:
    """Counts rows, wrong ones and symbols; the least lead."""
    real, wrong, least = context.real, torch.zeros(len(state), dtype=torch.bool), float("inf")
    for factor, logits in loop.read(state, context).items():
        wrong |= ((logits.argmax(-1) != symbols[factor]) & real).any(1)
        own = logits.gather(-1, symbols[factor][..., None])[..., 0]
        next_best = logits.scatter(-1, symbols[factor][..., None], -torch.inf).amax(-1)
        least = min(least, float((own - next_best)[real].min()))
        counts["symbols"] += int(real.sum())
    counts["steps"] += len(state)
    counts["wrong"] += int(wrong.sum())
    return least


def _batches(loop: Any, n: int) -> Iterator[list[Any]]:
    """Random inputs, those of similar length together, so that little is padding."""
    inputs = sorted(loop.sample(n, SEED), key=lambda given: len(loop.tokens([given])[0]))
    for first in range(0, n, BATCH):
        yield inputs[first : first + BATCH]


def main(
    loop: Annotated[
        list[str] | None, typer.Option("--loop", help=f"One of {', '.join(loops())}; default: all.")
    ] = None,
    inputs: Annotated[int, typer.Option("--inputs", callback=at_least(1), help="Of each loop.")] = 1000,
    states: Annotated[int, typer.Option("--states", callback=at_least(0), help="Random ones, an input.")] = 4,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Where to write the table.", callback=writable),
    ] = None,
) -> None:
    """Print a line a loop."""
    unknown = [name for name in loop or () if name not in loops()]
    if unknown:
        raise typer.BadParameter(f"there is no loop {unknown[0]!r}; there are {', '.join(loops())}")
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in loop or loops():
        rows.append(agreement(name, inputs, states))
        print(json.dumps(rows[-1]), flush=True)
    frame: Any = pd.DataFrame(rows)
    print(frame.to_string(index=False))
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
    if any(row["wrong"] for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_alone(main)
