"""Single transitions whose hidden state is pulled to the embedding of the state that follows.

A model that passes on its hidden state has to write, at the end of a step, what it can read at the start of the
next. From weights that were made for discrete states it cannot: its hidden state is no embedding of anything. This
objective teaches it, one step at a time and from states of real runs, before steps are unrolled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.recurrent import RecurrentTransformer
from models.training.objectives.discrete import Discrete
from models.training.objectives.protocol import Batch, Outcome
from models.training.sampling import GraphBatch


@dataclass(frozen=True)
class Aligned(Discrete):
    """`Discrete`, and the squared distance of the hidden state to the next state's embedding, as a fraction of the
    mean squared length of these embeddings, over real tokens."""

    name: str = "aligned"

    def loss(self, model: RecurrentTransformer, batch: Batch) -> Outcome:
        """Cross-entropy of one step plus the relative squared distance."""
        hidden = model.step(model.embed_state(batch.state))
        outcome = self.outcome(model.unembed(hidden), batch)
        goal = model.embed_state(batch.target).detach()[batch.mask]
        distance = (hidden[batch.mask] - goal).square().sum(-1).mean() / goal.square().sum(-1).mean()
        return Outcome(outcome.loss + distance, outcome.right, outcome.total)


@torch.no_grad()
def align_lengths(model: RecurrentTransformer, graphs: GraphBatch) -> None:
    """Scale the final LayerNorm so that hidden states are as long as embeddings, and the readout by the inverse.

    Both lengths are root mean squares over the real tokens of the unsolved `graphs`; the logits stay what they were.
    """
    state, real = torch.as_tensor(graphs.factors), torch.as_tensor(graphs.mask)
    embedding = model.embed_state(state)
    lengths = [vectors[real].square().mean().sqrt() for vectors in (embedding, model.step(embedding))]
    factor = lengths[0] / lengths[1]
    for parameter in model.ln_final.parameters():
        parameter.mul_(factor)
    model.unembed.W_U.div_(factor)
