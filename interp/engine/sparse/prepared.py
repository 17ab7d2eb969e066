"""What is made once of a step of the base run and serves all items that are replayed in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp.engine.following import BaseRun
from interp.engine.sparse.attention import BaseAttention
from interp.engine.sparse.certificate import Certificate, Constants, Through
from interp.engine.sparse.positions import projected, with_attention
from interp.engine.sparse.writes import Writes


@dataclass(eq=False)
class PreparedStep:
    """A step of the base run, which ``entering`` enters: its last layer, what that allows, and the other layers and
    the rounding of the whole step if they are asked for.

    resid, mid: what enters the last layer and its MLP, [pos, d_model]. heads: spectral norms of its W_O, [head].
    """

    entering: Tensor
    resid: Tensor
    mid: Tensor
    attention: BaseAttention
    certificate: Certificate
    heads: Tensor
    earlier: dict[int, BaseAttention] = field(default_factory=dict[int, BaseAttention])
    through: Through | None = None


class PreparedSteps:
    """The step that was prepared last, which stands until another state of the base run enters one."""

    def __init__(self, base: BaseRun) -> None:
        self.base, self.layer = base, base.model.cfg.n_layers - 1
        self._constants: Constants | None = None
        self._now: PreparedStep | None = None

    def has(self, t: int) -> bool:
        """Whether the step is prepared."""
        return self._now is not None and torch.equal(self._now.entering, self.base.packed[t])

    def has_through(self, t: int) -> bool:
        """Whether it is prepared, the rounding of the whole step too."""
        return self.has(t) and self._now is not None and self._now.through is not None

    @property
    def constants(self) -> Constants:
        """Of the model."""
        if self._constants is None:
            self._constants = Constants.of(self.base.model)
        return self._constants

    def step(self, t: int) -> PreparedStep:
        """The step, prepared now if it is not."""
        base, model = self.base, self.base.model
        if self._now is None or not self.has(t):
            attention, resid = self._made(t, self.layer), base.resid_pre(t, self.layer)
            mid = with_attention(model.layers[self.layer], resid, attention.z.transpose(0, 1), Writes([]))
            certificate = Certificate.of(model, self.constants, attention, resid, mid, base.logits(t, None))
            heads = self.constants.heads.to(mid)
            self._now = PreparedStep(base.packed[t], resid, mid, attention, certificate, heads)
        return self._now

    def through(self, t: int) -> Through:
        """What rounding in the whole step may do."""
        step = self.step(t)
        if step.through is None:
            entering = self.base.model.vocabulary.unpack(step.entering)
            logits = self.base.logits(t, None)
            step.through = Through.of(self.constants, step.attention, entering, step.mid, logits)
        return step.through

    def attention(self, t: int, layer: int) -> BaseAttention:
        """Attention of a layer; of the step that is prepared it is kept."""
        if self._now is None or not self.has(t):
            return self._made(t, layer)
        if layer == self.layer:
            return self._now.attention
        if layer not in self._now.earlier:
            self._now.earlier[layer] = self._made(t, layer)
        return self._now.earlier[layer]

    def _made(self, t: int, layer: int) -> BaseAttention:
        base, block = self.base, self.base.model.layers[layer]
        q = projected(block.attn, block.ln1(base.resid_pre(t, layer)), "Q")
        k, v = (base.recording.activation(f"blocks.{layer}.attn.hook_{name}", t) for name in "kv")
        return BaseAttention.of(block.attn, q, k, v)
