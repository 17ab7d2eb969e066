"""Relative variance of every head's output when one thing of an equation varies.

    E ||o - mean o||^2 / E ||o||^2,    o = z W_O of one head at the equation's right-hand side

(Altabaa et al. 2025, mechanism study): 1 where the output is all about what varies, 0 where it does not depend on it.
Squares are summed over many equations before the ratio is taken, mean o being that of one equation's variations. The
paper measures it on one appended equation in one pass; here by status of the node, in the step before, at and after
its own, and by step.

The mean is that of a few variations, and the squares about it are too small by (n - 1) / n; the variance is therefore
the unbiased one, sum ||o - mean o||^2 / (n - 1). The ratio can thus exceed 1, by n / (n - 1) at most. Intervals are
95 % percentile bootstrap intervals over graphs (`interp.statistics.resampling`), since equations of one graph are not
independent; nan for one graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.data.labels import STATUSES
from interp.engine.following import BaseRun
from interp.engine.interventions import record
from interp.mechanism.perturbed import (
    KINDS,
    Controlled,
    ControlledError,
    controlled,
    need_schedule,
    perturbations_of,
)
from interp.progress import followed
from interp.statistics.resampling import interval_over_graphs
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

Floats = NDArray[np.float64]
_STEP_OF: Final = {"waiting": -1, "computing": 0, "done": 1}
"""Steps from a node's own step at which it is looked at, by status."""
PLACES: Final = ("last", "middle", "first")
"""Operands counted from the end of the left-hand side, as the offsets seen from the right-hand side are."""


@one_line
@dataclass(frozen=True, eq=False)
class HeadVariance:
    """Sums of squares, one line for every equation, status and perturbation that could be made.

    Attributes:
        table: columns ``graph``, ``node``, ``vary`` (operands by place: ``operand:last``), ``status``, ``step``,
            ``n_variations``.
        varying: float [line, layer, head]; unbiased variance over variations, sum ||o - mean o||^2 / (n - 1).
        total: float [line, layer, head]; mean over variations of ||o||^2.
    """

    table: pd.DataFrame
    varying: Floats
    total: Floats

    @property
    def perturbations(self) -> tuple[str, ...]:
        """What was varied, in a fixed order."""
        order = [*(f"{kind}:{place}" for kind in KINDS for place in PLACES), "rhs_name"]
        found = set(cast("list[str]", cast(Any, self.table["vary"]).tolist()))
        return tuple(name for name in order if name in found)

    def relative(self, vary: str, status: str = "computing", lines: Sequence[int] | None = None) -> Floats:
        """[layer, head]; nan for a head that gives nothing, or where nothing was measured.

        lines: use these lines of the table only (equations drawn again, for an interval).
        """
        chosen = cast(Any, (self.table["vary"] == vary) & (self.table["status"] == status)).to_numpy()
        at = np.flatnonzero(chosen) if lines is None else np.array([i for i in lines if chosen[i]], int)
        return _ratio(self.varying[at].sum(0), self.total[at].sum(0))

    def interval(self, vary: str, status: str = "computing") -> Floats:
        """[end, layer, head]: lower and upper end of the 95 % interval of :meth:`relative`; nan for one graph."""
        chosen = cast(Any, (self.table["vary"] == vary) & (self.table["status"] == status)).to_numpy()
        return self._interval(np.flatnonzero(chosen))

    def _interval(self, lines: NDArray[np.int64]) -> Floats:
        graphs, which = np.unique(cast(Any, self.table["graph"]).to_numpy()[lines], return_inverse=True)
        per_graph = np.zeros((len(graphs), 2, *self.total.shape[1:]))
        np.add.at(per_graph, which, np.stack([self.varying[lines], self.total[lines]], 1))
        ends = np.full((2, *self.total.shape[1:]), np.nan)
        for layer, head in np.ndindex(*self.total.shape[1:]):
            ends[:, layer, head] = interval_over_graphs(
                per_graph[:, :, layer, head], lambda sums: _ratio(sums[..., 0], sums[..., 1])
            )
        return ends

    def to_frame(self) -> pd.DataFrame:
        """Columns ``vary, status, step, layer, head, relative_variance, low, high, equations``; ``step`` "all" is the
        sum, and only it has an interval.
        """
        rows: list[dict[str, Any]] = []
        for (vary, status), part in self._groups(["vary", "status"]):
            by_step = [(step, lines) for (step,), lines in self._groups(["step"], part)]
            for step, lines in [("all", part), *by_step]:
                ratios = _ratio(self.varying[lines].sum(0), self.total[lines].sum(0))
                ends = self._interval(lines) if step == "all" else np.full((2, *ratios.shape), np.nan)
                for layer, head in np.ndindex(*ratios.shape):
                    rows.append(
                        {
                            "vary": vary,
                            "status": status,
                            "step": step,
                            "layer": layer,
                            "head": head,
                            "relative_variance": ratios[layer, head],
                            "low": ends[0, layer, head],
                            "high": ends[1, layer, head],
                            "equations": len(lines),
                        }
                    )
        return pd.DataFrame(rows)

    def _groups(
        self, columns: list[str], lines: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[tuple[Any, ...], NDArray[np.int64]]]:
        table = cast(Any, self.table)
        for key, part in (table if lines is None else table.iloc[lines]).groupby(columns, sort=True):
            yield key, cast("NDArray[np.int64]", part.index.to_numpy())


@torch.no_grad()
def head_variance(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    nodes: Sequence[int] | None = None,
    statuses: Sequence[str] = STATUSES,
    n: int = 16,
    seed: int = 0,
) -> HeadVariance:
    """Relative variances over all perturbations of nodes with operands.

    Args:
        graphs: whose runs the equations are taken from.
        nodes: index of the node of each graph; default one of every depth, drawn.
        statuses: before (``waiting``), at (``computing``) and after (``done``) the node's own step.
        n: at most so many variations of one thing.

    A perturbation that cannot be made (the value of an operand that is EMPTY, an operation where there is only one) is
    left out.

    Raises:
        ControlledError: a continuous model of fixed steps; no perturbation at all. ValueError: an unknown status.
    """
    need_schedule(model)
    unknown = [status for status in statuses if status not in STATUSES]
    if unknown:
        raise ValueError(f"status {unknown[0]!r} is unknown; allowed: {', '.join(STATUSES)}")
    if nodes is not None and len(nodes) != len(graphs):
        raise ValueError(f"{len(nodes)} nodes for {len(graphs)} graphs; allowed: one for each, or none")
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    varying: list[Floats] = []
    total: list[Floats] = []
    for number, graph in enumerate(followed(graphs)):
        chosen = one_of_every_depth(graph, rng) if nodes is None else [nodes[number] % len(graph)]
        deepest = max(graph.depths_by_node)
        recording = record(model, graph, n_steps=deepest + 2)
        base = BaseRun.of(model, recording, recording.n_steps)
        for node in followed(chosen):
            n_operands = len(graph.nodes[node].operands)
            for status in statuses:
                step = graph.depths_by_node[node] + _STEP_OF[status]
                for vary in perturbations_of(graph.nodes[node]):
                    try:
                        states = controlled(model, recording, vary, node, step, n, seed)
                    except ControlledError:
                        continue
                    spread, size = _sums(head_outputs(model, states, base))
                    varying.append(spread)
                    total.append(size)
                    lines.append(
                        {
                            "graph": number,
                            "node": node,
                            "vary": _by_place(vary, n_operands),
                            "status": status,
                            "step": step,
                            "n_variations": len(states),
                        }
                    )
    if not lines:
        raise ControlledError("no perturbation can be made; allowed: graphs that have nodes with operands")
    return HeadVariance(pd.DataFrame(lines), np.stack(varying), np.stack(total))


def one_of_every_depth(graph: ComputationGraph, rng: np.random.Generator) -> list[int]:
    """A node of every depth from 1 on."""
    depths = np.array(graph.depths_by_node)
    return [int(rng.choice(np.flatnonzero(depths == depth))) for depth in range(1, int(depths.max()) + 1)]


@torch.no_grad()
def head_outputs(model: RecurrentTransformer, states: Controlled, base: BaseRun | None = None) -> Tensor:
    """Float [variation, layer, head, d_model]: what every head adds at the equation's right-hand side.

    base: the run the states are taken from; positions before the first that differs from it are not computed again.
    """
    kept: list[Tensor] = []

    def keep(z: Tensor, hook: Any) -> None:
        kept.append(z[:, states.rhs - start])

    step, start = states.step, 0
    # In a causal model what follows the right-hand side does not reach it.
    end = states.rhs + 1 if model.cfg.attention_dir == "causal" else states.states.shape[1]
    entering = states.states[:, :end].to(model.W_E.device)
    resid = model.embed_state(entering) if states.hidden is None else states.hidden[:, :end]
    model.grow_steps(step + 1)
    names = [f"steps.{step}.blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        if base is None or not model.resumable:
            graph = states.encoded.mask[:, :end].to(entering.device).expand(len(entering), -1)
            model.step(resid, step, graph if model.cfg.attention_dir == "bidirectional" else None)
        else:
            differs = (entering != base.states[step, :end].to(entering.device)).any(-1).any(0)
            start = int(differs.int().argmax()) if bool(differs.any()) else end - 1
            model.resume(resid[:, start:], base.past(step, 0, start), 0, step)
    outputs = [torch.einsum("vhk,hkd->vhd", z, W_O) for z, W_O in zip(kept, model.W_O, strict=True)]
    return torch.stack(outputs, 1).cpu()


def _sums(outputs: Tensor) -> tuple[Floats, Floats]:
    """Over variations the unbiased variance of o and the mean of ||o||^2, [layer, head]."""
    out = outputs.double()
    squares = (out - out.mean(0)).square().sum((0, -1))
    return (squares / max(len(out) - 1, 1)).numpy(), out.square().sum(-1).mean(0).numpy()


def _ratio(varying: Floats, total: Floats) -> Floats:
    """nan where there is nothing to vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, varying / total, np.nan)


def _by_place(vary: str, n_operands: int) -> str:
    """``operand:0`` of three as ``operand:first``; an operation by the operand before it."""
    kind, _, place = vary.partition(":")
    return kind if not place else f"{kind}:{PLACES[n_operands - 1 - int(place)]}"
