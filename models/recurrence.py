"""A recurrent Transformer as what :mod:`models.stepper` runs: whole batches, or discrete states row by row.

:class:`Recurrence` is the general one: symbols or hidden states enter, hooks see every step, gradients pass.
:class:`DiscreteRows` is for runs that only symbols enter: a row is known by its packed ids, so that
:class:`models.stepper.Memory` can leave out what it has met.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models import bottleneck
from models.config import Estimator
from models.stepper import Unchanged

if TYPE_CHECKING:
    from models.network import Network

CONTINUOUS_PATIENCE = 3
"""A continuous model counts as settled when its snapped readout has been the same this many steps in a row."""


@dataclass(frozen=True, eq=False)
class Between:
    """What is between two steps.

    symbols: int [batch, pos, factor]. hidden: float [batch, pos, d_model], enters instead of their embedding, if given.
    logits: float [batch, pos, d_vocab] of the step that left this; None before the first.
    """

    symbols: Tensor
    hidden: Tensor | None = None
    logits: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Recurrence:
    """Steps of whole batches; the context is where no graph is, bool [batch, pos], and the state stays as it is.

    estimator: of gradients across a discrete bottleneck. tell: warn in the backward pass where gradients stop.
    """

    model: Network
    estimator: Estimator
    tell: bool = False

    def step(self, state: Between, step: int, context: Bool[Tensor, "batch pos"]) -> Between:
        """One step with its hooks; see :meth:`models.RecurrentTransformer.iterate`."""
        model = self.model
        tell = self.tell and state.logits is not None and self.estimator == "none"
        hidden, logits = one_step(model, state.symbols, state.hidden, step, context, tell)
        symbols, entering = model.discretise(logits), None
        if model.cfg.bottleneck == "continuous":
            entering = hidden
        elif self.estimator != "none" and torch.is_grad_enabled():
            relax = bottleneck.straight_through if self.estimator == "straight_through" else bottleneck.gumbel
            one_hot = relax(model.vocabulary, logits, model.cfg.temperature)
            symbols, entering = model.discretise(one_hot.detach()), model.embed.expected(one_hot)
        return Between(torch.where(context[..., None], state.symbols, symbols), entering, logits)


def one_step(
    model: Network,
    state: Int[Tensor, "batch pos factor"],
    entering: Float[Tensor, "batch pos d_model"] | None,
    step: int,
    padding: Bool[Tensor, "batch pos"],
    tell_where_gradients_stop: bool = False,
) -> tuple[Float[Tensor, "batch pos d_model"], Float[Tensor, "batch pos d_vocab"]]:
    """Hidden state and logits of ``step``, entered by ``entering`` where given, else by the (hooked) state.

    Symbols that a hook has changed replace ``entering`` where only symbols enter, and move it where a hidden state
    does.
    """
    model.grow_steps(step + 1)
    hooks = model.step_hooks(step)
    hooked = hooks.hook_state(state)
    if entering is None or (model.cfg.bottleneck == "discrete" and hooked is not state):
        entering = model.embed_state(hooked)
        if tell_where_gradients_stop:
            bottleneck.tell_where_gradients_stop(entering, step)
    elif hooked is not state:
        entering = model.unembed.rewrite(entering, state, hooked)
    hidden = model.step(entering, step, ~padding if model.cfg.attention_dir == "bidirectional" else None)
    return hidden, hooks.hook_logits(model.unembed(hidden))


def until_settled(model: Network, ends: bool = True) -> Unchanged[Between]:
    """The stop rule of a run: every row's snapped state has stayed the same, for one step where it is what enters the
    next, for :data:`CONTINUOUS_PATIENCE` steps where it is only read out. ``ends`` False: count only.
    """
    patience = CONTINUOUS_PATIENCE if model.cfg.bottleneck == "continuous" else 1
    return Unchanged(lambda state: state.symbols, patience, ends)


@dataclass(frozen=True, eq=False)
class Written:
    """Discrete states on the CPU: packed ids int64 [..., pos], and the probability of each symbol in the readout that
    wrote it, float [..., pos, factor], if it is kept.
    """

    packed: Tensor
    confidence: Tensor | None = None


@dataclass(frozen=True, eq=False)
class DiscreteRows:
    """Rows of discrete states; the context is where no graph is, bool [batch, pos] on the model's device.

    numbered: every step has the hook points of its number; else all have those of step 0, of which a run that nobody
        watches needs no others (to make them would take most of its time).
    confidence: whether it is kept.
    repeats: whether a state that comes again is followed by the same; not where hooks may act.
    """

    model: Network
    numbered: bool = True
    confidence: bool = False
    repeats: bool = True

    def keys(self, state: Written, step: int, context: Tensor) -> list[Hashable | None]:
        """The row and its ids: a row is recognised by its own past."""
        packed = state.packed.numpy()
        return [(row, ids.tobytes()) if self.repeats else None for row, ids in enumerate(packed)]

    def step_rows(self, state: Written, rows: Sequence[int], step: int, context: Tensor) -> list[Written]:
        """One forward pass of these rows."""
        model = self.model
        some = list(rows)
        symbols = model.vocabulary.unpack(state.packed[some]).to(context.device)
        logits = model.transition(symbols, step if self.numbered else 0, context[some])
        snapped = torch.where(context[some, :, None], symbols, model.discretise(logits))
        packed = model.vocabulary.pack(snapped.cpu())
        if not self.confidence:
            return [Written(ids) for ids in packed]
        read = bottleneck.symbol_probabilities(model.vocabulary, logits, snapped).float().cpu()
        return [Written(*row) for row in zip(packed, read, strict=True)]

    def join(self, rows: Sequence[Written], step: int, context: Tensor) -> Written:
        """All rows as one batch."""
        confidence = [row.confidence for row in rows if row.confidence is not None]
        packed = torch.stack([row.packed for row in rows])
        return Written(packed, torch.stack(confidence) if confidence else None)
