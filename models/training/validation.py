"""How good a model is while it trains, on graphs of a seed of its own.

The validation seed is far from every evaluation seed, and nothing here draws from the training streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models.recurrent import RecurrentTransformer
from models.training.objectives.protocol import Batch, Objective, count_right, value_at
from models.training.sampling import GraphBatch, Ints, Recipe, sample_batch
from models.training.states import random_values
from models.training.transition import next_values, true_values, write_values
from models.vocabulary import FactoredVocabulary

VALIDATION_SEED = 7_340_033
PLACES = 8
"""How many equal stretches of the text the per-place accuracy is split into."""
TOKENS_AT_ONCE = 6200


@dataclass(frozen=True)
class Validator:
    """Measures a model on fixed graphs.

    sizes: numbers of nodes at which graphs are solved. n_graphs: graphs per size. operand_weights: of nodes with one,
    two and three operands.
    """

    vocabulary: FactoredVocabulary
    objective: Objective
    sizes: tuple[int, ...]
    n_graphs: int
    operand_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def graphs(self, size: int) -> GraphBatch:
        """The validation graphs of one size: 6 leaves, no depth limit."""
        recipe = Recipe((size, size), (min(6, size), min(6, size)), self.operand_weights, max_depth=None)
        return sample_batch(
            np.random.default_rng([VALIDATION_SEED, size]), self.vocabulary, self.n_graphs, recipe
        )

    def transitions(self, model: RecurrentTransformer, size: int) -> dict[str, Any]:
        """One step from random states without skew: accuracy on new nodes by number of operands, and by
        place in the text.

        `copied` is the share of positions whose syntax, variable and operation are all kept.
        """
        vocabulary = self.vocabulary
        graphs = self.graphs(size)
        inputs = random_values(np.random.default_rng([VALIDATION_SEED, size, 1]), graphs, vocabulary)
        targets = next_values(graphs, inputs, vocabulary)
        right, total = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
        place_right, place_total = np.zeros(PLACES), np.zeros(PLACES)
        kept = positions = 0
        for rows in _chunks(graphs):
            part = graphs.rows(rows)
            before = write_values(part, inputs[rows])
            batch = Batch.of(
                part, before, write_values(part, targets[rows]), part.mask, inputs[rows], targets[rows]
            ).to(model.W_E.device)
            state = batch.state
            logits = model.transition(state)
            predicted = value_at(logits, part.rhs, vocabulary)
            counts = count_right(batch, predicted, vocabulary)
            right, total = right + counts[0], total + counts[1]
            width = int(part.rhs.shape[1])
            place: Ints = np.arange(width, dtype=np.int64) * PLACES // width
            correct = (predicted == targets[rows]) & part.exists
            place_right += np.bincount(place, weights=correct.sum(axis=0), minlength=PLACES)
            place_total += np.bincount(place, weights=part.exists.sum(axis=0), minlength=PLACES)
            same = (model.discretise(logits)[..., :3] == state[..., :3]).all(dim=-1)
            kept += int((same & batch.mask).sum())
            positions += int(batch.mask.sum())
        return {
            "by_operands": _ratio(right, total),
            "by_place": _ratio(place_right, place_total),
            "copied": kept / positions,
        }

    def solved(self, model: RecurrentTransformer, size: int) -> dict[str, float]:
        """Share of graphs with every node right, and of nodes right, after the method's own way of solving."""
        graphs = self.graphs(size)
        truth = true_values(graphs, self.vocabulary)
        right = np.concatenate(
            [
                self.objective.solve(model, graphs.rows(rows))[:, : truth.shape[1]] == truth[rows]
                for rows in _chunks(graphs)
            ]
        )
        return {"fully_solved": float(right.all(axis=1).mean()), "node_accuracy": float(right.mean())}

    @torch.no_grad()
    def measure(self, model: RecurrentTransformer, discrete: bool) -> dict[str, Any]:
        """All of it, in evaluation mode; a size is solved only once half of the graphs of the size before are.

        discrete: whether the model is one of independent transitions, so that `transitions` means something.
        """
        was_training = model.training
        model.eval()
        record: dict[str, Any] = {}
        try:
            if discrete:
                record["transitions"] = {
                    str(size): self.transitions(model, size) for size in (self.sizes[0], self.sizes[-1])
                }
            solved: dict[str, dict[str, float]] = {}
            for size in self.sizes:
                solved[str(size)] = self.solved(model, size)
                if solved[str(size)]["fully_solved"] < 0.5:
                    break
            record["solved"] = solved
        finally:
            model.train(was_training)
        return record


def _chunks(graphs: GraphBatch) -> list[np.ndarray]:
    at_once = max(1, TOKENS_AT_ONCE // graphs.factors.shape[1])
    return [np.arange(start, min(start + at_once, len(graphs))) for start in range(0, len(graphs), at_once)]


def _ratio(right: np.ndarray, total: np.ndarray) -> list[float | None]:
    return [None if count == 0 else float(hits / count) for hits, count in zip(right, total, strict=True)]
