"""Metrics of loops that ask a task what is right, or, without one, whether anything has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interp.causal.loop_sweep import Metric
from interp.loop.protocol import LoopedError
from interp.loop.task import Task


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

    def accuracy(read: Mapping[str, Tensor]) -> Tensor:
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


def unchanged(base: Mapping[str, Tensor]) -> Metric:
    """The share of positions at which every factor shows what it does in ``base``, by row of the batch: for loops of
    which no task says what is right.
    """
    shown = {factor: logits.argmax(-1) for factor, logits in base.items()}

    def share(read: Mapping[str, Tensor]) -> Tensor:
        same = [(read[factor].argmax(-1) == codes).flatten(1) for factor, codes in shown.items()]
        if not same:
            raise LoopedError(
                "the loop reads nothing, so no change is seen; allowed is a metric of one's own"
            )
        return torch.cat(same, dim=1).float().mean(1)

    return share
