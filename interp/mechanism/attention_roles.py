"""Where every head looks from the right-hand sides, in terms of the equation: operands, values, '=', separators.

Attention probabilities at every node's right-hand side are summed over the positions that have a role for that node.
Operands are counted from the end of the left-hand side (``last``, ``middle``, ``first``), as the offsets are. A mean is
taken over the nodes that have the role:

    name:PLACE        the operand's token in the node's own equation
    value:PLACE       the right-hand side of the operand, where its value is
    operation:PLACE   the operation before the operand PLACE
    given             a leaf's number
    equals, self      the '=' before, and the right-hand side itself
    separator         all separators before
    other             all else

By status of the node (:data:`interp.data.labels.STATUSES`) and step; on the runs as they are, nothing is edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.head_detector import HEAD_NAMES, detect_head

from interp.data.labels import STATUSES
from interp.data.rhs_runs import rhs_runs, steps_of
from interp.mechanism.variances import PLACES
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import SYNTAX, EncodedGraphs

Floats = NDArray[np.float64]
ROLES: Final = (
    *(f"name:{place}" for place in PLACES),
    *(f"value:{place}" for place in PLACES),
    *(f"operation:{place}" for place in PLACES[:2]),
    *("given", "equals", "self", "separator", "other"),
)
N_OFFSETS: Final = 16
"""Distances from the right-hand side that are told apart: 0 is itself, the last one is its own and all farther."""
DETECTED: Final = ("previous_token_head", "duplicate_token_head", "induction_head")


@one_line
@dataclass(frozen=True, eq=False)
class AttentionTargets:
    """Mean attention from right-hand sides; all arrays [status, step, ..., layer, head], nan where no node is.

    Attributes:
        mass: [status, step, role, layer, head], roles as :data:`ROLES`; mean over nodes that have the role.
        entropy: [status, step, layer, head], in bits.
        chance: [status, step, role]; ``mass`` if a head looked everywhere alike.
        offsets: [status, step, offset, layer, head], by distance in positions; mean over nodes that have so many
            positions before them.
        stability: [step, layer, head]; mean over nodes of sum min(p_t, p_{t-1}): 1 where a head looks where it looked
            a step before, 0 where nowhere of it. Nan at step 0.
        nodes: int [status, step], how many nodes.
        detected: [pattern, step, layer, head]; TransformerLens's ``detect_head`` scores for :data:`DETECTED`, on the
            text of the first graph, over all positions and not right-hand sides only. Nan where the text is not
            supported (as long as ``cfg.n_ctx``).
    """

    mass: Floats
    chance: Floats
    entropy: Floats
    offsets: Floats
    stability: Floats
    nodes: NDArray[np.int64]
    detected: Floats

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return self.mass.shape[1]

    def over_steps(self, values: Floats, status: str = "computing") -> Floats:
        """Mean over steps of one status, weighted by nodes: ``mass`` -> [role, layer, head]."""
        index = STATUSES.index(status)
        weights = self.nodes[index].astype(float)
        weights = weights.reshape(-1, *[1] * (values.ndim - 2))
        known = ~np.isnan(values[index])
        total = (weights * known).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, np.nansum(weights * values[index], 0) / total, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """Columns ``status, step, layer, head, role, mass, entropy, nodes``; only where there are nodes."""
        rows: list[dict[str, Any]] = []
        for (s, status), t in ((pair, t) for pair in enumerate(STATUSES) for t in range(self.n_steps)):
            if not self.nodes[s, t]:
                continue
            for r, layer, head in np.ndindex(*self.mass.shape[2:]):
                rows.append(
                    {
                        "status": status,
                        "step": t,
                        "layer": layer,
                        "head": head,
                        "role": ROLES[r],
                        "mass": self.mass[s, t, r, layer, head],
                        "entropy": self.entropy[s, t, layer, head],
                        "nodes": int(self.nodes[s, t]),
                    }
                )
        return pd.DataFrame(rows)


@torch.no_grad()
def attention_targets(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    n_steps: int | None = None,
    detect: bool = True,
) -> AttentionTargets:
    """Attention from all right-hand sides at every step of the runs of ``graphs``.

    n_steps: default the deepest graph's depth and two more, so that every status occurs. detect: whether
        TransformerLens is asked for its scores of heads, too, which takes over half of the time; else they are NaN.

    Raises:
        ValueError: no graphs, n_steps < 1, or a chain-of-thought model, which has no states.
        VocabularyError: a graph the model cannot read.

    Examples:
        >>> from interp import attention_targets
        >>> from models import ComputationGraph, load
        >>> found = attention_targets(load("compiled"), [ComputationGraph.parse("20 = a; 2 = b; a + b = c")])
        >>> found.n_steps, found.to_frame().columns[0]
        (3, 'status')
    """
    n_steps = steps_of(model, graphs, n_steps)
    sums = _Sums(n_steps, model.cfg.n_layers, model.cfg.n_heads)
    for encoded, cache in rhs_runs(model, graphs, ["hook_pattern"], n_steps):
        roles = _role_masks(encoded)
        for layer in range(model.cfg.n_layers):
            patterns = cache[f"blocks.{layer}.attn.hook_pattern"].cpu()  # [step, batch, head, node, pos]
            for t, pattern in enumerate(patterns):
                sums.add(t, layer, pattern, roles, encoded, patterns[t - 1] if t else None)
    return sums.finished(_detected(model, graphs[0], n_steps, detect))


class _Sums:
    """Sums over nodes, by status and step."""

    def __init__(self, n_steps: int, n_layers: int, n_heads: int) -> None:
        shape, grid = (len(STATUSES), n_steps), (n_layers, n_heads)
        self.mass = np.zeros((*shape, len(ROLES), *grid))
        self.having = np.zeros((*shape, len(ROLES), 1, 1))
        self.chance = np.zeros((*shape, len(ROLES)))
        self.entropy = np.zeros((*shape, *grid))
        self.offsets = np.zeros((*shape, N_OFFSETS, *grid))
        self.far_enough = np.zeros((*shape, 1, 1, 1))
        self.nodes = np.zeros(shape, np.int64)
        self.stable = np.zeros((n_steps, *grid))
        self.followed = np.zeros((n_steps, 1, 1))

    def add(
        self,
        t: int,
        layer: int,
        pattern: Tensor,
        roles: Tensor,
        encoded: EncodedGraphs,
        previous: Tensor | None,
    ) -> None:
        """Take in the pattern [batch, head, node, pos] of one layer; roles bool [batch, node, role, pos]."""
        is_node = encoded.rhs >= 0
        masses = torch.einsum("bhnp,bnrp->bnrh", pattern, roles.to(pattern.dtype)).double()
        bits = -torch.xlogy(pattern, pattern).sum(-1).double() / np.log(2)  # [batch, head, node]
        distance = (encoded.rhs[..., None] - torch.arange(pattern.shape[-1])).clamp(0, N_OFFSETS - 1)
        by_offset = torch.zeros(*pattern.shape[:3], N_OFFSETS, dtype=torch.float64)
        by_offset.scatter_add_(-1, distance[:, None].expand(pattern.shape), pattern.double())
        having, alike = roles.any(-1), roles.double().sum(-1) / (encoded.rhs[..., None] + 1)
        for s in range(len(STATUSES)):
            nodes = is_node & (torch.sign(t - encoded.depths) + 1 == s)
            mine = nodes[..., None, None]
            self.mass[s, t, :, layer] += (masses * (mine & having[..., None])).sum((0, 1)).numpy()
            self.entropy[s, t, layer] += (bits * nodes[:, None]).sum((0, 2)).numpy()
            far = nodes & (encoded.rhs >= N_OFFSETS - 1)
            self.offsets[s, t, :, layer] += (by_offset * far[:, None, :, None]).sum((0, 2)).T.numpy()
            if layer == 0:
                self.nodes[s, t] += int(nodes.sum())
                self.far_enough[s, t] += int(far.sum())
                self.having[s, t, :, 0, 0] += (having & nodes[..., None]).sum((0, 1)).numpy()
                self.chance[s, t] += (alike * nodes[..., None]).sum((0, 1)).numpy()
        if previous is not None:
            overlap = torch.minimum(pattern, previous).sum(-1).double() * is_node[:, None]
            self.stable[t, layer] += overlap.sum((0, 2)).numpy()
            if layer == 0:
                self.followed[t] += int(is_node.sum())

    def finished(self, detected: Floats) -> AttentionTargets:
        with np.errstate(invalid="ignore", divide="ignore"):
            nodes = self.nodes[..., None, None]
            return AttentionTargets(
                mass=self.mass / self.having,
                chance=self.chance / self.having[..., 0, 0],
                entropy=self.entropy / nodes,
                offsets=self.offsets / self.far_enough,
                stability=self.stable / self.followed,
                nodes=self.nodes,
                detected=detected,
            )


def _role_masks(encoded: EncodedGraphs) -> Tensor:
    """Bool [batch, node, role, pos]; every position before the right-hand side has exactly one role for a node."""
    batch, n_nodes = encoded.rhs.shape
    n_pos = encoded.factors.shape[1]
    masks = torch.zeros(batch, n_nodes, len(ROLES), n_pos, dtype=torch.bool)
    syntax = cast("list[list[int]]", cast(Any, encoded.factors[..., 0]).tolist())
    separator = SYNTAX.index("[sep]")
    for row, graph in enumerate(encoded.graphs):
        rhs = cast("list[int]", cast(Any, encoded.rhs[row]).tolist())
        separators = torch.tensor([symbol == separator for symbol in syntax[row]])
        for index, node in enumerate(graph.nodes):
            end, mask = rhs[index], masks[row, index]
            mask[ROLES.index("separator"), :end] = separators[:end]
            for place, (name, operand) in enumerate(zip(PLACES, reversed(node.operands), strict=False)):
                mask[ROLES.index(f"name:{name}"), end - 2 - 2 * place] = True
                mask[ROLES.index(f"value:{name}"), rhs[operand]] = True
                if place + 1 < len(node.operands):
                    mask[ROLES.index(f"operation:{name}"), end - 3 - 2 * place] = True
            if node.value is not None:
                mask[ROLES.index("given"), end - 2] = True
            mask[ROLES.index("equals"), end - 1] = True
            mask[ROLES.index("self"), end] = True
            mask[-1, : end + 1] = ~mask[:-1, : end + 1].any(0)
    return masks


def _detected(model: RecurrentTransformer, graph: ComputationGraph, n_steps: int, detect: bool) -> Floats:
    """TransformerLens's own scores, step by step, [pattern, step, layer, head]; NaN where they are not asked for."""
    shape = (len(DETECTED), n_steps, model.cfg.n_layers, model.cfg.n_heads)
    found = np.full(shape, np.nan)
    encoded = model.to_encoded(graph)
    if not detect or encoded.packed.shape[1] >= model.cfg.n_ctx:
        return found
    discrete = model.cfg.bottleneck == "discrete"
    states = model.vocabulary.pack(model.run(encoded, n_steps=n_steps).states) if discrete else None
    for t in range(n_steps):
        view = model.at_step(t, ~encoded.mask)
        entering = encoded.packed if states is None else states[t]
        _, cache = view.run_with_cache(entering, names_filter=_is_pattern, remove_batch_dim=True)
        for p, name in enumerate(DETECTED):
            assert name in HEAD_NAMES
            scores = detect_head(
                cast(Any, view), cast(Any, encoded.packed), name, cache=cast(ActivationCache, cache)
            )
            found[p, t] = scores.numpy()
    return found


def _is_pattern(name: str) -> bool:
    return name.endswith("hook_pattern")
