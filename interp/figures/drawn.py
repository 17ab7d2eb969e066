"""The numbers that a figure draws, as one tidy table: for whoever wants to draw it again elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

_TAG: Final = re.compile(r"<[^<>]*>")
_OF_A_POINT: Final = ("x", "y", "text", "hovertext", "error_x", "error_y", "size")


def drawn_frame(figure: go.Figure) -> pd.DataFrame:
    """One row per point, bar or cell that the figure has, in the order in which they are drawn.

    ``trace``: name of the trace, or its number. ``type``: such as heatmap. ``panel``: its pair of axes (``x2y2``).
    ``x``, ``y``: as on the axes. ``z``: value of a cell. ``error_x``, ``error_y``: half-lengths of error bars.
    ``size``: of a marker, where markers differ. ``text``, ``hovertext``: as shown, without markup. Columns that no
    trace has are left out.
    """
    rows = [row for number, trace in enumerate(_traces(figure)) for row in _rows(trace, number)]
    return pd.DataFrame(rows)


def _traces(figure: go.Figure) -> Sequence[dict[str, Any]]:
    return [cast("dict[str, Any]", trace.to_plotly_json()) for trace in cast("Any", figure).data]


def _rows(trace: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    about = {
        "trace": plain(str(trace.get("name") or number)),
        "type": str(trace.get("type", "scatter")),
        "panel": f"{trace.get('xaxis', 'x')}{trace.get('yaxis', 'y')}",
    }
    if trace.get("z") is not None:
        yield from _cells(trace, about)
        return
    columns = {name: _column(trace, name) for name in _OF_A_POINT}
    given = {name: values for name, values in columns.items() if values is not None}
    length = max((len(values) for values in given.values()), default=0)
    for index in range(length):
        point = {name: _value(values[index]) for name, values in given.items() if index < len(values)}
        # A gap in a line is no point.
        if any(point.get(axis) is not None for axis in ("x", "y")):
            yield about | point


def _cells(trace: dict[str, Any], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    z = [list(line) for line in trace["z"]]
    wide = max((len(line) for line in z), default=0)
    x = _column(trace, "x") or list(range(wide))
    y = _column(trace, "y") or list(range(len(z)))
    texts = {name: trace[name] for name in ("text", "hovertext") if trace.get(name) is not None}
    for row, line in enumerate(z):
        for column, value in enumerate(line):
            cell = {"x": _value(x[column]), "y": _value(y[row]), "z": _value(value)}
            yield about | cell | {name: _value(text[row][column]) for name, text in texts.items()}


def _column(trace: dict[str, Any], name: str) -> list[Any] | None:
    if name.startswith("error_"):
        given = _part(trace, name).get("array")
    elif name == "size":
        given = _part(trace, "marker").get("size")
    else:
        given = trace.get(name)
    return None if given is None or isinstance(given, str) or np.ndim(given) == 0 else list(given)


def _part(trace: dict[str, Any], name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", trace.get(name) or {})


def _value(value: Any) -> Any:
    """A plain number or text; None for what is not there."""
    one: Any = cast("Any", value).item() if isinstance(value, np.generic) else value
    if one is None or (isinstance(one, float) and np.isnan(one)):
        return None
    return plain(one) if isinstance(one, str) else one


def plain(text: str) -> str:
    """Text of a figure without its markup, lines parted by ``; ``."""
    return _TAG.sub("", text.replace("<br>", "; ")).strip()
