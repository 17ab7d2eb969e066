"""The tables that commands print, and tables put together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def table_of(title: str, columns: Iterable[str], left: Collection[str] = ()) -> Table:
    """A rich table without rows. Columns of words are named in `left`; the others are numbers, to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def table_of_rows(
    title: str, header: str, cells: str, rows: Iterable[Mapping[str, Any]], left: str = ""
) -> Table:
    """A rich table with rows, drawn as in Markdown.

    header, cells: what stands above the columns, and the format of a row's cells, both parted by `|`, such as
    `"nodes | right"` and `"{n_nodes} | {right:.1%}"`. rows: fields by name. A cell without a number (None or nan) is
    empty. left: headers of columns of words, parted by `|`; the others are numbers, to the right.
    """
    formats = _parted(cells)
    table = table_of(title, _parted(header), _parted(left))
    for row in rows:
        table.add_row(*(filled(cell, row) for cell in formats))
    return table


def table_of_fields(title: str, rows: Sequence[Mapping[str, Any]], left: Collection[str] = ()) -> Table:
    """A rich table of rows as they are, under the names of their fields."""
    table = table_of(title, rows[0], left)
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    return table


def _parted(text: str) -> list[str]:
    return [part.strip() for part in text.split("|")]


def filled(text: str, row: Mapping[str, Any]) -> str:
    """The format with the fields of the row; empty where one of them is missing: None or nan."""
    cells = Formatter()
    fields = [cells.get_field(name, (), row)[0] for _, name, _, _ in cells.parse(text) if name]
    return "" if any(map(is_missing, fields)) else text.format_map(row)


def is_missing(value: Any) -> bool:
    """Whether a value is None or nan."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The lines of all tables, counted anew."""
    import pandas as pd

    return pd.concat(list(frames), ignore_index=True)
