"""Does snapping heal a drifting state? Every k steps the hidden state is replaced by the embedding of what it shows.

A discrete model is snapped in every step; a continuous one is not, and what it drifts by stays in its state. Replaced
by the embedding of its own most likely symbols, the state loses all that is not a symbol, right or wrong: no value is
told to it. Snapping can mend a drift away from the embeddings while the symbols are still read right; it makes an error
lasting where they are not.

    never     the run as it is
    k         snapped after every k-th step
    placebo   after every step the state is moved as far as the snap would, in a random direction: were any
              disturbance of use, this would do as well

Counted are graphs whose nodes all show their true values ``on_time`` (after as many steps as the graph has levels),
``late`` (after :data:`LATE` times as many), and at ``best``, the one step of all runs of a size that is best for this
kind of run, which is chosen after the fact.
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

from interp.failures.drifting import Between, hidden_steps, length, need_hidden
from interp.failures.schedule import by_size
from interp.statistics.shares import Share, solves_more
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

EVERY: Final = (1, 2, 4, 8)
NEVER, PLACEBO = "never", "placebo"
LATE: Final = 3
MOMENTS: Final = ("on_time", "best", "late")


@one_line
@dataclass(frozen=True, eq=False)
class Snapping:
    """Graphs solved by step, snapped or not.

    Attributes:
        sizes, needed: int [graph]; nodes, and steps that the graph needs (depth + 1).
        solved: kind of run (``never``, ``1``, ``2``, ..., ``placebo``) -> bool [step, graph], after the step; the last
            step that a size was run stands for all that follow.
    """

    sizes: NDArray[np.int64]
    needed: NDArray[np.int64]
    solved: dict[str, NDArray[np.bool_]]

    def share(self, kind: str, moment: str, size: int) -> Share:
        """Of the graphs of a size.

        Raises:
            ValueError: an unknown moment.
        """
        return Share.of(self.flags(kind, moment, size))

    def flags(self, kind: str, moment: str, size: int) -> NDArray[np.bool_]:
        """Bool [graph of that size], in order."""
        if moment not in MOMENTS:
            raise ValueError(f"moment is {moment!r}; allowed: {', '.join(MOMENTS)}")
        chosen = self.sizes == size
        solved, needed = self.solved[kind][:, chosen], self.needed[chosen]
        if moment == "best":
            return solved[self.best_step(kind, size)]
        after = needed if moment == "on_time" else LATE * needed
        return solved[after - 1, np.arange(len(needed))]

    def best_step(self, kind: str, size: int) -> int:
        """The first step after which most graphs of a size are solved."""
        return int(self.solved[kind][:, self.sizes == size].mean(1).argmax())

    @property
    def snapped(self) -> list[str]:
        """The kinds of runs that are snapped."""
        return [kind for kind in self.solved if kind not in (NEVER, PLACEBO)]

    def heals(self, moment: str, size: int) -> bool:
        """Whether snapping after every step solves more than never, and more than the placebo: by the exact test of
        the graphs that only one of two solves (McNemar), at 5 %.
        """
        every = self.flags(self.snapped[0], moment, size)
        return all(solves_more(every, self.flags(kind, moment, size)) for kind in (NEVER, PLACEBO))

    def to_frame(self) -> pd.DataFrame:
        """A row per size, kind and moment: nodes, every, moment, step (of ``best``; -1), and the share of graphs."""
        rows: list[dict[str, Any]] = []
        for size in sorted(set(self.sizes.tolist())):
            for kind in self.solved:
                for moment in MOMENTS:
                    step = self.best_step(kind, size) if moment == "best" else -1
                    rows.append(
                        {"nodes": size, "every": kind, "moment": moment, "step": step}
                        | self.share(kind, moment, size).to_dict()
                    )
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_runs_figure.snapping_figure`."""
        from interp.failures.failing_runs_figure import snapping_figure

        return snapping_figure(self)

    def verdict(self) -> str:
        """What snapping after every step gains, of every size."""
        parts: list[str] = []
        first = self.snapped[0]
        for size in sorted(set(self.sizes.tolist())):
            heals = [moment for moment in MOMENTS if self.heals(moment, size)]
            shares = "; ".join(
                f"{words} {self.share(first, moment, size)} snapped every step, {self.share(NEVER, moment, size)} "
                f"never, {self.share(PLACEBO, moment, size)} with the placebo"
                for moment, words in (("on_time", "at depth + 1"), ("late", f"at {LATE} times that"))
            )
            said = (
                f"snapping heals ({', '.join(heals).replace('_', ' ')})"
                if heals
                else "snapping does not measurably heal"
            )
            parts.append(f"at {size} nodes {said}: {shares}")
        return "; ".join(parts)


@torch.no_grad()
def snapping(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    every: Sequence[int] = EVERY,
    seed: int = 0,
) -> Snapping:
    """Run the graphs :data:`LATE` times as many steps as the deepest of their size needs, in every way.

    Args:
        every: after how many steps the state is snapped, one run for each. seed: of the placebo's directions.

    Raises:
        ValueError: no graphs, a number of steps below 1, or a model without states by step. VocabularyError: a graph
            the model cannot read.
    """
    need_hidden(model)
    if not every or min(every) < 1:
        raise ValueError(f"every is {list(every)}; allowed: numbers of steps of 1 or more, at least one")
    ways: dict[str, Between | None] = {NEVER: None}
    ways |= {str(k): _every(model, k) for k in sorted(set(every))}
    ways[PLACEBO] = _placebo(model, torch.Generator().manual_seed(seed))
    sizes = np.array([len(graph) for graph in graphs])
    needed = np.array([max(graph.depths_by_node) + 1 for graph in graphs])
    most = LATE * int(needed.max(initial=1))
    solved = {kind: np.zeros((most, len(graphs)), dtype=bool) for kind in ways}
    for size, indices, encoded in by_size(model, graphs):
        n_steps = LATE * int(needed[sizes == size].max())
        rhs, exists = encoded.rhs.clamp_min(0), encoded.rhs >= 0
        for kind, between in ways.items():
            for step, (_, state) in enumerate(hidden_steps(model, encoded, n_steps, between)):
                if step:
                    shown = state[..., 3].cpu().gather(1, rhs)
                    right = ((shown == encoded.values) | ~exists).all(1)
                    solved[kind][step - 1 :, indices] = right.numpy()
    return Snapping(sizes, needed, solved)


def _every(model: RecurrentTransformer, k: int) -> Between:
    """What enters the next step, snapped after every k-th."""
    continuous = model.cfg.bottleneck == "continuous"

    def between(step: int, hidden: Tensor, state: Tensor) -> Tensor:
        return hidden if continuous and (step + 1) % k else model.embed_state(state)

    return between


def _placebo(model: RecurrentTransformer, rng: torch.Generator) -> Between:
    """What enters the next step, moved as far as the snap would, in a random direction."""

    def between(step: int, hidden: Tensor, state: Tensor) -> Tensor:
        if model.cfg.bottleneck != "continuous":
            return model.embed_state(state)
        drawn = torch.randn(hidden.shape, generator=rng).to(hidden)
        return hidden + drawn * (length(model.embed_state(state) - hidden) / length(drawn))[..., None]

    return between
