"""The metrics of patched runs, one record each; commands, pages, gradients and predictions know them from here.

To add a metric, add its record to :data:`METRICS`. Nothing here needs torch before a metric is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

    from interp.causal.metrics import Answer
    from interp.engine.replay import Replay


@dataclass(frozen=True)
class MetricRecord:
    """One metric: larger, the more of the clean answer a run shows, unless the label says otherwise.

    Attributes:
        name: in commands, addresses and tables.
        label: what it is, in a few words.
        scores: of the value readout's logits [..., node, value] and the clean and the corrupt run's symbols, int
            [node]: a score for each node, [..., node], with a gradient. The metric is their mean. None: it is not one
            of logits.
        of_run: of a whole run and the answer, the metric, where it is not one of logits.
        answered: whether it asks for an answer at every node that it reads.
        source: of a user's own, `FILE.py:FUNCTION`.
        signed: whether a node that shows the corrupt value counts -1 and not 0 where it is predicted from symbols.
    """

    name: str
    label: str
    scores: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    of_run: Callable[[Replay, Answer], float] | None = None
    answered: bool = True
    signed: bool = False
    source: str = ""


def _at(logits: Tensor, symbols: Tensor) -> Tensor:
    return logits.gather(-1, symbols.expand(logits.shape[:-1])[..., None])[..., 0]


def _difference(logits: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    return _at(logits, clean) - _at(logits, corrupt)


def _probability(logits: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    return _at(logits.softmax(-1), clean)


def _accuracy(run: Replay, answer: Answer) -> float:
    values: Any = run.final[run.base.encoded.rhs[0, list(answer.nodes)], 3]
    return float(((values == answer.clean) & answer.known).float().mean())


def _changed(run: Replay, answer: Answer) -> float:
    return float((run.final != answer.final).float().mean())


METRICS: Final = {
    record.name: record
    for record in (
        MetricRecord("logit_diff", "logit of the clean minus the corrupt value", _difference, signed=True),
        MetricRecord("prob", "probability of the clean value", _probability),
        MetricRecord("accuracy", "share of nodes that show the clean value", of_run=_accuracy),
        MetricRecord(
            "states_changed",
            "share of the last state that differs from the clean run's",
            of_run=_changed,
            answered=False,
        ),
    )
}
"""By name, in the order in which they are listed; the first is the default."""


def register(record: MetricRecord) -> None:
    """Let a metric of one's own be known by its name for the rest of the process.

    Raises ValueError where another metric has that name.
    """
    if METRICS.get(record.name, record) != record:
        raise ValueError(f"there is a metric {record.name!r} already; there are {', '.join(METRICS)}")
    METRICS[record.name] = record


def smooth_metrics() -> list[str]:
    """Names of those that have a gradient."""
    return [name for name, record in METRICS.items() if record.scores is not None]


def predicted_metrics() -> list[str]:
    """Names of those that can be predicted from symbols: all that ask for answers."""
    return [name for name, record in METRICS.items() if record.answered]
