"""Codebook usage of any loop: the codes its states show, held against what the task knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.codebook.usage import CodeUsage, code_usage_of
from interp.loop.protocol import Loop, LoopedError, steps_of
from interp.loop.running import run_loop
from interp.loop.task import Task


def loop_code_usage(
    loop: Loop, inputs: Any, n_steps: int | None = None, task: Task | None = None
) -> CodeUsage:
    """Run a loop and count its codes, state by state; where a row's text is shorter than the batch, not beyond it.

    Args:
        task: its labels that are whole numbers become variables (-1 at positions that it has no line for); with an
            ``oracle_step``, transitions are told legal from illegal. Without a task codes are counted alone.

    Raises:
        LoopedError: a loop that shows no codes, or codes that are not [batch, pos].

    Examples:
        >>> from interp import GraphTask, loop_code_usage
        >>> from models import as_loop, load
        >>> model = load("compiled")
        >>> task = GraphTask(model.vocabulary, n_nodes=6)
        >>> usage = loop_code_usage(as_loop(model), task.sample(4), task=task)
        >>> usage.transitions("value").n_illegal
        0
    """
    run = run_loop(loop, inputs, steps_of(loop, inputs, n_steps, "code usage"), keep_logits=True)
    shapes = {tuple(codes.shape) for codes in run.codes.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise LoopedError(
            f"codes have the shapes {sorted(shapes) or 'of none'}; allowed is [state, batch, pos] for all"
        )
    sizes = {name: max(int(codes.max()) + 1, _size(run.logits, name)) for name, codes in run.codes.items()}
    states = torch.stack(list(run.codes.values()), dim=-1)
    expected = None
    oracle = getattr(task, "oracle_step", None)
    if oracle is not None:
        steps = [
            oracle({name: codes[t] for name, codes in run.codes.items()}, inputs) for t in range(run.n_steps)
        ]
        expected = torch.stack(
            [torch.stack([step[name] for name in sizes], dim=-1) for step in steps]
        ).numpy()
    mask = _real(run.tokens, states.shape[1:3])
    return code_usage_of(
        states.numpy(),
        {name: [*map(str, range(size))] for name, size in sizes.items()},
        mask,
        variables={} if task is None else _variables(task, inputs, mask),
        expected=expected,
    )


def _real(tokens: list[list[str]] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Bool [batch, pos]: where the text of a row has not ended; everywhere, of a loop without tokens."""
    if tokens is None:
        return np.ones(shape, dtype=bool)
    return np.arange(shape[1]) < np.array([len(row) for row in tokens])[:, None]


def _size(logits: Any, name: str) -> int:
    scores: Tensor | None = logits.get(name)
    return 0 if scores is None else scores.shape[-1]


def _variables(task: Task, inputs: Any, mask: NDArray[np.bool_]) -> dict[str, Any]:
    labels: Any = task.labels(inputs)
    found: dict[str, Any] = {}
    for name in labels.columns:
        if name not in ("row", "pos") and labels[name].dtype.kind in "iu":
            values = np.full(mask.shape, -1)
            values[labels["row"], labels["pos"]] = labels[name]
            found[name] = values[mask]
    return found
