"""What a head is for at every kind of token: where it looks from there, and which symbols of the token it keeps right.

Right-hand sides are where values appear (:mod:`interp.mechanism.attention_roles`), but a step copies the rest of the
text as well, and what a head does at a right-hand side may rest on what another did at the tokens it looks at. Tokens
are told apart by their place in the equation:

    given               a leaf's number
    operand:PLACE       an operand, counted from the end of the left-hand side (``last``, ``middle``, ``first``)
    operation           between two operands
    equals, separator   '=', and what stands between two equations
    rhs:K               the right-hand side of a node of K operands; 0 is a leaf

A head is taken out at one step, and the state which that step writes is compared with the one it writes otherwise:
what breaks at once, before later steps build on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.causal.ablation import Component, check_method, replacements
from interp.engine.interventions import Recording, record
from interp.engine.replay import run_interventions
from interp.engine.sparse.tally import Exactness
from interp.mechanism.variances import PLACES
from interp.synchronous import token_places
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

MOST_OPERANDS: Final = len(PLACES)
KINDS: Final = (
    "given",
    *(f"operand:{place}" for place in reversed(PLACES)),
    *("operation", "equals", "separator"),
    *(f"rhs:{k}" for k in range(MOST_OPERANDS + 1)),
)
"""Kinds of tokens."""
FAR: Final = 16
"""Distances from here on are one."""
Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class ByToken:
    """Heads by kind of token.

    Attributes:
        heads: the heads.
        method: what was written instead of their output.
        tokens: int [kind]; how many tokens of a kind, times steps. Kinds as :data:`KINDS`, factors as ``FACTORS``.
        attention: float [head, kind, kind looked at]; mean attention probability.
        distance: float [head, kind, distance]; the same by distance in positions, :data:`FAR` and farther being one.
        broken: float [head, kind, factor]; share of tokens whose symbol another one is written for without the head.
    """

    heads: tuple[Component, ...]
    method: str
    tokens: NDArray[np.int64]
    attention: Floats
    distance: Floats
    broken: Floats

    def to_frame(self) -> pd.DataFrame:
        """One row per head and kind that occurs: ``head``, ``token``, ``tokens``; ``looks_at`` and ``attention`` (the
        kind with most of it); ``back`` and ``back_attention`` (the distance with most of it); ``broken_FACTOR``.
        """
        rows: list[dict[str, Any]] = []
        for (number, head), (k, kind) in (
            (one, two) for one in enumerate(self.heads) for two in enumerate(KINDS) if self.tokens[two[0]]
        ):
            target, back = (int(part[number, k].argmax()) for part in (self.attention, self.distance))
            rows.append(
                {
                    "head": f"{head.layer}.{head.head}",
                    "token": kind,
                    "tokens": int(self.tokens[k]),
                    "looks_at": KINDS[target],
                    "attention": float(self.attention[number, k, target]),
                    "back": back,
                    "back_attention": float(self.distance[number, k, back]),
                    **{
                        f"broken_{factor}": float(self.broken[number, k, f])
                        for f, factor in enumerate(FACTORS)
                    },
                }
            )
        return pd.DataFrame(rows)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.causal.by_token_figure.by_token_figure`."""
        from interp.causal.by_token_figure import by_token_figure

        return by_token_figure(self, width)


def token_kinds(graph: ComputationGraph) -> list[str]:
    """One of :data:`KINDS` for every position of the text."""
    found: list[str] = []
    for index, place in token_places(graph):
        operands = len(graph.nodes[index].operands)
        length = 2 * max(operands, 1)
        if place > length:
            found.append("separator")
        elif place == length:
            found.append(f"rhs:{operands}")
        elif place == length - 1:
            found.append("equals")
        elif place % 2:
            found.append("operation")
        else:
            found.append(f"operand:{PLACES[operands - 1 - place // 2]}" if operands else "given")
    return found


@torch.no_grad()
def by_token(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    heads: Sequence[Component],
    method: str = "mean",
    n_steps: int | None = None,
    seed: int = 0,
    exact: Exactness = "states",
) -> ByToken:
    """Where heads look from every kind of token, and what breaks without them, over all steps of the graphs' runs.

    n_steps: steps that are looked at; default: as many as the deepest graph has levels. seed: of resampled positions.
    exact: as for :func:`interp.run_interventions`.

    Raises:
        SiteError: a head that the model does not have.
        ValueError: no graph, an MLP, an unknown method, an equation of more than :data:`MOST_OPERANDS` operands.
    """
    check_method(method)
    if not graphs or not heads or any(head.head is None for head in heads):
        raise ValueError("allowed are one head or more (no MLPs) and one graph or more")
    most = max(len(node.operands) for graph in graphs for node in graph.nodes)
    if most > MOST_OPERANDS:
        raise ValueError(f"an equation has {most} operands; allowed are up to {MOST_OPERANDS}")
    levels = max(max(graph.depths_by_node) for graph in graphs) + 1
    count = n_steps or model.cfg.default_steps or levels
    recordings = [record(model, graph, count) for graph in graphs]
    made = replacements(method, recordings, seed)
    tokens = np.zeros(len(KINDS), np.int64)
    attention = np.zeros((len(heads), len(KINDS), len(KINDS)))
    distance = np.zeros((len(heads), len(KINDS), FAR + 1))
    broken = np.zeros((len(heads), len(KINDS), len(FACTORS)))
    for row, recording in enumerate(recordings):
        kinds = np.array([KINDS.index(kind) for kind in token_kinds(recording.graph)])
        is_kind = np.eye(len(KINDS))[kinds]
        tokens += count * np.bincount(kinds, minlength=len(KINDS))
        away = np.arange(len(kinds))[:, None] - np.arange(len(kinds))
        at_distance = np.eye(FAR + 1)[np.abs(away).clip(max=FAR)]
        for step in range(count):
            for number, pattern in enumerate(_patterns(recording, heads, step)):
                attention[number] += is_kind.T @ pattern @ is_kind
                distance[number] += is_kind.T @ np.einsum("ds,dsk->dk", pattern, at_distance)
            given = [made(head.site(step), row) for head in heads]
            replays = run_interventions(model, recording, given, step + 1, None, exact=exact)
            before = recording.trajectory.states[step + 1, 0]
            for number, replay in enumerate(replays):
                broken[number] += is_kind.T @ (replay.final != before).numpy().astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (part / tokens[None, :, None] for part in (attention, distance, broken))
        return ByToken(tuple(heads), method, tokens, *shares)


def _patterns(recording: Recording, heads: Sequence[Component], step: int) -> list[Floats]:
    """[destination, source] of every head."""
    names = {head.layer: f"blocks.{head.layer}.attn.hook_pattern" for head in heads}
    recording.keep((name, step) for name in names.values())
    return [recording.activation(names[head.layer], step)[head.head].double().numpy() for head in heads]
