"""Sums of graphs, with other neurons put in where each is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.fourier_analysis.operand_tuples import OperandGrid
from interp.neighbours.states import VALUE, exact_steps
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GraphSums:
    """Sums of two and three operands in the algorithm's steps on graphs.

    Attributes:
        states: int [step, batch, pos, factor], that enter each step. n_graphs: how many.
        step, row, position: int [sum], where each is computed. right: int [sum], its value.
        operands: int [sum, 3], elements of the operands' values, -1 where there is none.
    """

    states: Tensor
    n_graphs: int
    step: NDArray[np.int64]
    row: NDArray[np.int64]
    position: NDArray[np.int64]
    operands: NDArray[np.int64]
    right: NDArray[np.int64]

    @classmethod
    def of(
        cls, model: RecurrentTransformer, graphs: Sequence[ComputationGraph], grid: OperandGrid
    ) -> GraphSums:
        """Those with one operation, that of the grid, throughout. Raises ValueError where there are no graphs."""
        steps = exact_steps(model, graphs)
        encoded = model.to_encoded(graphs)
        element = {value: at for at, value in enumerate(grid.characters.values)}
        rows: list[tuple[int, ...]] = []
        for number, graph in enumerate(graphs):
            values = graph.values_by_node
            for node, (made, depth) in enumerate(zip(graph.nodes, graph.depths_by_node, strict=True)):
                read = [element.get(values[one]) for one in made.operands]
                alike = set(made.operations) == {grid.characters.operations[0]}
                if len(read) > 1 and alike and None not in read:
                    filled = (*(-1 if one is None else one for one in read), -1)[:3]
                    rows.append((depth, number, int(encoded.rhs[number, node]), *filled, values[node]))
        table = np.array(rows, np.int64).reshape(-1, 7)
        return cls(
            steps.entering, len(graphs), table[:, 0], table[:, 1], table[:, 2], table[:, 3:6], table[:, 6]
        )

    @torch.no_grad()
    def written(
        self, model: RecurrentTransformer, layer: int, tables: Mapping[int, Singles]
    ) -> tuple[float, int]:
        """Share of sums that are written right, and graphs all of whose sums are.

        layer: whose neurons are replaced. tables: number of operands -> float [axis 1, ..., axis n, neuron], what is
        put in for each tuple; sums of another number are left as they are.
        """
        right = np.zeros(len(self.step), bool)
        for step in np.unique(self.step).tolist():
            here = np.flatnonzero(self.step == step)

            def put(activation: Tensor, hook: Any, here: NDArray[np.int64] = here) -> Tensor:
                changed = activation.clone()
                for one in here.tolist():
                    operands = self.operands[one][self.operands[one] >= 0]
                    if len(operands) in tables:
                        neurons = tables[len(operands)][tuple(operands)]
                        changed[int(self.row[one]), int(self.position[one])] = torch.tensor(neurons)
                return changed

            with model.hooks(fwd_hooks=[(f"steps.{step}.blocks.{layer}.mlp.hook_post", put)]):
                logits = model.transition(self.states[step].to(model.device), step)
            made = model.discretise(logits).cpu().numpy()
            right[here] = made[self.row[here], self.position[here], VALUE] == self.right[here]
        failed = set(self.row[~right].tolist())
        return float(right.mean()) if len(right) else float("nan"), self.n_graphs - len(failed)
