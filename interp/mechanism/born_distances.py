"""What becomes of distances that heads are born with.

Where ``cfg.born_distances`` is not 0, head j of the first layer starts with that bias at distance j: which head looks
how far back is given, not found. What training makes of it is measured, of every snapshot and of the initialisation
(step 0):

    bias        softmax over distances of the head's bias alone, at its own distance: where it would look if all tokens
                were alike. Its largest entry need not be there any more
    attention   the mean probability that right-hand sides of nodes being computed give to that distance, on runs of
                graphs: bias and content together, so it can leave a distance at which the bias stays
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.mechanism.attention_roles import N_OFFSETS, attention_targets
from models.graph import ComputationGraph
from models.one_line import one_line
from models.positions import RelativeBias
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class BornDistances:
    """First-layer heads at the distances they were born with; head j at distance j.

    Attributes:
        strength: of the bias at birth.
        steps: int [snapshot], training steps done; the first is 0, the initialisation.
        largest: int [snapshot, head], the distance of the head's largest bias.
        bias, attention: float [snapshot, head], shares from 0 to 1 (see the module).
    """

    strength: float
    steps: NDArray[np.int64]
    largest: NDArray[np.int64]
    bias: Floats
    attention: Floats

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Bool [snapshot, head], whether the largest bias is at the head's own distance."""
        n_heads: int = self.largest.shape[1]
        return np.equal(self.largest, np.arange(n_heads))

    def verdict(self) -> str:
        """One sentence: what was given, where the bias stayed, how far attention fell and where it ended."""
        at, head = np.unravel_index(self.attention.argmin(), self.attention.shape)
        low, end = self.attention.min(0), self.attention[-1]
        back = [f"0.{j}" for j in range(len(end)) if low[j] < 0.5 <= end[j]]
        stayed = int(self.kept[1:].all(0).sum())
        return (
            f"head j of the first layer was born with a bias of {self.strength:g} at distance j, given and not learnt: "
            f"{stayed} of {len(end)} heads have their largest bias there in every snapshot (softmax "
            f"{self.bias[-1].min():.2f} to {self.bias[-1].max():.2f} at the end, {self.bias[0].min():.2f} at birth), "
            f"while attention at that distance fell from {self.attention[0].min():.2f} or more to as little as "
            f"{self.attention[at, head]:.2f} (head 0.{head}, step {self.steps[at]}); it fell below half and came back "
            f"for heads {', '.join(back) or 'none'}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Columns ``step, head, distance, largest, bias, attention``; ``largest`` is a distance too."""
        rows: list[dict[str, Any]] = []
        for at, head in np.ndindex(*self.bias.shape):
            rows.append(
                {
                    "step": int(self.steps[at]),
                    "head": head,
                    "distance": head,
                    "largest": int(self.largest[at, head]),
                    "bias": float(self.bias[at, head]),
                    "attention": float(self.attention[at, head]),
                }
            )
        return pd.DataFrame(rows)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.mechanism.onsets_figure.born_figure`."""
        from interp.mechanism.onsets_figure import born_figure

        return born_figure(self, width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which :meth:`from_dict` reads."""
        arrays = {name: getattr(self, name).tolist() for name in ("steps", "largest", "bias", "attention")}
        return {"strength": self.strength, **arrays}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BornDistances:
        """Of what :meth:`to_dict` gives.

        Raises:
            KeyError, ValueError, TypeError: something is missing or no number.
        """
        steps, largest = (np.array(data[name], np.int64) for name in ("steps", "largest"))
        bias, attention = (np.array(data[name], np.float64) for name in ("bias", "attention"))
        if not largest.shape == bias.shape == attention.shape or len(largest) != len(steps):
            raise ValueError(
                "largest, bias and attention are [snapshot, head], and need a snapshot for each step"
            )
        return cls(float(data["strength"]), steps, largest, bias, attention)


def born_distances(
    snapshots: Iterable[tuple[int, RecurrentTransformer]], graphs: Sequence[ComputationGraph]
) -> BornDistances | None:
    """Follow the distances over snapshots (training step, model in evaluation mode) of one run, in order.

    Heads are followed up to the distance :data:`N_OFFSETS` - 2. None where the run was not begun with any.

    Raises:
        ValueError: no snapshot or graph.
    """
    steps: list[int] = []
    rows: list[tuple[NDArray[np.int64], Floats, Floats]] = []
    strength = 0.0
    for step, model in snapshots:
        if not model.cfg.born_distances:
            return None
        if not steps:
            strength = model.cfg.born_distances
            steps.append(0)
            rows.append(_measured(model.untrained(model.cfg.seed), graphs))
        steps.append(step)
        rows.append(_measured(model, graphs))
    if not steps:
        raise ValueError("there is no snapshot; at least one is needed")
    largest, bias, attention = (np.stack(part) for part in zip(*rows, strict=True))
    return BornDistances(strength, np.array(steps), largest, bias, attention)


@torch.no_grad()
def _measured(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of every head: distance of its largest bias; softmax of the bias, and attention, at its own distance."""
    table = cast(RelativeBias, model.layers[0].attn.pos)
    bias = table.bias[:, : table.window].double().cpu()
    own = torch.arange(min(*bias.shape, N_OFFSETS - 1))
    targets = attention_targets(model, graphs)
    offsets = np.nan_to_num(targets.over_steps(targets.offsets))  # [offset, layer, head]
    return (
        bias[own].argmax(-1).numpy(),
        bias.softmax(-1)[own, own].numpy(),
        offsets[own.numpy(), 0, own.numpy()],
    )
