"""Relative variance of every head's output when one thing of an equation varies.

    E ||o - mean o||^2 / E ||o||^2,    o = z W_O of one head at the equation's right-hand side

(Altabaa et al. 2025, mechanism study): 1 where the output is all about what varies, 0 where it does not depend on it.
Squares are summed over many equations before the ratio is taken, mean o being that of one equation's variations. The
paper measures it on one appended equation in one pass; here by status of the node, in the step before, at and after
its own, and by step.
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

from interp.following import BaseRun
from interp.interventions import record
from interp.labels import STATUSES
from interp.mechanism.perturbed import KINDS, Controlled, ControlledError, controlled, perturbations_of
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

Floats = NDArray[np.float64]
_STEP_OF: Final = {"waiting": -1, "computing": 0, "done": 1}
"""Steps from a node's own step at which it is looked at, by status."""
PLACES: Final = ("last", "middle", "first")
"""Operands counted from the end of the left-hand side, as the offsets seen from the right-hand side are."""


@dataclass(frozen=True, eq=False)
class HeadVariance:
    """Sums of squares, one line for every equation, status and perturbation that could be made.

    Attributes:
        table: columns ``graph``, ``node``, ``vary`` (operands by place: ``operand:last``), ``status``, ``step``,
            ``n_variations``.
        varying: float [line, layer, head]; mean over variations of ||o - mean o||^2.
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
        varying, total = self.varying[at].sum(0), self.total[at].sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, varying / total, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """Columns ``vary, status, step, layer, head, relative_variance, equations``; ``step`` "all" is the sum."""
        rows: list[dict[str, Any]] = []
        for (vary, status), part in self._groups(["vary", "status"]):
            by_step = [(step, lines) for (step,), lines in self._groups(["step"], part)]
            for step, lines in [("all", part), *by_step]:
                varying, total = self.varying[lines].sum(0), self.total[lines].sum(0)
                for layer, head in np.ndindex(*total.shape):
                    ratio = varying[layer, head] / total[layer, head] if total[layer, head] > 0 else np.nan
                    rows.append(
                        {
                            "vary": vary,
                            "status": status,
                            "step": step,
                            "layer": layer,
                            "head": head,
                            "relative_variance": ratio,
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
        ControlledError: a model without discrete states; no perturbation at all. ValueError: an unknown status.
    """
    unknown = [status for status in statuses if status not in STATUSES]
    if unknown:
        raise ValueError(f"status {unknown[0]!r} is unknown; allowed: {', '.join(STATUSES)}")
    if nodes is not None and len(nodes) != len(graphs):
        raise ValueError(f"{len(nodes)} nodes for {len(graphs)} graphs; allowed: one for each, or none")
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    varying: list[Floats] = []
    total: list[Floats] = []
    for number, graph in enumerate(graphs):
        chosen = one_of_every_depth(graph, rng) if nodes is None else [nodes[number] % len(graph)]
        deepest = max(graph.depths_by_node)
        recording = record(model, graph, n_steps=deepest + 2)
        base = BaseRun.of(model, recording, recording.n_steps)
        for node in chosen:
            n_operands = len(graph.nodes[node].operands)
            for status in statuses:
                step = graph.depths_by_node[node] + _STEP_OF[status]
                for vary in perturbations_of(graph.nodes[node]):
                    try:
                        states = controlled(model, recording, vary, node, step, n, seed)
                    except ControlledError:
                        if model.cfg.bottleneck != "discrete":
                            raise
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
    model.grow_steps(step + 1)
    names = [f"steps.{step}.blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        if base is None or not model.resumable:
            model.transition(entering, step)
        else:
            differs = (entering != base.states[step, :end].to(entering.device)).any(-1).any(0)
            start = int(differs.int().argmax()) if bool(differs.any()) else end - 1
            model.resume(model.embed_state(entering[:, start:]), base.past(step, 0, start), 0, step)
    outputs = [torch.einsum("vhk,hkd->vhd", z, W_O) for z, W_O in zip(kept, model.W_O, strict=True)]
    return torch.stack(outputs, 1).cpu()


def _sums(outputs: Tensor) -> tuple[Floats, Floats]:
    """Mean over variations of ||o - mean o||^2 and of ||o||^2, [layer, head]."""
    out = outputs.double()
    spread = (out - out.mean(0)).square().sum(-1).mean(0)
    return spread.numpy(), out.square().sum(-1).mean(0).numpy()


def _by_place(vary: str, n_operands: int) -> str:
    """``operand:0`` of three as ``operand:first``; an operation by the operand before it."""
    kind, _, place = vary.partition(":")
    return kind if not place else f"{kind}:{PLACES[n_operands - 1 - int(place)]}"
