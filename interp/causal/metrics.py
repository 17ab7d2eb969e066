"""What a patched run is judged by: one number from its last step, about chosen nodes.

``clean`` is the run with the right answer, ``corrupt`` the other one; every metric is larger, the more of the clean
answer a run shows, except ``states_changed``.

    logit_diff       mean over nodes of logit(clean value) - logit(corrupt value), of the value readout
    prob             mean probability of the clean value
    accuracy         share of the nodes whose snapped value is the clean one
    states_changed   share of all factors of all positions of the last state that differ from the clean run's
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.replay import Replay
from models.trajectory import Trajectory

METRICS = ("logit_diff", "prob", "accuracy", "states_changed")
Metric = str | Callable[[Replay], float]


class MetricError(ValueError):
    """A metric that does not exist or does not give one number."""


@dataclass(frozen=True)
class Answer:
    """What the two runs end with at the nodes a metric reads.

    nodes: indices in text order; clean, corrupt: int [node], the value symbols each run ends with; final: int
    [pos, factor], the clean run's last state.
    """

    nodes: tuple[int, ...]
    clean: Tensor
    corrupt: Tensor
    final: Tensor

    @classmethod
    def of(cls, clean: Trajectory, corrupt: Trajectory, nodes: Sequence[int], n_steps: int) -> Answer:
        """The answers of two runs of single graphs after ``n_steps`` steps."""
        chosen = torch.tensor(list(nodes), dtype=torch.int64)
        ends = [run.states[n_steps, 0, run.encoded.rhs[0, chosen], 3] for run in (clean, corrupt)]
        return cls(tuple(nodes), ends[0], ends[1], clean.states[n_steps, 0])


def measure(metric: Metric, replay: Replay, answer: Answer) -> float:
    """The metric of one run. ``replay.logits`` must be those of every node's right-hand side.

    Raises:
        MetricError: an unknown name, or a callable that gives something else than one number.
        ValueError: the metric is one of logits, and the run kept none.
    """
    if callable(metric):
        return _one_number(metric(replay))
    if metric == "states_changed":
        return float((replay.final != answer.final).float().mean())
    nodes = torch.tensor(answer.nodes, dtype=torch.int64)
    if metric == "accuracy":
        values = replay.final[replay.base.encoded.rhs[0, nodes], 3]
        return float((values == answer.clean).float().mean())
    if metric not in METRICS:
        raise MetricError(
            f"there is no metric {metric!r}; there are {', '.join(METRICS)}, or give a function"
        )
    logits = replay.value_logits()[nodes]
    if metric == "prob":
        return float(logits.softmax(-1).gather(-1, answer.clean[:, None]).mean())
    return float(
        (logits.gather(-1, answer.clean[:, None]) - logits.gather(-1, answer.corrupt[:, None])).mean()
    )


def _one_number(value: object) -> float:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise MetricError(f"a metric must give one number, got a tensor of shape {tuple(value.shape)}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise MetricError(f"a metric must give one number, got {value!r}") from error
