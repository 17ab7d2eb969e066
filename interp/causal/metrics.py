"""What a patched run is judged by: one number from its last step, about chosen nodes.

``clean`` is the run with the right answer, ``corrupt`` the other one. The metrics are the records of
:mod:`interp.causal.metric_records`; a user's own is a function of a :class:`interp.Replay`.

A node has an answer where the clean run shows a number. Where it shows EMPTY or N/A (it has fewer steps than the node
is deep, say) there is nothing to be right about: such a node adds 0 to the metrics that ask for answers, whatever a
patched run shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.causal.metric_records import METRICS
from interp.engine.replay import Replay
from models.trajectory import Trajectory
from models.vocabulary import FactoredVocabulary

Metric = str | Callable[[Replay], float]


class MetricError(ValueError):
    """A metric that does not exist or does not give one number."""


@dataclass(frozen=True)
class Answer:
    """What is right at the nodes a metric reads, and what the corrupt run has instead.

    nodes: indices in text order; clean, corrupt: int [node], value symbols, by :meth:`of` those that each run ends
    with, by :meth:`true` those that its graph says; known: bool [node], whether ``clean`` is a number; final: int
    [pos, factor], the clean run's last state.
    """

    nodes: tuple[int, ...]
    clean: Tensor
    corrupt: Tensor
    known: Tensor
    final: Tensor

    @classmethod
    def of(cls, clean: Trajectory, corrupt: Trajectory, nodes: Sequence[int], n_steps: int) -> Answer:
        """The answers of two runs of single graphs after ``n_steps`` steps."""
        chosen = torch.tensor(list(nodes), dtype=torch.int64)
        ends = [run.states[n_steps, 0, run.encoded.rhs[0, chosen], 3] for run in (clean, corrupt)]
        return cls(
            tuple(nodes), ends[0], ends[1], _numbers(ends[0], clean.vocabulary), clean.states[n_steps, 0]
        )

    @classmethod
    def true(cls, clean: Trajectory, corrupt: Trajectory, nodes: Sequence[int], n_steps: int) -> Answer:
        """The true values of the two graphs, also where a run of ``n_steps`` steps is too short to show them."""
        chosen = torch.tensor(list(nodes), dtype=torch.int64)
        values = [run.encoded.values[0, chosen] for run in (clean, corrupt)]
        known = torch.ones(len(chosen), dtype=torch.bool)
        return cls(tuple(nodes), values[0], values[1], known, clean.states[n_steps, 0])


def answered(clean: Trajectory, corrupt: Trajectory, n_steps: int) -> list[int]:
    """Nodes, in text order, at which two runs of single graphs differ after ``n_steps`` steps and the clean one shows
    a number: those with an answer to restore.
    """
    ends = [run.values[n_steps, 0] for run in (clean, corrupt)]
    wanted = (ends[0] != ends[1]) & _numbers(ends[0], clean.vocabulary)
    return [int(node) for node in wanted.nonzero().flatten()]


def no_answer(n_steps: int) -> str:
    """What to tell a user whose metric would read no node with an answer."""
    return (
        f"after {n_steps} steps both runs show the same value at every node of those read at which the clean one shows "
        "a number, so there is no answer to restore; allowed are nodes with another value in the corrupt run, or "
        "another number of steps"
    )


def measure(metric: Metric, replay: Replay, answer: Answer) -> float:
    """The metric of one run. ``replay.logits`` must be those of every node's right-hand side.

    Raises:
        MetricError: an unknown name, or a callable that gives something else than one number.
        ValueError: the metric is one of logits, and the run kept none.
    """
    if callable(metric):
        return one_number(metric(replay))
    if metric not in METRICS:
        raise MetricError(
            f"there is no metric {metric!r}; there are {', '.join(METRICS)}, or give a function"
        )
    record = METRICS[metric]
    if record.of_run is not None:
        return record.of_run(replay, answer)
    assert record.scores is not None
    scores = record.scores(replay.value_logits()[list(answer.nodes)], answer.clean, answer.corrupt)
    return float(torch.where(answer.known, scores, 0).mean())


def _numbers(values: Tensor, vocabulary: FactoredVocabulary) -> Tensor:
    """Bool: which value symbols are numbers, neither EMPTY nor N/A."""
    return values < vocabulary.modulus


def one_number(value: object) -> float:
    """What a metric gave, as a float. Raises `MetricError` for anything else than one number."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise MetricError(f"a metric must give one number, got a tensor of shape {tuple(value.shape)}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise MetricError(f"a metric must give one number, got {value!r}") from error
