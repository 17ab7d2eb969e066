"""Hostile input to everything that reads any: texts, options, files and checkpoints.

    python -m analyses.benchmarks.hostile [--texts 100000] [--options 10000] [--files 5000] [--checkpoints 1000]
        [--seed 0] [--jobs 2] [--json FILE]

Every case is drawn from the seed and its number alone (`analyses.benchmarks.hostility`). It has to be read, or refused
with the documented error: a `GraphError`, `ConfigError` or `CheckpointError`, and for a command exit code 2 with one
printable message on stderr. Bars: no other exception, no exit code that is not documented, and no case that takes more
than 2 s of processor time over what the same takes with ordinary input. Accepted checkpoints were loaded although they
are damaged. Each worker is a process of its own with at most 3 GiB of memory; exit code 1 where a bar is missed.
"""

from __future__ import annotations

import json as json_module
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from analyses.benchmarks.harness import machine
from analyses.benchmarks.hostility.checkpoints import damaged_checkpoint
from analyses.benchmarks.hostility.commands import hostile_option
from analyses.benchmarks.hostility.files import hostile_file
from analyses.benchmarks.hostility.judge import Generator, Tally, judge, limit_memory
from analyses.benchmarks.hostility.texts import hostile_text
from analyses.options import at_least, run_alone, wide_console
from models.files import write_text

KINDS: dict[str, Generator] = {
    "texts": hostile_text,
    "options": hostile_option,
    "files": hostile_file,
    "checkpoints": damaged_checkpoint,
}
"""Kind of case -> how one is drawn."""
CHUNK = {"texts": 2500, "options": 250, "files": 250, "checkpoints": 125}
"""Cases that a worker is given at once."""


def run_kinds(counts: Mapping[str, int], seed: int = 0, jobs: int = 2) -> list[Tally]:
    """The cases 0..count-1 of every kind, in `jobs` processes. A process that dies counts as one wrong answer."""
    tallies = {kind: Tally(kind) for kind, count in counts.items() if count}
    chunks = [
        (kind, range(start, min(start + CHUNK[kind], counts[kind])))
        for kind in tallies
        for start in range(0, counts[kind], CHUNK[kind])
    ]
    for part in _parts(chunks, seed, jobs):
        tallies[part.kind].add(part)
    return list(tallies.values())


def _parts(chunks: list[tuple[str, range]], seed: int, jobs: int) -> Iterator[Tally]:
    """What became of every chunk. Workers go from kind to kind, since most of what one costs is its imports."""
    context = get_context("spawn")
    while chunks:
        left = list(chunks)
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=limit_memory) as pool:
            running = {pool.submit(judge_apart, kind, seed, chunk): (kind, chunk) for kind, chunk in chunks}
            try:
                for done in as_completed(running):
                    yield done.result()
                    left.remove(running[done])
            except BrokenProcessPool:
                kind, died = left.pop(0)  # the others are run again
                found = f"{kind}: a process died, about at the cases {died.start} to {died.stop - 1}"
                yield Tally(kind, wrong=1, findings=[found])
        chunks = left


def judge_apart(kind: str, seed: int, indices: range) -> Tally:
    """`judge` in a temporary folder, which the cases may leave."""
    with tempfile.TemporaryDirectory(prefix="hostile") as folder, chdir(Path.cwd()):
        return judge(kind, KINDS[kind], seed, indices, Path(folder))


def table(tallies: list[Tally]) -> Table:
    """A rich table, a row per kind."""
    shown = Table(title="Hostile input", title_justify="left")
    columns = ("kind", "cases", "refused", "accepted", "wrong", "hangs", "slowest, s", "processor, s")
    for name in columns:
        shown.add_column(name, justify="left" if name == "kind" else "right")
    for tally in tallies:
        counts = (tally.cases, tally.refused, tally.accepted, tally.wrong, tally.hangs)
        shown.add_row(tally.kind, *map(str, counts), f"{tally.slowest:.2f}", f"{tally.seconds:.0f}")
    return shown


def main(
    texts: Annotated[int, typer.Option(callback=at_least(0), help="Hostile texts.")] = 100_000,
    options: Annotated[int, typer.Option(callback=at_least(0), help="Hostile values of options.")] = 10_000,
    files: Annotated[int, typer.Option(callback=at_least(0), help="Hostile files.")] = 5_000,
    checkpoints: Annotated[int, typer.Option(callback=at_least(0), help="Damaged checkpoints.")] = 1_000,
    seed: Annotated[int, typer.Option(callback=at_least(0), help="Seed of all cases.")] = 0,
    jobs: Annotated[int, typer.Option(callback=at_least(1, 64), help="Processes at the same time.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Where to write the numbers.")] = None,
) -> None:
    """Throw hostile input at the toolkit and count what is answered wrongly; see the module's text."""
    counts = {"texts": texts, "options": options, "files": files, "checkpoints": checkpoints}
    tallies = run_kinds(counts, seed, jobs)
    console = wide_console()
    console.print(table(tallies))
    for tally in tallies:
        for finding in tally.findings:
            console.print(finding, soft_wrap=True)
    if json is not None:
        data: dict[str, Any] = {tally.kind: tally.to_dict() for tally in tallies}
        write_text(json, json_module.dumps({"hostile": data, "machine": machine()}, indent=2) + "\n")
    if any(tally.wrong or tally.hangs for tally in tallies):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_alone(main)
