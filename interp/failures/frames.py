"""Columns and rows of tables, typed."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray


def column(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """One column as an array."""
    return cast(Any, frame)[name].to_numpy()


def flags(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """One column of truth values, [row]."""
    return column(frame, name).astype(bool)


def select(frame: pd.DataFrame, chosen: NDArray[Any]) -> pd.DataFrame:
    """The rows that are chosen, bool [row]."""
    return cast(pd.DataFrame, frame.loc[cast(Any, chosen)])
