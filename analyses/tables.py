"""The tables that commands print."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table_of(title: str, columns: Iterable[str], left: Collection[str] = ()) -> Table:
    """A rich table without rows. Columns of words are named in `left`; the others are numbers, to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table
