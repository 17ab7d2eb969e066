"""Results of studies as pages show them, and the latest of them in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from rich.table import Table

from dashboards.precomputed import Result

_KEPT = 32
"""Results that stay in memory."""


class Study(Protocol):
    """What an analysis returns."""

    def verdict(self) -> str: ...

    def table(self) -> Table: ...

    def to_frame(self) -> pd.DataFrame: ...

    def to_dict(self) -> dict[str, Any]: ...

    def figures(self) -> Mapping[str, go.Figure]: ...


def as_result(study: Study, figures: Mapping[str, go.Figure], begin: float) -> Result:
    """A study as it is shown and kept; begin: of its computation, on the clock `time.perf_counter`."""
    return Result(
        verdict=study.verdict(),
        summary=as_frame(study.table()),
        frame=study.to_frame(),
        data=study.to_dict(),
        figures=figures,
        seconds=time.perf_counter() - begin,
    )


def as_frame(table: Table) -> pd.DataFrame:
    """A rich table as one of pandas, of text."""
    return pd.DataFrame(
        {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    )


class _Results:
    """The latest results of all visitors, by their content."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Result | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: str, result: Result) -> None:
        with self._lock:
            self._results[key] = result
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)


@st.cache_resource(show_spinner=False)
def results() -> _Results:
    """The results that are in memory."""
    return _Results()
