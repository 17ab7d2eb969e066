"""A user's own metric by the name of its file and function, wherever a metric's name is given: `FILE.py:FUNCTION`.

The function takes a run (`interp.Replay`) and returns one number:

    def first_value(run):
        return float(run.final[run.base.encoded.rhs[0, 0], 3])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.own_function import OWN as OWN
from analyses.own_function import own_name
from interp.causal.metric_records import METRICS, MetricRecord, register
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.engine.replay import Replay


def metric_name(text: str) -> str:
    """As `analyses.own_function.own_name`, for metrics."""
    return own_name(
        text,
        "a metric",
        METRICS,
        f"--metric is {clip(text)!r}: it must be one of",
        lambda name, label, function: register(
            MetricRecord(name, label, of_run=_of_run(function), answered=False, source=text)
        ),
    )


def _of_run(function: Any) -> Any:
    def measured(run: Replay, answer: object) -> float:
        from interp.causal.metrics import one_number

        return one_number(function(run))

    return measured
