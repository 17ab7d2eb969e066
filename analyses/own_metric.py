"""A user's own metric by the name of its file and function, wherever a metric's name is given: `FILE.py:FUNCTION`.

The function takes a run (`interp.Replay`) and returns one number:

    def first_value(run):
        return float(run.final[run.base.encoded.rhs[0, 0], 3])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from analyses.own_function import OWN as OWN
from analyses.own_function import own_function
from interp.causal.metric_records import METRICS, MetricRecord, register
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.engine.replay import Replay


def metric_name(text: str) -> str:
    """The name of a metric that is there; one of `FILE.py:FUNCTION` is made known first, under its function's name.

    Raises InputError for what names no metric, a file that cannot be run, or a name that is taken.
    """
    if text in METRICS:
        return text
    if ":" not in text:
        raise InputError(f"--metric is {clip(text)!r}: it must be one of {', '.join(METRICS)}, or {OWN}.")
    name, function, label = own_function(text, "a metric")
    if name in METRICS and METRICS[name].source == text:
        return name
    try:
        register(MetricRecord(name, label, of_run=_of_run(function), answered=False, source=text))
    except ValueError as error:
        raise InputError(f"{clip(text)}: {error}.") from error
    return name


def _of_run(function: Any) -> Any:
    def measured(run: Replay, answer: object) -> float:
        from interp.causal.metrics import one_number

        return one_number(function(run))

    return measured
