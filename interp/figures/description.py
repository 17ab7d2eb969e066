"""What a figure shows, in a sentence or two, for readers who cannot see it."""

from __future__ import annotations

import html
import re
from collections import Counter
from typing import Any, Final, cast

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

_KINDS: Final = {
    "heatmap": "heatmap",
    "bar": "bar chart",
    "histogram": "histogram",
    "box": "box plot",
    "scatter": "chart of lines and points",
    "scattergl": "chart of lines and points",
}
_NAMED: Final = 8
"""Series whose names are told."""


def description(figure: go.Figure, name: str = "") -> str:
    """Title, how to read it, kinds of charts, axes and series of a figure, as plain text.

    name: what it is called where it has no title.
    """
    traces: list[Any] = list(cast("Any", figure).data)
    own, reading = heading(figure)
    title = own or name
    kinds = Counter(_KINDS.get(trace.type, "chart") for trace in traces)
    if "heatmap" in kinds:  # what is drawn over it is a part of it
        kinds = Counter({"heatmap": kinds["heatmap"]})
    names = (_plain(trace.name) for trace in traces if trace.showlegend is not False)
    series = list(dict.fromkeys(name for name in names if name))
    parts = [
        f"Figure: {title}" if title else "Figure",
        reading,
        ", ".join(_count(number, kind) for kind, number in kinds.items()),
        _axes("Across", list(cast("Any", figure).select_xaxes())),
        _axes("Up", list(cast("Any", figure).select_yaxes())),
        _series(series),
    ]
    return " ".join(part if part[-1] in ".?!" else f"{part}." for part in parts if part)


def heading(figure: go.Figure) -> tuple[str, str]:
    """Title of a figure and how it is read, as plain text, each empty where there is none."""
    title: Any = cast("Any", figure).layout.title
    return _plain(title.text), _plain(title.subtitle.text)


def _count(number: int, kind: str) -> str:
    """Heatmaps are counted; what lies in one plot otherwise is one chart."""
    return f"{number} {kind}s" if number > 1 and kind == "heatmap" else kind.capitalize()


def _series(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"Series: {', '.join(names[:_NAMED])}{more}" if len(names) > 1 else ""


def _axes(where: str, axes: list[Any]) -> str:
    """The titles of all axes of a direction, and the labels of the first, from the first to the last."""
    titles = list(dict.fromkeys(text for axis in axes if (text := _plain(axis.title.text))))
    labels = [_plain(label) for label in (axes[0].ticktext if axes and axes[0].ticktext is not None else ())]
    ends = f"{labels[0]} to {labels[-1]}" if len(labels) > 1 else ""
    told = ": ".join(part for part in (", ".join(titles), ends) if part)
    return f"{where}: {told}" if told else ""


def _plain(text: object) -> str:
    """Text without tags and line breaks."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", str(text or "")))).strip()
