"""Probes by step and site of any loop, with every control that probes have.

The same as :func:`interp.collect_loop` and then :func:`interp.fit_probe_grid`, with what these need for their controls:
the activations of a loop of the same make whose weights hold nothing, and the words of the control task.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import nn

from interp.data.loop_collecting import collect_loop
from interp.loop.protocol import Loop
from interp.probing.grid import ProbeGrid
from interp.probing.grid_fit import fit_probe_grid


def scrambled_twin(loop: Loop, seed: int = 0) -> Loop:
    """A copy in which the entries of every parameter that is a float are permuted within it.

    Sizes, norms and the distribution of weights stay; what they compute is gone. Stands in for an untrained model where
    nobody knows how a loop was begun. Where it is known, begin one anew instead.
    """
    twin = copy.deepcopy(loop)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        owner: nn.Module = getattr(twin, "weights", None) or twin.module
        for weights in owner.parameters():
            if weights.is_floating_point():
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                weights.copy_(weights.flatten()[order].reshape(weights.shape))
    return twin


def fit_loop_probes(
    loop: Loop,
    inputs: Any,
    labels: pd.DataFrame,
    target: str,
    kinds: Sequence[str] = ("resid_post",),
    n_steps: int | None = None,
    untrained: Loop | None = None,
    word: str = "token",
    seed: int = 0,
    **options: Any,
) -> ProbeGrid:
    """Collect activations of a loop, and of one that knows nothing, and fit probes to ``target``.

    Args:
        labels, kinds: as for :func:`interp.collect_loop`.
        untrained: default: :func:`scrambled_twin`.
        word: the column that says what stands at a position: words of the control task, where ``labels`` has it and no
            ``name``. Words that are all alike have no control task: it is nan.
        options: of :func:`interp.fit_probe_grid` (``steps``, ``folds``, ``kind``...).

    Raises:
        LoopedError, ProbeError: as there.

    Examples:
        >>> from interp import fit_loop_probes
        >>> from models.compiled import CompiledTask, make
        >>> task = CompiledTask(make("reachability"))
        >>> graphs = task.sample(12)
        >>> grid = fit_loop_probes(task.loop, graphs, task.labels(graphs), "reached", n_steps=2, folds=3, steps=[1])
        >>> grid.accuracy.shape  # [target and controls, step, site, fold]
        (4, 1, 2, 3)
    """
    table: Any = labels
    if word in table and "name" not in table:
        table = table.assign(name=cast(Any, pd).factorize(table[word])[0])
    other = scrambled_twin(loop, seed) if untrained is None else untrained
    data, blank = (collect_loop(each, inputs, table, kinds, n_steps) for each in (loop, other))
    return fit_probe_grid(data, target, blank, seed=seed, **options)
