"""Chain of thought: the solution is written token by token, each equation followed by its value (Altabaa et al. 2025).

A sequence is the graph's text, [sep], then for every node in text order its equation, `=`, its value, with
[sep] between nodes:

    20 = x_7 [sep] x_7 ADD x_7 = x_9 [sep] 20 = x_7 = 20 [sep] x_7 ADD x_7 = x_9 = 17

Tokens are the four-factor symbols of the text, variables EMPTY. The model reads the sequence once,
causally, and its readout at a position predicts all four factors of the token after it; only the solution
is supervised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.recurrent import RecurrentTransformer
from models.training.objectives.protocol import Batch, Outcome, count_right, to_tensor, value_at
from models.training.objectives.readout import factored_cross_entropy
from models.training.sampling import (
    EQUALS,
    NUMBER,
    PADDING,
    SEPARATOR,
    SYNTAX,
    VALUE,
    Bools,
    GraphBatch,
    Ints,
    Recipe,
    sample_batch,
)
from models.training.states import skew_leaves
from models.training.transition import empty_values, true_values
from models.vocabulary import FactoredVocabulary

Floats = NDArray[np.float32]

LONGEST_EQUATION = 7
PAIRS_AT_ONCE = 2**23
"""Query-key pairs per head that solving holds in memory at once, about."""


@dataclass(frozen=True)
class Thoughts:
    """Graphs with their solutions written out.

    tokens int64 [batch, pos, 4]; solution bool [batch, pos]: True from the first solution token on, without
    padding; values int64 [batch, node]: position of each node's value token, -1 where there is no such
    node.
    """

    tokens: Ints
    solution: Bools
    values: Ints


def write_thoughts(graphs: GraphBatch, truth: Ints, vocabulary: FactoredVocabulary) -> Thoughts:
    """The sequences of the module docstring. truth: the nodes' values, int64 [batch, node]."""
    exists = graphs.exists
    lengths = np.where(exists, np.where(graphs.n_operands == 0, 3, 2 * graphs.n_operands + 1), 0)
    prompt = graphs.mask.sum(axis=1)
    blocks = np.where(exists, lengths + 3, 0)  # equation, =, value, [sep]
    start = prompt[:, None] + 1 + np.cumsum(blocks, axis=1) - blocks
    total = prompt + blocks.sum(axis=1)  # one [sep] after the prompt, none after the last value
    blank = (PADDING, *(vocabulary.n_a(factor) for factor in ("variable", "operation", "value")))
    tokens = np.empty((len(graphs), int(total.max()), 4), dtype=np.int64)
    tokens[:] = blank
    tokens[:, : graphs.factors.shape[1]] = graphs.factors
    tokens[np.arange(len(graphs)), prompt, SYNTAX] = SEPARATOR

    offsets = np.arange(LONGEST_EQUATION)
    rows, nodes, places = np.nonzero(exists[..., None] & (offsets < lengths[..., None]))
    source = (graphs.rhs - lengths + 1)[rows, nodes] + places
    tokens[rows, start[rows, nodes] + places] = graphs.factors[rows, source]
    rows, nodes = np.nonzero(exists)
    equals = (start + lengths)[rows, nodes]
    tokens[rows, equals, SYNTAX] = EQUALS
    tokens[rows, equals + 1, SYNTAX] = VALUE
    tokens[rows, equals + 1, NUMBER] = truth[rows, nodes]
    inner = equals + 2 < total[rows]
    tokens[rows[inner], equals[inner] + 2, SYNTAX] = SEPARATOR

    position = np.arange(tokens.shape[1])
    solution = (position > prompt[:, None]) & (position < total[:, None])
    return Thoughts(tokens, solution, np.where(exists, start + lengths + 1, -1))


@dataclass(frozen=True)
class ChainOfThought:
    """Next-token cross-entropy of the solution, all factors; `changed_weight` on the value factor of value tokens."""

    vocabulary: FactoredVocabulary
    changed_weight: float = 6.0
    name: str = "chain-of-thought"

    def draw(self, rng: np.random.Generator, recipe: Recipe, n_graphs: int, skew: float) -> Batch:
        """Written-out solutions, shifted by one; `skew` acts on the leaves' values."""
        vocabulary = self.vocabulary
        graphs = skew_leaves(rng, sample_batch(rng, vocabulary, n_graphs, recipe), vocabulary, skew)
        truth = true_values(graphs, vocabulary)
        thoughts = write_thoughts(graphs, truth, vocabulary)
        state, target, mask = thoughts.tokens[:, :-1], thoughts.tokens[:, 1:], thoughts.solution[:, 1:]
        return Batch.of(graphs, state, target, mask, empty_values(graphs, vocabulary), truth)

    def loss(self, model: RecurrentTransformer, batch: Batch) -> Outcome:
        """One causal pass; accuracy is that of the value tokens, given the right text before them."""
        vocabulary = self.vocabulary
        logits = model.transition(batch.state)
        weight = 1.0 + (self.changed_weight - 1.0) * (batch.target[..., SYNTAX] == VALUE)
        loss = factored_cross_entropy(logits, batch.target, batch.mask, vocabulary, weight)
        places = write_thoughts(batch.graphs, batch.targets, vocabulary).values
        predicted = value_at(logits, np.where(places > 0, places - 1, -1), vocabulary)
        return Outcome(loss, *count_right(batch, predicted, vocabulary))

    def solve(self, model: RecurrentTransformer, graphs: GraphBatch) -> Ints:
        """The values of `write_out`, int64 [batch, node]."""
        return write_out(model, graphs)[0]


@torch.no_grad()
def write_out(model: RecurrentTransformer, graphs: GraphBatch) -> tuple[Ints, Floats]:
    """The values of greedy decoding as long as it writes the solution's text, int64 [batch, node]; -1 after its
    first mistake. And the probability the model gave to each of them, float32 [batch, node].

    Greedy decoding reproduces the solution up to a token exactly if the most likely token is the right
    one at every place before it, given the right text so far. So one pass over the right text is
    enough, and no token has to be generated.
    """
    truth = true_values(graphs, model.vocabulary)
    at_once = max(1, PAIRS_AT_ONCE // (3 * graphs.factors.shape[1]) ** 2)
    parts = [np.arange(start, min(start + at_once, len(graphs))) for start in range(0, len(graphs), at_once)]
    values, probabilities = zip(
        *(_write_part(model, graphs.rows(rows), truth[rows]) for rows in parts), strict=True
    )
    return np.concatenate(values), np.concatenate(probabilities)


def _write_part(model: RecurrentTransformer, graphs: GraphBatch, truth: Ints) -> tuple[Ints, Floats]:
    thoughts = write_thoughts(graphs, truth, model.vocabulary)
    logits = model.transition(to_tensor(thoughts.tokens[:, :-1], model.W_E.device))
    written = model.discretise(logits).cpu().numpy()
    wrong = (written != thoughts.tokens[:, 1:]).any(axis=-1) & thoughts.solution[:, 1:]
    mistakes = np.cumsum(wrong, axis=1)  # [batch, pos]: up to and including the token after pos
    rows = np.arange(len(graphs))[:, None]
    places = np.maximum(thoughts.values - 1, 0)
    before = mistakes[rows, places] - wrong[rows, places]
    values = np.where(graphs.exists & (before == 0), written[rows, places, NUMBER], -1)
    at_values = logits[to_tensor(rows), to_tensor(places)][..., model.vocabulary.slice("value")]
    return values, at_values.softmax(dim=-1).amax(dim=-1).cpu().numpy()
