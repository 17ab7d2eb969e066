"""The log of a run, one JSON object per line, and the progress bar that shows its last record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from models.training.checkpoint import CheckpointError, write_atomically


class MissingExtraError(RuntimeError):
    """An optional package that was asked for is not installed; the message says how to install it."""


class Journal:
    """Appends records to `path`, and their numbers to TensorBoard in the folder `board` where given.

    A resumed run writes again what it repeats, so records after step `keep_until` are dropped first.

    Raises:
        MissingExtraError: `board` is given, and TensorBoard is not installed.
        CheckpointError: `path` cannot be written.
    """

    def __init__(self, path: Path, keep_until: int | None = None, board: Path | None = None) -> None:
        self._board: Any = None
        if board is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingExtraError(
                    "TensorBoard is not installed: pip install 'recurlens[train]'"
                ) from error
            self._board = SummaryWriter(str(board), purge_step=keep_until)
        kept: list[str] = []
        if keep_until is not None and path.exists():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) <= keep_until]
        text = "".join(f"{line}\n" for line in kept).encode()
        write_atomically(path, lambda file: file.write(text))
        try:
            self._file = path.open("a")
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; it is in the file when this returns.

        Raises:
            CheckpointError: it cannot be written, the disk is full for example.
        """
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise CheckpointError(f"cannot write {self._file.name}: {error.strerror or error}") from error
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush to disk and close.

        Raises:
            CheckpointError: what is left cannot be written.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise CheckpointError(f"cannot write {self._file.name}: {error.strerror or error}") from error
        if self._board is not None:
            self._board.close()


def _step_of(line: str) -> float:
    """The step of a record; a line that was cut off in the middle counts as later than any step."""
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


class Bar:
    """Progress bar with loss, accuracy on new nodes by number of operands, and sequences per second."""

    def __init__(self, description: str, quiet: bool = False) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=quiet, refresh_per_second=2)
        self._task = self._progress.add_task(description, total=1.0, status="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, progress: float, record: dict[str, Any]) -> None:
        """Show a log record at this progress (0..1)."""
        accuracy = " ".join(f"k{k}={record[f'k{k}']:.3f}" for k in (1, 2, 3))
        speed = f"{record['sequences_per_second']:.0f} seq/s"
        status = f"step {record['step']} loss {record['loss']:.4f} {accuracy} {speed}"
        self._progress.update(self._task, completed=progress, status=status)
