"""Activations of any loop with labels, as probes and projections take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch

from interp.data.datasets import ActivationDataset
from interp.loop.protocol import Loop, LoopedError, sites_of, steps_of
from interp.loop.running import run_loop
from interp.loop.task import Task


def collect_loop(
    loop: Loop,
    inputs: Any,
    labels: pd.DataFrame | None = None,
    kinds: Sequence[str] = ("resid_post",),
    n_steps: int | None = None,
    task: Task | None = None,
) -> ActivationDataset:
    """Activations [step, line, d] of every step, at the positions that ``labels`` has lines for.

    Args:
        labels: ``row`` and ``pos`` of every line (:meth:`interp.Task.labels`), and what is known there. ``row`` becomes
            ``graph``: what folds of probes keep together.
        task: has the labels, where they are not given.
        kinds: of sites, such as ``"resid_post"`` or ``"mlp_out"``. Of a module that is called several times per step,
            each call is a site of its own (``"L.0.mlp_out 2"``).

    Raises:
        LoopedError: neither labels nor a task, a loop without such sites, no number of steps, activations that are not
            [batch, pos, d].

    Examples:
        >>> from interp import GraphTask, collect_loop
        >>> from models import as_loop, load
        >>> model = load("compiled")
        >>> task = GraphTask(model.vocabulary, n_nodes=6)
        >>> graphs = task.sample(4)
        >>> data = collect_loop(as_loop(model), graphs, task.labels(graphs), ["mlp_out"], n_steps=3)
        >>> data.activations["1.mlp_out"].shape  # [step, node, d_model]
        (3, 24, 194)
    """
    if labels is None and task is None:
        raise LoopedError("collecting needs labels= or task=, which say at which positions")
    sites = [site for kind in kinds for site in sites_of(loop, kind, "collecting")]
    run = run_loop(loop, inputs, steps_of(loop, inputs, n_steps, "collecting"), record=sites, read=False)
    table: Any = cast(Task, task).labels(inputs) if labels is None else labels
    row, pos = (torch.tensor(table[name].to_numpy()) for name in ("row", "pos"))
    found: dict[str, Any] = {}
    for site in sites:
        activation, called = run[site], run.calls[site]
        if activation.ndim != 5:
            raise LoopedError(
                f"{site!r} is [step, call, {', '.join(map(str, activation.shape[2:]))}]; allowed is [.., batch, pos, d]"
            )
        for call in range(called.shape[1]):
            name = site if called.shape[1] == 1 else f"{site} {call}"
            found[name] = activation[:, call][:, row, pos].float().numpy()
    return ActivationDataset(
        found, table.rename(columns={"row": "graph"}), model=type(loop).__name__, n_steps=run.n_steps
    )
