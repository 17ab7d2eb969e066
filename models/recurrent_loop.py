"""The models of this repository as a loop like any other: what enters a step, and what it leaves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from models.running import is_random, step_bound
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer
    from models.vocabulary import EncodedGraphs

_SITES: Final = (
    "resid_pre attn_out resid_mid mlp_out resid_post attn.q attn.k attn.v attn.z attn.pattern mlp.post"
)


@dataclass(frozen=True)
class GraphContext:
    """The text that enters step 0, int [batch, pos, factor], and where no graph is, bool [batch, pos].

    encoded: the graphs, where they were given as graphs, and all rows are there.
    """

    initial: Tensor
    padding: Tensor
    encoded: EncodedGraphs | None = None


class RecurrentLoop:
    """A :class:`models.RecurrentTransformer` as an `interp.Loop`.

    The state has ``codes``, int [batch, pos, factor], and ``hidden``, float [batch, pos, d_model], what the codes were
    snapped from (in state 0 their embedding). Codes enter the step of a discrete model, ``hidden`` that of a continuous
    one; the other is only read. Hooks of one's own fire in every step if they are attached at step 0.

    Raises:
        ValueError: a chain-of-thought model, whose recurrence runs over tokens.
    """

    def __init__(self, model: RecurrentTransformer) -> None:
        if model.cfg.writes_text:
            raise ValueError(
                "a chain-of-thought model writes token by token; allowed are models that apply blocks again"
            )
        self.model, self.module = model, model.steps[0]
        self.n_heads: int = model.cfg.n_heads
        self.discrete = model.cfg.bottleneck == "discrete"
        self.sites: dict[str, str] = {}
        for layer in range(model.cfg.n_layers):
            for site in _SITES.split():
                inner, _, name = site.rpartition(".")
                hook = f"{inner}.hook_{name}" if inner else f"hook_{name}"
                self.sites[f"{layer}.{name if inner != 'mlp' else 'mlp_post'}"] = f"blocks.{layer}.{hook}"

    def __deepcopy__(self, memo: dict[int, Any]) -> RecurrentLoop:
        """Of a copy of the model: its hook points are made anew."""
        return RecurrentLoop(copy.deepcopy(self.model, memo))

    @property
    def weights(self) -> RecurrentTransformer:
        """What has the parameters; ``module`` has hook points alone."""
        return self.model

    @property
    def key(self) -> Callable[[Mapping[str, Tensor], GraphContext], Tensor] | None:
        """The packed codes, int [batch, pos], where they are all that the next step depends on."""
        return self._key if self.discrete and not is_random(self.model) else None

    def begin(self, inputs: Any) -> tuple[dict[str, Tensor], GraphContext]:
        """``inputs``: whatever the model takes."""
        encoded = None if isinstance(inputs, Tensor) else self.model.to_encoded(inputs)
        codes = self.model.entering_state(inputs if encoded is None else encoded)
        context = GraphContext(codes, self.model.is_padding(codes), encoded)
        return {"codes": codes, "hidden": self.model.embed_state(codes)}, context

    def step(self, state: Mapping[str, Tensor], step: int, context: GraphContext) -> dict[str, Tensor]:
        entering = self.model.embed_state(state["codes"]) if self.discrete else state["hidden"]
        both_ways = self.model.cfg.attention_dir == "bidirectional"
        hidden = self.model.step(entering, 0, ~context.padding if both_ways else None)
        codes = self.model.discretise(self.model.unembed(hidden))
        return {"codes": torch.where(context.padding[..., None], context.initial, codes), "hidden": hidden}

    def read(self, state: Mapping[str, Tensor], context: GraphContext) -> dict[str, Tensor]:
        return self._logits(state["hidden"])

    def lens(self, hidden: Tensor, context: GraphContext) -> dict[str, Tensor]:
        """A residual stream through the final LN."""
        points: Any = self.module
        return self._logits(self.model.ln_final(hidden, points.ln_final))

    def codes(self, state: Mapping[str, Tensor], context: GraphContext) -> dict[str, Tensor]:
        return {factor: state["codes"][..., index] for index, factor in enumerate(FACTORS)}

    def take(self, context: GraphContext, rows: Tensor) -> GraphContext:
        return GraphContext(context.initial[rows], context.padding[rows])

    def tokens(self, inputs: Any) -> list[list[str]]:
        return [[*map(str, row)] for row in self._texts(inputs)]

    def n_steps(self, inputs: Any) -> int:
        """After which a run is cut off: as for the model's own."""
        return step_bound(self.model.vocabulary, self.model.entering_state(inputs))

    def _texts(self, inputs: Any) -> list[Any]:
        found: Any = self.model.to_str_tokens(inputs)
        return found if found and isinstance(found[0], list) else [found]

    def _logits(self, hidden: Tensor) -> dict[str, Tensor]:
        logits = self.model.unembed(hidden)
        return {factor: logits[..., self.model.vocabulary.slice(factor)] for factor in FACTORS}

    def _key(self, state: Mapping[str, Tensor], context: GraphContext) -> Tensor:
        return self.model.vocabulary.pack(state["codes"])
