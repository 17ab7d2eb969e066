"""The progress bar of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interp.progress import listening

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress_bar(
    what: str, total: int | None = None, quiet: bool = False
) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on stderr with one task, to be updated; it is shown where that is a terminal, unless quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        yield bar, bar.add_task(what, total=total)


@contextmanager
def share_bar(quiet: bool = False) -> Iterator[None]:
    """A bar that shows how much of the block is done, in percent, as `interp.progress` tells."""
    with (
        progress_bar("percent", 100, quiet) as (bar, task),
        listening(lambda share: bar.update(task, completed=round(100 * share))),
    ):
        yield
