"""A user's own metric by the name of its file and function, wherever a metric's name is given: `FILE.py:FUNCTION`.

The function takes a run (`interp.Replay`) and returns one number:

    def first_value(run):
        return float(run.final[run.base.encoded.rhs[0, 0], 3])
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from interp.causal.metric_records import METRICS, MetricRecord, register
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.engine.replay import Replay

OWN = "FILE.py:FUNCTION"


def metric_name(text: str) -> str:
    """The name of a metric that is there; one of `FILE.py:FUNCTION` is made known first, under its function's name.

    Raises InputError for what names no metric, a file that cannot be run, or a name that is taken.
    """
    path, colon, name = text.rpartition(":")
    if text in METRICS:
        return text
    if not colon:
        raise InputError(f"--metric is {clip(text)!r}: it must be one of {', '.join(METRICS)}, or {OWN}.")
    function = _function(Path(path), name)
    label = (function.__doc__ or f"{name} of {Path(path).name}").strip().splitlines()[0].rstrip(".")
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


def _function(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"There is no file {clip(str(path))}, of which {clip(name)!r} could be a metric.")
    try:
        found = runpy.run_path(str(path))
    except Exception as error:  # a user's file can fail in any way
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}.") from error
    function = found.get(name)
    if not callable(function):
        known = [key for key, value in found.items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{path} has no function {clip(name)!r}; it has {', '.join(known) or 'none'}.")
    return function
