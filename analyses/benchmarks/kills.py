"""Trainings and sweeps that are killed while they write, and resumed: does anything differ from a run in one piece?

    python -m analyses.benchmarks.kills [--trainings 100] [--sweeps 30] [--with-workers 6] [--json FILE]

A kill is SIGKILL before the k-th file operation (open for writing, flush, rename, delete, ...) of the run in its output
folder, k spread over all of them; every third run is killed again while it is resumed. A training must end with the
same model, checkpoint, configuration and snapshots, bit for bit, and the same log, but for the times in it. A sweep
must end with the same table, and none of its workers may be alive afterwards. Each run is a fork of this process, so
that nothing is imported twice; the workers of a sweep are new processes, which takes a few seconds each, so only
`--with-workers` of the sweeps have them. Needs Linux. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses.options import at_least, run_alone, wide_console, writable
from models.files import write_text

VARYING = ("seconds", "sequences_per_second", "took")
"""What a training's log says about time."""
MARK = "RECURLENS_KILLS"
"""In the environment of a sweep and its workers, so that they are found."""
PATIENCE = 20.0
"""Seconds after which a worker that is alive counts as left behind."""
PAIRS = 8


@dataclass(frozen=True)
class Score:
    """killed: runs that were killed, twice those of `killed_twice`. equal: how many ended as if nothing had happened.

    operations: file operations of a run in one piece. left_behind: workers that outlived their sweep.
    """

    runs: int
    killed: int
    killed_twice: int
    equal: int
    operations: int
    left_behind: int
    seconds: float


class FileOperations:
    """Counts the file operations of this process in a folder, and kills it at one of them. For a forked process: what
    it hooks into stays hooked.
    """

    EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.truncate")

    def __init__(self, folder: Path, kill_at: int | None) -> None:
        self.folder, self.kill_at, self.count = str(folder), kill_at, 0

    def watch(self) -> None:
        """Count from now on."""
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            self._happens()
            flush(descriptor)

        os.fsync = fsync
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and str(arguments[0]).startswith(self.folder):
                self._happens()
        elif event in self.EVENTS and any(str(part).startswith(self.folder) for part in arguments):
            self._happens()

    def _happens(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], object], folder: Path, kill_at: int | None) -> int | None:
    """Do `work` in a fork of this process, which dies at file operation `kill_at` in `folder`.

    Returns the number of its file operations; None where it was killed.

    Raises:
        RuntimeError: the work failed; its traceback is on stderr.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(reader)
            operations = FileOperations(folder, kill_at)
            operations.watch()
            work()
            os.write(writer, str(operations.count).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        counted = answer.read()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"a run in {folder} failed with status {os.waitstatus_to_exitcode(status)}")
    return int(counted)


def spread(count: int, operations: int) -> list[int]:
    """`count` file operations, 1..operations, as evenly as can be."""
    return [1 + (index * operations) // count % operations for index in range(count)]


def kill_trainings(count: int, folder: Path) -> Score:
    """Kill that many trainings of the smoke preset, resume and compare each."""
    from models.training.trainer import CHECKPOINT, Trainer

    config = _training()

    def train(out: Path) -> None:
        # A run that was killed before its first checkpoint has nothing to resume.
        Trainer(config, out, resume=(out / CHECKPOINT).exists(), quiet=True).run()

    # What torch imports on first use is there before the forks. No backward pass: its threads do not survive a fork.
    Trainer(config, folder / "warm", quiet=True).save()
    began = time.monotonic()
    whole = folder / "whole"
    operations = forked(lambda: train(whole), whole, None) or 0
    expected = contents_of(whole)
    equal = twice = killed = 0
    for index, kill_at in enumerate(spread(count, operations)):
        out = folder / f"cut{index}"
        killed += forked(lambda out=out: train(out), out, kill_at) is None
        if index % 3 == 0:
            twice += forked(lambda out=out: train(out), out, 1 + index % 11) is None
        forked(lambda out=out: train(out), out, None)
        equal += contents_of(out) == expected
        shutil.rmtree(out)
    return Score(count, killed, twice, equal, operations, 0, time.monotonic() - began)


def _training() -> Any:
    from models.training.curriculum import Phase
    from models.training.presets import training_config

    phases = tuple(
        Phase(name=name, sizes=(4, 5), leaves=(3, 3), tokens=100, attention_noise=noise, latest=0.5)
        for name, noise in (("first", 0.1), ("second", 0.5))
    )
    often = {"checkpoint_steps": 3, "validate_steps": 4, "validation_sizes": (5,), "validation_graphs": 1}
    return training_config(
        "discrete", "smoke", steps=9, phases=phases, ema=0.9, snapshots=3, warmup=2, **often
    )


def contents_of(out: Path) -> dict[str, Any]:
    """Everything in the folder of a training that does not depend on the clock, as comparable values."""
    from safetensors.torch import load

    from models.training.checkpoint import load_checkpoint

    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{k: v for k, v in record.items() if k not in VARYING} for record in records]
        elif path.suffix == ".pt":
            found[name] = plain({k: v for k, v in load_checkpoint(path).items() if k not in VARYING})
        elif path.parent.name == "snapshots":
            found[name] = plain(load(path.read_bytes()))
        elif path.suffix == ".sha256":
            found[name] = [line.split()[1] for line in path.read_text().splitlines()]
        else:
            found[name] = path.read_bytes()
    return found


def plain(value: Any) -> Any:
    """Tensors, however deep, as bytes."""
    import torch

    if isinstance(value, torch.Tensor):
        return tuple(value.shape), str(value.dtype), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def kill_sweeps(count: int, with_workers: int, folder: Path) -> Score:
    """Kill that many sweeps of pairs, the first `with_workers` of them with two workers; resume and compare each."""
    from analyses.kept import FOLDER, forget
    from analyses.patching import Where, patch
    from interp.causal.pairs import sample_pairs
    from models.compiled import compile_model

    compile_model(("ADD",), modulus=5, n_variables=16).save_pretrained(folder / "model")
    pairs = [(p.clean, p.corrupt) for p in sample_pairs(PAIRS, "leaf-value", 6, modulus=5, n_variables=16)]
    where = Where(positions="rhs")

    def sweep(out: Path, jobs: int) -> None:
        resume = (out / FOLDER / "about.json").exists()
        result = patch(pairs, where, model=str(folder / "model"), jobs=jobs, out=out, resume=resume)
        write_text(out / "table.csv", result.frame.to_csv(index=False))
        forget(out)

    began = time.monotonic()
    token = uuid.uuid4().hex
    os.environ[MARK] = token
    whole = folder / "whole"
    operations = forked(lambda: sweep(whole, 1), whole, None) or 0
    expected = contents_of(whole)
    equal = twice = killed = left_behind = 0
    for index, kill_at in enumerate(spread(count, operations)):
        out = folder / f"cut{index}"
        jobs = 2 if index * with_workers // count != (index + 1) * with_workers // count else 1
        killed += forked(lambda out=out, jobs=jobs: sweep(out, jobs), out, kill_at) is None
        left_behind += workers_left(token)
        if index % 3 == 0:
            twice += forked(lambda out=out: sweep(out, 1), out, 1 + index % 5) is None
        forked(lambda out=out: sweep(out, 1), out, None)
        equal += contents_of(out) == expected
        shutil.rmtree(out)
    del os.environ[MARK]
    return Score(count, killed, twice, equal, operations, left_behind, time.monotonic() - began)


def workers_left(token: str) -> int:
    """Processes with this mark that are alive although what they work for is not; waits for `PATIENCE` at most."""
    mark = f"{MARK}={token}".encode()
    until = time.monotonic() + PATIENCE
    while True:
        alive = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                alive += mark in path.read_bytes().split(b"\0")
            except OSError:
                continue
        if alive == 0 or time.monotonic() > until:
            return alive
        time.sleep(0.1)


def main(
    trainings: Annotated[int, typer.Option("--trainings", callback=at_least(1), help="To kill.")] = 100,
    sweeps: Annotated[int, typer.Option("--sweeps", callback=at_least(1), help="To kill.")] = 30,
    with_workers: Annotated[
        int, typer.Option("--with-workers", callback=at_least(0), help="Sweeps that have two workers.")
    ] = 6,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Where to write the numbers.", callback=writable),
    ] = None,
) -> None:
    """Kill, resume, compare; print a table."""
    from rich.table import Table

    import models.training.trainer  # noqa: F401  (before the forks, so that each need not import it)
    from analyses.benchmarks.harness import machine

    scores: dict[str, Score] = {}
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        scores["training"] = kill_trainings(trainings, folder / "trainings")
        scores["sweep"] = kill_sweeps(sweeps, min(with_workers, sweeps), folder / "sweeps")
    table = Table(title="Killed at a file operation, and resumed", title_justify="left")
    titles = (
        "what", "runs", "killed", "killed twice", "equal", "operations a run", "workers left", "seconds",
    )  # fmt: skip
    for title in titles:
        table.add_column(title, justify="left" if title == "what" else "right")
    for kind, score in scores.items():
        *counts, seconds = asdict(score).values()
        table.add_row(kind, *map(str, counts), f"{seconds:.0f}")
    wide_console().print(table)
    if json_file is not None:
        data = {kind: asdict(score) for kind, score in scores.items()} | {"machine": machine()}
        write_text(json_file, json.dumps(data, indent=2) + "\n")
    if any(score.equal != score.runs or score.left_behind for score in scores.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_alone(main)
