"""How the state moves from step to step, for models with and without a discrete bottleneck alike.

``h_t`` is what enters step t at a node's right-hand side: the embedding of the discrete state, or, in a continuous
model, the final hidden state of the step before (h_0 is an embedding there too). The measures are those of
:mod:`interp.state_dynamics.motion`; run well beyond the steps that are looked at, the last state stands for the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.data.labels import STATUSES
from interp.loop.either import also_for_loops
from interp.npz import read_npz, write_npz
from interp.state_dynamics.cycles import Settling, approximate_cycles, exact_cycles, lasting_cycles
from interp.state_dynamics.frontier import Frontier, frontier_of
from interp.state_dynamics.loop_dynamics import loop_dynamics
from interp.state_dynamics.motion import MEASURES, Motion, as_numpy
from interp.state_dynamics.motion import dynamics_of as dynamics_of
from interp.state_dynamics.violations import Violations, violations_of
from models.cache import StepRecorder
from models.graph import ComputationGraph
from models.one_line import one_line
from models.vocabulary import EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

    from models.recurrent import RecurrentTransformer

Integers = NDArray[np.int64]

QUANTILES: Final = {"low": 0.1, "median": 0.5, "high": 0.9}
CHUNK: Final = 16
"""Graphs of a continuous model that are run together."""


@one_line
@dataclass(frozen=True, eq=False)
class Dynamics:
    """What a run of many graphs did, at the right-hand sides of all nodes.

    Attributes:
        graphs: which were run.
        discrete: whether the model has a discrete bottleneck.
        hidden: float32 [state, graph, node, d]; h_t, 0 where there is no such node.
        shown: int [state, graph, node]; value symbol, in a continuous model what is read out; -1: no such node.
        values, depths: int [graph, node]; true value and depth, -1 where there is no such node.
        settling: of every graph, where its whole discrete state (all factors of all tokens) settled, compared exactly.
            In a continuous model, where that state is only read out, what it keeps to until the end of the run.
    """

    graphs: tuple[ComputationGraph, ...]
    discrete: bool
    hidden: NDArray[np.float32]
    shown: Integers
    values: Integers
    depths: Integers
    settling: Settling

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(self.hidden) - 1

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Bool [graph, node]; whether there is such a node."""
        return self.depths >= 0

    @property
    def needed(self) -> Integers:
        """Int [graph]; how many steps the synchronous algorithm needs: depth + 1."""
        return self.depths.max(-1) + 1

    @property
    def right(self) -> NDArray[np.bool_]:
        """Bool [state, graph, node]; whether a node shows its true value."""
        return (self.shown == self.values) & self.exists

    @cached_property
    def motion(self) -> Motion:
        """:func:`dynamics_of`, arrays [step, graph, node]; nan where there is no such node."""
        motion = dynamics_of(self.hidden)
        return Motion(*(np.where(self.exists, getattr(motion, measure), np.nan) for measure in MEASURES))

    @cached_property
    def frontier(self) -> Frontier:
        """Levels solved by step."""
        return frontier_of(self.right, self.depths)

    @cached_property
    def violations(self) -> Violations:
        """Nodes that were right and became wrong."""
        return violations_of(self.right, self.depths)

    def hidden_settling(self, tolerance: float = 1e-3, longest: int = 8) -> Settling:
        """Of every graph, where h (all its right-hand sides as one vector) settled: :func:`approximate_cycles`."""
        return approximate_cycles(self.hidden.reshape(*self.hidden.shape[:2], -1), tolerance, longest)

    def node_settling(self, tolerance: float = 1e-3, longest: int = 8) -> Settling:
        """Of every node [graph, node], where its h settled; that of a node that does not exist means nothing."""
        rows = self.hidden.reshape(len(self.hidden), -1, self.hidden.shape[-1])
        return approximate_cycles(rows, tolerance, longest).reshaped(*self.depths.shape)

    def status(self) -> Integers:
        """Int [step, graph, node]; index into :data:`interp.data.labels.STATUSES` by the schedule, -1: no such node."""
        steps = np.arange(self.n_steps)[:, None, None]
        return np.where(self.exists, np.sign(steps - self.depths) + 1, -1)

    def to_frame(self) -> pd.DataFrame:
        """One row per node and step: ``graph``, ``node``, ``depth``, ``step``, ``status``, the measures (``to_limit``
        of the state that enters the step), ``shown`` and ``right`` of the state it writes.
        """
        step, graph, node = np.nonzero(np.broadcast_to(self.exists, self.motion.residual.shape))
        found: dict[str, Any] = {
            "graph": graph,
            "node": node,
            "depth": self.depths[graph, node],
            "step": step,
            "status": np.array(STATUSES)[self.status()[step, graph, node]],
        }
        found |= {name: getattr(self.motion, name)[step, graph, node] for name in MEASURES}
        found |= {"shown": self.shown[step + 1, graph, node], "right": self.right[step + 1, graph, node]}
        return pd.DataFrame(found)

    def summary(self) -> pd.DataFrame:
        """One row per step and status: ``nodes``, ``right`` (share, after the step), ``unmoved`` (share with residual
        0), and of every measure ``_mean``, ``_low``, ``_median``, ``_high`` (10th, 50th, 90th percentile) over nodes.
        """
        rows: list[dict[str, Any]] = []
        status, right = self.status(), self.right
        for step in range(self.n_steps):
            for code, name in enumerate(STATUSES):
                chosen = status[step] == code
                if not chosen.any():
                    continue
                row: dict[str, Any] = {
                    "step": step,
                    "status": name,
                    "nodes": int(chosen.sum()),
                    "right": float(right[step + 1][chosen].mean()),
                    "unmoved": float((self.motion.residual[step][chosen] == 0).mean()),
                }
                for measure in MEASURES:
                    numbers = getattr(self.motion, measure)[step][chosen]
                    numbers = numbers[~np.isnan(numbers)]
                    row[f"{measure}_mean"] = float(numbers.mean()) if len(numbers) else float("nan")
                    for quantile, at in QUANTILES.items():
                        value = float(np.quantile(numbers, at)) if len(numbers) else float("nan")
                        row[f"{measure}_{quantile}"] = value
                rows.append(row)
        return pd.DataFrame(rows)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        arrays: dict[str, Any] = {
            "graphs": np.array([graph.to_json() for graph in self.graphs]),
            "discrete": np.array(self.discrete),
            "hidden": self.hidden,
            "shown": self.shown,
            "values": self.values,
            "depths": self.depths,
            "settled": np.stack([self.settling.start, self.settling.period]),
        }
        return write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Dynamics:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        data = read_npz(path)
        return cls(
            graphs=tuple(ComputationGraph.from_json(str(text)) for text in data["graphs"]),
            discrete=bool(data["discrete"]),
            settling=Settling(*data["settled"]),
            **{name: data[name] for name in ("hidden", "shown", "values", "depths")},
        )

    def figure(self, last_step: int | None = None) -> go.Figure:
        """`motion_figure`; up to ``last_step``, by default twice what the graphs need."""
        from interp.state_dynamics.dynamics_figure import motion_figure

        return motion_figure(self, self.shown_until if last_step is None else last_step)

    @property
    def shown_until(self) -> int:
        """The last step figures show: twice as many as the deepest graph needs, if as many were run."""
        return min(self.n_steps, 2 * int(self.needed.max())) - 1


@also_for_loops(loop_dynamics)
@torch.no_grad()
def dynamics(
    model: RecurrentTransformer,
    graphs: ComputationGraph | Sequence[ComputationGraph] | EncodedGraphs | str,
    n_steps: int | None = None,
) -> Dynamics:
    """Run graphs and keep what enters every step at their right-hand sides.

    Of another looped model arguments and result are those of :func:`interp.loop_dynamics`.

    Args:
        n_steps: default: twice as many as the deepest graph needs.

    Raises:
        GraphError: text that is no graph, or a graph outside the vocabulary.
        ValueError: fewer than 2 steps; a chain-of-thought model, whose recurrence runs over tokens.

    Examples:
        >>> from interp import dynamics
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = dynamics(model, graph, n_steps=4)
        >>> found.n_steps, found.needed.tolist(), bool(found.right[-1].all())
        (4, [2], True)
    """
    if model.cfg.writes_text:
        raise ValueError(
            "a chain-of-thought model writes its solution token by token, so it has no state that moves from step to "
            "step; allowed are models that apply their blocks again and again"
        )
    if n_steps is not None and n_steps < 2:
        raise ValueError(f"n_steps is {n_steps}; allowed are 2 or more (an angle is between two updates)")
    encoded = model.to_encoded(graphs)
    count = 2 * (int(encoded.depths.max()) + 1) if n_steps is None else n_steps
    discrete = model.cfg.bottleneck == "discrete"
    follow = _follow_states if discrete else _follow_hidden
    hidden, states = follow(model, encoded, count)
    exists = encoded.rhs >= 0
    index = encoded.rhs.clamp_min(0).expand(count + 1, -1, -1)
    shown = states[..., 3].gather(-1, index).masked_fill(~exists, -1)
    return Dynamics(
        graphs=encoded.graphs,
        discrete=discrete,
        hidden=as_numpy((hidden * exists[..., None]).float()),
        shown=cast(Integers, as_numpy(shown)),
        values=cast(Integers, as_numpy(encoded.values)),
        depths=cast(Integers, as_numpy(encoded.depths)),
        settling=(exact_cycles if discrete else lasting_cycles)(as_numpy(model.vocabulary.pack(states))),
    )


def _follow_states(
    model: RecurrentTransformer, encoded: EncodedGraphs, n_steps: int
) -> tuple[Tensor, Tensor]:
    """Embeddings [state, graph, node, d] and discrete states [state, graph, pos, factor]."""
    states = model.run(encoded, n_steps=n_steps).states
    index = encoded.rhs.clamp_min(0)[None, :, :, None].expand(len(states), -1, -1, states.shape[-1])
    device = model.W_E.device
    return torch.stack([model.embed_state(at_rhs.to(device)) for at_rhs in states.gather(2, index)]), states


def _follow_hidden(
    model: RecurrentTransformer, encoded: EncodedGraphs, n_steps: int
) -> tuple[Tensor, Tensor]:
    """The same of a continuous model: what enters its steps, and what is read out; a few graphs at a time."""
    n_graphs, n_nodes = encoded.rhs.shape
    hidden = torch.zeros(n_steps + 1, n_graphs, n_nodes, model.cfg.d_model)
    states = encoded.factors.expand(n_steps + 1, *encoded.factors.shape).clone()
    for start in range(0, n_graphs, CHUNK):
        some = slice(start, start + CHUNK)
        initial = encoded.factors[some, : int(encoded.mask[some].sum(-1).max())].to(model.W_E.device)
        recorder = StepRecorder(model.plain_hook_names(), "hook_embed", "rhs", encoded.rhs[some])
        with model.hooks(fwd_hooks=[(recorder.matcher(None), recorder.keep)]):
            for step, (_, state) in enumerate(model.iterate(initial, n_steps + 1)):
                if step < n_steps:
                    states[step + 1, some, : state.shape[1]] = state.cpu()
        hidden[:, some] = recorder.cache(model, range(n_steps + 1))["hook_embed"].cpu()
    return hidden, states
