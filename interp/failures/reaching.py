"""How deep a model gets whose number of steps is fixed: nodes right by depth and by size of the graph, and by step.

The synchronous algorithm computes one level of a graph in each step; a model of L layers and T steps has L T layers to
compute as many levels as it can. The reach is the smallest depth at which less than half of the nodes are right
(:data:`HALF`), of depths with at least :data:`LEAST` nodes. Nodes of one depth in graphs of different sizes tell
depth from size: were depth alone what fails, the reach would be the same at all sizes. Chance is the share of the most
common true value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.failures.frames import column, flags, select
from interp.failures.schedule import by_size
from interp.statistics.counted import percent
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

HALF: Final = 0.5
LEAST: Final = 10
BEYOND: Final = 2
"""Times its own number of steps that a model of several steps is run for."""


@one_line
@dataclass(frozen=True, eq=False)
class Reaching:
    """Nodes right by depth and by step.

    Attributes:
        n_layers, n_steps: of the model, as its method fixes them.
        nodes: a row per node: graph, nodes, node, depth, operands, right (after n_steps).
        by_step: int [step, size, 2]; nodes right and all nodes, after each step, of up to :data:`BEYOND` times n_steps
            (n_steps alone where it is 1); solved: int [step, size, 2], graphs.
        sizes: nodes of the graphs, ascending.
        chance: share of the most common true value.
    """

    n_layers: int
    n_steps: int
    nodes: pd.DataFrame
    by_step: NDArray[np.int64]
    solved: NDArray[np.int64]
    sizes: tuple[int, ...]
    chance: float

    def share(self, depth: int, size: int | None = None) -> Share:
        """Of the nodes of a depth, in graphs of one size or all."""
        chosen = column(self.nodes, "depth") == depth
        if size is not None:
            chosen &= column(self.nodes, "nodes") == size
        return Share.of(flags(self.nodes, "right")[chosen])

    def depths(self, size: int | None = None) -> list[int]:
        """Those with at least :data:`LEAST` nodes."""
        chosen = self.nodes if size is None else select(self.nodes, column(self.nodes, "nodes") == size)
        found, counts = np.unique(column(chosen, "depth"), return_counts=True)
        return [int(depth) for depth, count in zip(found, counts, strict=True) if count >= LEAST]

    def reach(self, size: int | None = None) -> int | None:
        """The smallest depth at which less than half of the nodes are right; None where there is none."""
        return next((depth for depth in self.depths(size) if self.share(depth, size).value < HALF), None)

    def step_share(self, step: int, size: int, whole: bool = False) -> Share:
        """Nodes right after a step (counted from 1), or graphs solved."""
        table = self.solved if whole else self.by_step
        return Share(*(int(number) for number in table[step - 1, self.sizes.index(size)]))

    def to_frame(self) -> pd.DataFrame:
        """A row per size and depth: nodes, depth, and the share right."""
        rows = [
            {"nodes": size, "depth": depth} | self.share(depth, size).to_dict()
            for size in self.sizes
            for depth in sorted(
                set(column(self.nodes, "depth")[column(self.nodes, "nodes") == size].tolist())
            )
        ]
        return pd.DataFrame(rows)

    def step_frame(self) -> pd.DataFrame:
        """A row per size and step: nodes, step (from 1), right (nodes) and solved (graphs), each with an interval."""
        rows: list[dict[str, Any]] = []
        for size in self.sizes:
            for step in range(1, len(self.by_step) + 1):
                row: dict[str, Any] = {"nodes": size, "step": step}
                for name, whole in (("right", False), ("solved", True)):
                    share = self.step_share(step, size, whole)
                    row |= {name: share.value}
                    row |= dict(zip((f"{name}_low", f"{name}_high"), share.interval, strict=True))
                rows.append(row)
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_runs_figure.reaching_figure`."""
        from interp.failures.failing_runs_figure import reaching_figure

        return reaching_figure(self)

    def verdict(self) -> str:
        """The reach by size, beside layers and steps, and whether more steps help."""
        steps = f"{self.n_steps} steps" if self.n_steps > 1 else "1 step"
        parts: list[str] = []
        for size in self.sizes:
            depth = self.reach(size)
            if not self.depths(size):
                parts.append(f"at {size} nodes no depth has {LEAST} nodes")
            elif depth is None:
                deepest = max(self.depths(size))
                parts.append(f"at {size} nodes at least half are right at every depth up to {deepest}")
            else:
                parts.append(
                    f"at {size} nodes less than half are right from depth {depth} on: {self.share(depth, size)}"
                )
        said = f"{self.n_layers} layers in {steps} (chance {percent(self.chance)}): {'; '.join(parts)}"
        known = {self.reach(size) for size in self.sizes if self.reach(size) is not None}
        if len(known) > 1:
            said += "; the reach differs by size, so depth alone is not what fails"
        if len(self.by_step) == self.n_steps:
            return said
        size = self.sizes[-1]
        own, best = (self.step_share(step, size) for step in (self.n_steps, self._best(size)))
        more = "more steps help" if best.above(own) else "more steps do not measurably help"
        return (
            f"{said}; {more} ({size} nodes, nodes right: {own} at step "
            f"{self.n_steps}, {best} at step {self._best(size)}, the best from there on)"
        )

    def _best(self, size: int) -> int:
        """The first step from n_steps on after which most nodes are right."""
        later = self.by_step[self.n_steps - 1 :, self.sizes.index(size), 0]
        return self.n_steps + int(later.argmax())


@torch.no_grad()
def reaching(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> Reaching:
    """Run the graphs, and compare every node with the oracle.

    Raises:
        ValueError: no graphs, or a model whose number of steps depends on the graph. VocabularyError: a graph the model
            cannot read.
    """
    from models.solving import fixed_steps

    own = fixed_steps(model.cfg)
    if own is None:
        raise ValueError(
            f"a model of method {model.cfg.method!r} takes as many steps as the graph needs; allowed: feedforward and "
            "recurrent models"
        )
    n_steps = own if own == 1 else BEYOND * own
    sizes = tuple(sorted({len(graph) for graph in graphs}))
    by_step, solved = (np.zeros((n_steps, len(sizes), 2), dtype=np.int64) for _ in range(2))
    rows: list[dict[str, Any]] = []
    truths: list[NDArray[np.int64]] = []
    for size, indices, encoded in by_size(model, graphs):
        right = model.run(encoded, n_steps=n_steps).right[1:].numpy()  # [step, graph, node]
        at = sizes.index(size)
        by_step[:, at] += np.stack([right.sum((1, 2)), np.full(n_steps, right[0].size)], -1)
        solved[:, at] += np.stack([right.all(-1).sum(1), np.full(n_steps, len(indices))], -1)
        truths.append(encoded.values.numpy().ravel())
        for row, index in enumerate(indices):
            for node, depth in enumerate(graphs[index].depths_by_node):
                rows.append(
                    {"graph": index, "nodes": size, "node": node, "depth": depth}
                    | {
                        "operands": len(graphs[index].nodes[node].operands),
                        "right": bool(right[own - 1, row, node]),
                    }
                )
    values = np.concatenate(truths)
    frame = pd.DataFrame(rows).sort_values(["graph", "node"], ignore_index=True)
    chance = float(np.bincount(values).max() / len(values))
    return Reaching(model.cfg.n_layers, own, frame, by_step, solved, sizes, chance)
