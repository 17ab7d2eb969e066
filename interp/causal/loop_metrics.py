"""What is measured of the last state of a loop: a function of one's own, one by name, or what a task says is right.

A name is read of symbols, so it holds for any loop that gives logits. Of a pair of runs it compares the symbols that
the clean and the corrupt one show in the end, wherever they differ; of one run the symbols that it shows with those
that come second, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from interp.loop.protocol import LoopedError
from interp.loop.task import Task

Read = Mapping[str, Tensor]
"""Factor -> logits [batch, pos, size]."""
Metric = Callable[[Read], Tensor]
"""What ``read`` gives of the last state -> float [batch]."""

LOOP_METRICS: Final = {
    "logit_diff": "logit of the clean symbol less that of the corrupt one",
    "prob": "probability of the clean symbol",
    "accuracy": "share of positions that show the clean symbol",
}
"""By name; ``accuracy`` has no gradient."""


def logit_difference(factor: str, pos: int, clean: int, corrupt: int) -> Metric:
    """The logit of symbol ``clean`` less that of ``corrupt``, at a position."""
    return lambda logits: logits[factor][:, pos, clean] - logits[factor][:, pos, corrupt]


def symbol_metric(name: str, clean: Read, corrupt: Read, where: Read) -> Metric:
    """One of :data:`LOOP_METRICS`: the mean over the positions of ``where``, by row of the batch.

    Args:
        clean, corrupt: factor -> int [batch, pos], the symbols that are compared.
        where: factor -> bool [batch, pos].

    Raises:
        LoopedError: another name.
    """
    if name not in LOOP_METRICS:
        raise LoopedError(
            f"metric is {name!r}; allowed are {', '.join(LOOP_METRICS)}, or a function of what `read` gives"
        )

    def measured(logits: Read) -> Tensor:
        total, count = torch.zeros(()), torch.zeros(())
        for factor in where:
            scores = logits[factor].float()
            # A sweep patches every position in rows of its own: all rows once for each.
            times = len(scores) // len(where[factor])
            at, right, wrong = (one[factor].repeat(times, 1) for one in (where, clean, corrupt))
            if name == "accuracy":
                found = (scores.argmax(-1) == right).float()
            elif name == "prob":
                found = _of(scores.softmax(-1), right)
            else:
                found = _of(scores, right) - _of(scores, wrong)
            total = total + torch.where(at, found, 0.0).sum(1)
            count = count + at.sum(1)
        return total / count

    return measured


def metric_between(metric: Metric | str, clean: Read, corrupt: Read) -> Metric:
    """A metric of a pair; a name reads the positions at which the two show different symbols.

    Args:
        clean, corrupt: what the last state of each shows, factor -> logits [batch, pos, size].

    Raises:
        LoopedError: an unknown name; a row of the batch in which the two show the same everywhere.
    """
    if not isinstance(metric, str):
        return metric
    right, wrong = (_shown(logits) for logits in (clean, corrupt))
    where = {factor: right[factor] != wrong[factor] for factor in right}
    if not where or not bool(torch.stack([at.any(1) for at in where.values()]).any(0).all()):
        raise LoopedError(
            f"metric is {metric!r}, which compares what the clean and the corrupt run show in the end, and they show "
            "the same; allowed here is a metric of one's own"
        )
    return symbol_metric(metric, right, wrong, where)


def need_gradient(metric: Metric | str) -> None:
    """Raises LoopedError for the name of a metric that has none."""
    if metric == "accuracy":
        raise LoopedError(
            "metric is 'accuracy', which has no gradient; allowed are logit_diff, prob, or a function"
        )


def metric_of_run(metric: Metric | str, run: Read) -> Metric:
    """A metric of what one run shows; a name compares it with the symbols that come second, at every position.

    Raises:
        LoopedError: an unknown name; a loop that reads nothing, or one symbol only.
    """
    if not isinstance(metric, str):
        return metric
    several = {factor: logits for factor, logits in run.items() if logits.shape[-1] > 1}
    if not several:
        raise LoopedError(
            f"metric is {metric!r}, and the loop reads nothing that has two symbols; allowed is a metric of one's own"
        )
    best = {factor: logits.topk(2).indices for factor, logits in several.items()}
    first, second = ({factor: two[..., place] for factor, two in best.items()} for place in (0, 1))
    return symbol_metric(
        metric, first, second, {name: torch.ones_like(one).bool() for name, one in first.items()}
    )


def task_accuracy(task: Task, inputs: Any, factor: str | None = None) -> Metric:
    """The share of a task's labels that the largest logit shows, by row of the batch.

    Args:
        factor: the readout, and the column of :meth:`interp.Task.labels` that says what is right; default: the only
            name that both have.

    Raises:
        LoopedError (when the metric is asked): no such name, or several.

    Examples:
        >>> from interp import GraphTask, run_loop, task_accuracy
        >>> from models import as_loop, load
        >>> model = load("compiled")
        >>> task = GraphTask(model.vocabulary, n_nodes=6)
        >>> graphs = task.sample(2)
        >>> run = run_loop(as_loop(model), graphs, n_steps=8, keep_logits=True)
        >>> right = task_accuracy(task, graphs)
        >>> right({factor: logits[-1] for factor, logits in run.logits.items()}).tolist()
        [1.0, 1.0]
    """
    labels: Any = task.labels(inputs)
    row, pos = (torch.tensor(labels[name].to_numpy()) for name in ("row", "pos"))

    def accuracy(read: Read) -> Tensor:
        names = [name for name in read if name in labels] if factor is None else [factor]
        if len(names) != 1 or names[0] not in read or names[0] not in labels:
            raise LoopedError(
                f"factor is {factor!r}; allowed is a name that the loop reads ({', '.join(read)}) and the task labels "
                f"({', '.join(labels.columns)})"
            )
        shown = read[names[0]].argmax(-1).cpu()
        right = (shown[row, pos] == torch.tensor(labels[names[0]].to_numpy())).float()
        totals, counts = torch.zeros(len(shown)), torch.zeros(len(shown))
        return totals.index_add(0, row, right) / counts.index_add(0, row, torch.ones_like(right))

    return accuracy


def unchanged(base: Read) -> Metric:
    """The share of positions at which every factor shows what it does in ``base``, by row of the batch: for loops of
    which no task says what is right.
    """
    shown = {factor: logits.argmax(-1) for factor, logits in base.items()}

    def share(read: Read) -> Tensor:
        same = [(read[factor].argmax(-1) == codes).flatten(1) for factor, codes in shown.items()]
        if not same:
            raise LoopedError(
                "the loop reads nothing, so no change is seen; allowed is a metric of one's own"
            )
        return torch.cat(same, dim=1).float().mean(1)

    return share


def _shown(logits: Read) -> dict[str, Tensor]:
    return {factor: one.argmax(-1) for factor, one in logits.items()}


def _of(scores: Tensor, symbols: Tensor) -> Tensor:
    return scores.gather(-1, symbols[..., None])[..., 0]
