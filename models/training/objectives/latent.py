"""What the methods with a continuous state have in common: unroll, read out, back-propagate through the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.recurrent import RecurrentTransformer
from models.training.objectives.protocol import Batch, Outcome, count_right, to_tensor, value_at
from models.training.objectives.readout import factored_cross_entropy
from models.training.objectives.solving import solve_by_steps
from models.training.sampling import NUMBER, GraphBatch, Ints, Recipe, sample_batch
from models.training.states import skew_leaves
from models.training.transition import empty_values, true_values, values_after, write_values
from models.vocabulary import FactoredVocabulary


@dataclass(frozen=True)
class Latent:
    """From the all-EMPTY state, several steps on the hidden state, targets from the graph.

    every_step: after step t every node of depth <= t must show its value and deeper ones EMPTY, at each of
    the steps 0..depth + 1 of the deepest graph (so that staying solved is learnt too); else only the end
    counts, after the model's `default_steps` steps.
    extra_steps: with `every_step`, up to this many steps more, drawn uniformly for each batch, in which nothing
    may change: what is solved has to stay solved.
    changed_weight: loss weight of the value factor where the target is not EMPTY at a right-hand side.
    """

    vocabulary: FactoredVocabulary
    every_step: bool
    changed_weight: float = 6.0
    extra_steps: int = 0
    name: str = "latent"

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Unsolved graphs and their solutions; `skew` acts on the leaves' values."""
        vocabulary = self.vocabulary
        graphs = skew_leaves(rng, sample_batch(rng, vocabulary, n_graphs, recipe), vocabulary, skew)
        inputs, targets = empty_values(graphs, vocabulary), true_values(graphs, vocabulary)
        state, target = write_values(graphs, inputs), write_values(graphs, targets)
        return Batch.of(graphs, state, target, graphs.mask, inputs, targets)

    def loss(self, model: RecurrentTransformer, batch: Batch) -> Outcome:
        """Mean over the supervised steps of the cross-entropy of all factors; accuracy after the last step."""
        graphs, vocabulary = batch.graphs, self.vocabulary
        steps = model.cfg.default_steps or 1
        if self.every_step:
            # From torch's generator, whose state is part of a checkpoint.
            steps = int(graphs.depths.max()) + 2 + int(torch.randint(self.extra_steps + 1, ()))
        losses: list[torch.Tensor] = []
        logits = batch.state.new_zeros(())
        for step, (logits, _) in enumerate(model.iterate(batch.state, steps)):
            if not self.every_step and step + 1 < steps:
                continue
            target = batch.target
            if self.every_step:
                shown = values_after(graphs, np.full(len(graphs), step + 1), batch.targets, vocabulary)
                target = to_tensor(write_values(graphs, shown), batch.state.device)
            changed = batch.state[..., NUMBER] != target[..., NUMBER]
            weight = 1.0 + (self.changed_weight - 1.0) * changed
            losses.append(factored_cross_entropy(logits, target, batch.mask, vocabulary, weight))
        counts = count_right(batch, value_at(logits, graphs.rhs, vocabulary), vocabulary)
        return Outcome(torch.stack(losses).mean(), *counts)

    def solve(self, model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
        """See `solve_by_steps`."""
        return solve_by_steps(model, graphs)
