"""A figure in words."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from interp.figures.description import description
from interp.figures.template import title_of


@pytest.mark.parametrize(
    ("traces", "layout", "expected"),
    [
        (
            [
                {"type": "heatmap", "z": [[1]]},
                {"type": "heatmap", "z": [[2]], "xaxis": "x2"},
                {"type": "scatter", "mode": "text", "showlegend": False, "name": "numbers"},
            ],
            {
                "title": title_of("Effect", "One line,<br>another &lt;3"),
                "xaxis": {"title": {"text": "step"}, "ticktext": ["start", "0", "1"]},
                "yaxis": {"title": {"text": "<b>site</b>"}},
                "xaxis2": {"title": {"text": "step"}},
            },
            "Figure: Effect. One line, another <3. 2 heatmaps. Across: step: start to 1. Up: site.",
        ),
        (
            [{"type": "bar", "name": f"series {number}", "y": [1]} for number in range(10)],
            {},
            "Figure: bars of a test. Bar chart. Series: "
            + ", ".join(f"series {number}" for number in range(8))
            + " and 2 more.",
        ),
    ],
)
def test_title_reading_axes_and_series_are_told(traces, layout, expected):
    assert description(go.Figure(traces, layout), "bars of a test") == expected
