"""How much every attention block and every MLP changes the residual stream at right-hand sides, step by step.

    ||x_after - x_before|| / ||x_before||

of one node at one step, x_before being what enters the attention (``resid_pre``) or the MLP (``resid_mid``) and
x_after - x_before what it adds (``attn_out``, ``mlp_out``); the paper reports it for the first MLP (Altabaa et al.
2025, mechanism study), here by status of the node. A small change is not a change without effect: later layers may
read a direction in which nothing else lies. What is needed is told by ablation (:mod:`interp.causal.ablation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.data.labels import STATUSES, statuses
from interp.data.rhs_runs import rhs_runs, steps_of
from models.cache import StepCache
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

COMPONENTS: Final = {"attn": ("hook_resid_pre", "hook_attn_out"), "mlp": ("hook_resid_mid", "hook_mlp_out")}
"""Component -> what it is added to, what it adds."""


@one_line
@dataclass(frozen=True, eq=False)
class BlockChange:
    """Attributes:
    ratio: float32 [step, node, layer, component], components as :data:`COMPONENTS`; nodes of all graphs in turn.
    status: int [step, node]; index into :data:`interp.data.labels.STATUSES` in the state that enters the step.
    """

    ratio: NDArray[np.float32]
    status: NDArray[np.int32]

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(self.ratio)

    def of(self, status: str, step: int | None = None) -> NDArray[np.float32]:
        """[sample, layer, component] of the nodes of a status, at one step or at all.

        Raises:
            ValueError: an unknown status, a step that was not run.
        """
        if status not in STATUSES:
            raise ValueError(f"status {status!r} is unknown; allowed: {', '.join(STATUSES)}")
        if step is not None and not 0 <= step < self.n_steps:
            raise ValueError(f"step is {step}; allowed: 0..{self.n_steps - 1}")
        chosen = self.status == STATUSES.index(status)
        return self.ratio[chosen] if step is None else self.ratio[step][chosen[step]]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``status, step, layer, component, mean, median, p90, nodes``; ``step`` "all" is all steps' nodes."""
        rows: list[dict[str, Any]] = []
        for status in STATUSES:
            for step in ("all", *range(self.n_steps)):
                values = self.of(status, None if isinstance(step, str) else step)
                if not len(values):
                    continue
                mean, (median, p90) = values.mean(0), np.quantile(values, (0.5, 0.9), axis=0)
                for layer, (c, component) in (
                    (layer, named) for layer in range(values.shape[1]) for named in enumerate(COMPONENTS)
                ):
                    rows.append(
                        {
                            "status": status,
                            "step": step,
                            "layer": layer,
                            "component": component,
                            "mean": float(mean[layer, c]),
                            "median": float(median[layer, c]),
                            "p90": float(p90[layer, c]),
                            "nodes": len(values),
                        }
                    )
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """Mean change by step, a chart for every status."""
        from interp.mechanism.block_change_figure import block_change_figure

        return block_change_figure(self)


@torch.no_grad()
def block_changes(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], n_steps: int | None = None
) -> BlockChange:
    """Relative change made by every block at every step of the runs of ``graphs``, at all right-hand sides.

    n_steps: default the deepest graph's depth and two more, so that every status occurs.

    Raises:
        ValueError: no graphs, n_steps < 1, or a chain-of-thought model, which has no states.
        VocabularyError: a graph the model cannot read.
    """
    n_steps = steps_of(model, graphs, n_steps)
    names = [name for pair in COMPONENTS.values() for name in pair]
    ratios: list[NDArray[np.float32]] = []
    entering: list[NDArray[np.int32]] = []
    for encoded, cache in rhs_runs(model, graphs, names, n_steps):
        is_node = encoded.rhs.cpu() >= 0
        layers = [_ratios(cache, layer) for layer in range(model.cfg.n_layers)]
        ratios.append(torch.stack(layers, 3)[:, is_node].numpy())
        depths = encoded.depths.cpu()[is_node].numpy()
        entering.append(np.stack([statuses(depths, step) for step in range(n_steps)]))
    return BlockChange(np.concatenate(ratios, 1), np.concatenate(entering, 1))


def _ratios(cache: StepCache, layer: int) -> Tensor:
    """[step, batch, node, component] of one layer."""
    parts = [
        _length(cache[f"blocks.{layer}.{added}"]) / _length(cache[f"blocks.{layer}.{before}"])
        for before, added in COMPONENTS.values()
    ]
    return torch.stack(parts, -1).float().cpu()


def _length(vectors: Tensor) -> Tensor:
    """Over the last axis."""
    return vectors.square().sum(-1).sqrt()
