"""The first stage of chain of thought: looking operands' values up in the solution that is being written.

As `lookup` does for states: every value in the written solution is random, whatever the equations say, and the target
of a value is one application of its equation to the values that stand before it. What would take arithmetic is left
out of the loss. The text itself is that of `chain-of-thought`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.training.objectives.chain_of_thought import ChainOfThought, write_thoughts
from models.training.objectives.lookup import without_arithmetic
from models.training.objectives.protocol import Batch
from models.training.sampling import Recipe, sample_batch
from models.training.states import random_values
from models.training.transition import empty_values, next_values


@dataclass(frozen=True)
class LookupText(ChainOfThought):
    """`ChainOfThought` on solutions whose values are random, its loss on what takes no arithmetic."""

    name: str = "lookup-text"

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Random values, which are the identity with probability `skew`."""
        vocabulary = self.vocabulary
        graphs = sample_batch(rng, vocabulary, n_graphs, recipe)
        written = random_values(rng, graphs, vocabulary, skew, empty=0.0)
        computed = next_values(graphs, written, vocabulary)
        counted = without_arithmetic(graphs, written, computed, vocabulary)
        thoughts = write_thoughts(graphs, written, vocabulary)
        answers = write_thoughts(graphs, computed, vocabulary).tokens
        mask = thoughts.solution.copy()
        rows, nodes = np.nonzero(graphs.exists & ~counted)
        mask[rows, thoughts.values[rows, nodes]] = False
        targets = np.where(counted, computed, vocabulary.empty)
        return Batch.of(
            graphs,
            thoughts.tokens[:, :-1],
            answers[:, 1:],
            mask[:, 1:],
            empty_values(graphs, vocabulary),
            targets,
        )
