"""Discrete latent supervision: every step is one independent transition between two discrete states
(Altabaa et al. 2025).

No back-propagation through time: the state before a step is known from the graph. Two supervisions:

- `transitions` (default): one step of one state per graph, the target is the
  synchronous step of the symbolic algorithm on that very state. For `discrete` the states are those of real
  runs; `discrete-corrected` adds random ones.
- `paper`: all steps 0..depth of each graph in one batch, targets always the true values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.recurrent import RecurrentTransformer
from models.training.label_noise import with_wrong_labels
from models.training.objectives.protocol import Batch, Outcome, count_right, value_at
from models.training.objectives.readout import factored_cross_entropy
from models.training.objectives.solving import solve_by_steps
from models.training.sampling import NUMBER, GraphBatch, Ints, Recipe, sample_batch
from models.training.states import mixed_examples, paper_examples, skew_leaves
from models.training.transition import write_values
from models.vocabulary import FactoredVocabulary


@dataclass(frozen=True)
class Discrete:
    """Transitions between discrete states.

    changed_weight: loss weight of the value factor where the target differs from the input.
    random: share of examples that start from a random state (supervision `transitions`).
    corrupt_batch, corrupt_value: the paper's corruption (supervision `paper`).
    first_step: of a real run, the first whose state is an example (supervision `transitions`).
    label_noise: share of operand tuples whose targets are wrong (supervision `transitions`; `label_noise`).
    """

    vocabulary: FactoredVocabulary
    supervision: str = "transitions"
    changed_weight: float = 6.0
    random: float = 0.0
    corrupt_batch: float = 0.0
    corrupt_value: float = 0.5
    first_step: int = 0
    label_noise: float = 0.0
    name: str = "discrete"

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Steps from states of real runs and, for a share `random`, from random states."""
        vocabulary = self.vocabulary
        graphs = sample_batch(rng, vocabulary, n_graphs, recipe)
        if self.random == 0:
            graphs = skew_leaves(
                rng, graphs, vocabulary, skew
            )  # the only way to skew the values of a real run
        if self.supervision == "paper":
            examples = paper_examples(rng, graphs, vocabulary, self.corrupt_batch, self.corrupt_value)
            graphs = graphs.rows(examples.graphs)
        else:
            examples = mixed_examples(rng, graphs, vocabulary, self.random, skew, self.first_step)
        inputs, targets = examples.inputs, examples.targets
        if self.label_noise > 0:
            targets = with_wrong_labels(self.label_noise, graphs, inputs, targets, vocabulary)
        state, target = write_values(graphs, inputs), write_values(graphs, targets)
        return Batch.of(graphs, state, target, graphs.mask, inputs, targets)

    def loss(self, model: RecurrentTransformer, batch: Batch) -> Outcome:
        """Cross-entropy of one step, all factors; `changed_weight` on values that have to change."""
        return self.outcome(model.transition(batch.state), batch)

    def outcome(self, logits: Tensor, batch: Batch) -> Outcome:
        """Loss and accuracy of the step's logits [example, pos, d_vocab]."""
        changed = batch.state[..., NUMBER] != batch.target[..., NUMBER]
        weight = 1.0 + (self.changed_weight - 1.0) * changed
        loss = factored_cross_entropy(logits, batch.target, batch.mask, self.vocabulary, weight)
        return Outcome(
            loss, *count_right(batch, value_at(logits, batch.graphs.rhs, self.vocabulary), self.vocabulary)
        )

    def solve(self, model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
        """See `solve_by_steps`."""
        return solve_by_steps(model, graphs)
