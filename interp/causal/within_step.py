"""One recurrence step of a clean and a corrupt run, as TransformerLens's functions want it: two inputs and a metric.

Inside a step nothing is snapped, so the metric is a smooth function of every activation. It is read at the step's
own logits, and the two inputs are what entered the step in the two runs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from interp.causal.patching import record_pair
from interp.causal.value_metric import ValueMetric
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.views import StepView


@one_line
@dataclass(frozen=True, eq=False)
class StepPair:
    """What a step is given in two runs.

    Attributes:
        view: the step as a TransformerLens model.
        clean, corrupt: int [1, pos]; packed ids of the states entering it.
        metric: logits [batch, pos, d_vocab] -> float [batch].
        clean_metric, corrupt_metric: its value for the two inputs.
    """

    view: StepView
    clean: Tensor
    corrupt: Tensor
    metric: ValueMetric
    clean_metric: float
    corrupt_metric: float

    @property
    def step(self) -> int:
        """Which step."""
        return self.view.step

    def scalar(self, logits: Tensor) -> Tensor:
        """The metric of a single run, as TransformerLens's functions ask for it."""
        return self.metric(logits)[0]


def step_pair(
    model: RecurrentTransformer,
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    step: int,
    metric: str = "logit_diff",
    nodes: Sequence[int | str] | None = None,
) -> StepPair:
    """Run both graphs up to a step.

    The view looks where the graphs have tokens, as the runs do, also where a bidirectional model has written
    ``[pad]`` into them.

    nodes: which the metric reads, as indices or names; default: those at which the step writes another value in one
    run than in the other.

    Raises:
        ValueError: graphs with texts of different length, a negative step, a model in training mode, an unknown
            metric or node, no node to read.

    Examples:
        >>> from interp import step_pair
        >>> from models import ComputationGraph, load
        >>> texts = "20 = a; 2 = b; a + b = c", "7 = a; 2 = b; a + b = c"
        >>> clean, corrupt = map(ComputationGraph.parse, texts)
        >>> pair = step_pair(load("compiled"), clean, corrupt, step=1)
        >>> pair.clean_metric > 0 > pair.corrupt_metric
        True
    """
    if model.training:
        raise ValueError(
            "the model is in training mode, where two runs may differ by chance; call model.eval()"
        )
    view = model.at_step(step, ~model.to_encoded(clean).mask)
    runs = record_pair(model, clean, corrupt, step + 1)
    value_metric = ValueMetric.of(runs, metric, nodes)
    entering = 0 if model.cfg.bottleneck == "continuous" else step
    tokens = [model.vocabulary.pack(run.trajectory.states[entering]) for run in runs]
    with torch.no_grad():
        measured = [float(value_metric(cast(Tensor, view(packed)))[0]) for packed in tokens]
    return StepPair(view, tokens[0], tokens[1], value_metric, measured[0], measured[1])


@contextmanager
def edge_hooks(view: StepView) -> Generator[None]:
    """Let ``hook_result``, the heads' own q, k and v inputs and ``hook_mlp_in`` fire; flags are restored after it."""
    cfg = view.cfg
    before = cfg.use_attn_in, cfg.use_attn_result, cfg.use_split_qkv_input, cfg.use_hook_mlp_in
    view.set_use_attn_in(False)
    try:
        view.set_use_attn_result(True)
        view.set_use_split_qkv_input(True)
        view.set_use_hook_mlp_in(True)
        yield
    finally:
        view.set_use_attn_result(before[1])
        view.set_use_split_qkv_input(before[2])
        view.set_use_hook_mlp_in(before[3])
        view.set_use_attn_in(before[0])
