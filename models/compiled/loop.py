"""A loop of compiled blocks: state and context in, state out; and beside it the symbolic step that it must equal.

What never changes in a run (the task's text) is added to the state at the start of every step; what a step leaves in
slots that are no state is dropped at its end. So a state is the embedding of its symbols, exactly, and every state can
be begun from.

    resid = state + context.given -> [attention, MLP] * n_layers -> carry: state slots alone -> state
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.compiled.form import LoopForm, Symbols
from models.compiled.wiring import Wiring
from models.components import AttentionContext, Block, attention_context
from models.hook_tree import StepHooks
from models.hooks import StepHookPoint
from models.one_line import one_line

READOUT: Final = 30.0
"""Scale of the logits: a symbol leads by half of this or more."""


@one_line
@dataclass(frozen=True, eq=False)
class LoopContext:
    """What all steps of a run share.

    Attributes:
        facts: the inputs as int tensors [batch, pos] by name; -1 where a position has none.
        real: bool [batch, pos], False at padding.
        given: float [batch, pos, d_model], what is added to the state at the start of every step.
        attention: masks.
    """

    facts: Mapping[str, Int[Tensor, "batch pos"]]
    real: Bool[Tensor, "batch pos"]
    given: Float[Tensor, "batch pos d_model"]
    attention: AttentionContext


class Carry(nn.Module):
    """Keeps the slots of the state and drops all others."""

    def __init__(self, d_model: int, kept: Collection[slice]) -> None:
        super().__init__()
        mask = torch.zeros(d_model)
        for slot in kept:
            mask[slot] = 1.0
        self.register_buffer("mask", mask)

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The state that ``resid`` holds."""
        return resid * cast(Tensor, self.mask)


class CompiledLoop(LoopForm):
    """A looped Transformer that is built in code, together with its circuit and its symbolic step.

    A program says what its slots, heads and neurons are (:meth:`wire`), what of it is read out (:meth:`readouts`), how
    inputs look (:meth:`facts_of`, :meth:`given`, :meth:`start`, :meth:`embed`, :meth:`tokens`), and what a step does to
    symbols (:meth:`oracle_step`).
    """

    carried: ClassVar[tuple[str, ...]]
    """Slots that are state."""

    hooks_in = "hooks"

    def __init__(self) -> None:
        super().__init__()
        wiring = self.wire()
        self.cfg, blocks, self.circuit = wiring.build()
        self.slots = self.circuit.slots
        self.blocks = nn.ModuleList(blocks)
        self.hooks = StepHooks(len(blocks), StepHookPoint).blocks
        self.carry = Carry(self.cfg.d_model, [self.slots[name] for name in self.carried])
        self.unembed = nn.ModuleDict()
        for factor, (weights, bias) in self.readouts().items():
            linear = nn.Linear(self.cfg.d_model, len(bias))
            with torch.no_grad():
                linear.weight.zero_()
                for slot, weight in weights.items():
                    linear.weight[:, self.slots[slot]] = READOUT * weight
                linear.bias.copy_(READOUT * bias)
            self.unembed[factor] = linear
        self.eval()

    # The loop -----------------------------------------------------------------------------------------------

    @property
    def module(self) -> nn.Module:
        """Whose submodules the addresses in :attr:`sites` name."""
        return self

    @property
    def layers(self) -> list[Block]:
        """The blocks."""
        return cast("list[Block]", list(self.blocks))

    def begin(self, inputs: Any) -> tuple[Float[Tensor, "batch pos d_model"], LoopContext]:
        """The state that enters step 0, and the context.

        Raises:
            LoopInputError: inputs that are none of this loop's.
        """
        context = self._context(self.facts_of(inputs))
        return self.embed(self.start(context), context), context

    def step(
        self, state: Float[Tensor, "batch pos d_model"], step: int, context: LoopContext
    ) -> Float[Tensor, "batch pos d_model"]:
        """One application of the blocks; every step is alike."""
        resid = state + context.given
        for block, hooks in zip(self.blocks, self.hooks, strict=True):
            resid = block(resid, hooks, context.attention)
        return self.carry(resid)

    def read(self, state: Float[Tensor, "batch pos d_model"], context: LoopContext) -> dict[str, Tensor]:
        """Factor -> logits [batch, pos, size]."""
        return {factor: linear(state) for factor, linear in self.unembed.items()}

    def key(
        self, state: Float[Tensor, "batch pos d_model"], context: LoopContext
    ) -> Int[Tensor, "batch pos byte"]:
        """The bytes of the state: two that agree here have one continuation. -0.0 counts as 0.0."""
        return (state + 0.0).contiguous().view(torch.uint8)

    def take(self, context: LoopContext, rows: Sequence[int] | Tensor) -> LoopContext:
        """The context of these rows of the batch."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return self._context({name: fact[index] for name, fact in context.facts.items()})

    def _context(self, facts: Mapping[str, Tensor]) -> LoopContext:
        device = next(self.parameters()).device
        facts = {name: fact.to(device) for name, fact in facts.items()}
        real = facts["kind"] >= 0
        given = self.given(facts).to(next(self.parameters()))
        mask = None if bool(real.all()) else real
        return LoopContext(facts, real, given, attention_context(self.cfg, given, None, mask))

    # What a program says ------------------------------------------------------------------------------------

    @abstractmethod
    def wire(self) -> Wiring:
        """Slots, heads and neurons."""

    @abstractmethod
    def readouts(self) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
        """Factor -> (slot -> [size, width of the slot], bias [size]), in units of :data:`READOUT`."""

    @abstractmethod
    def facts_of(self, inputs: Any) -> dict[str, Int[Tensor, "batch pos"]]:
        """The inputs as integers, -1 where there is none; ``kind`` says what stands at a position, -1 at padding."""

    @abstractmethod
    def given(self, facts: Mapping[str, Tensor]) -> Float[Tensor, "batch pos d_model"]:
        """The embedding of what never changes."""

    @abstractmethod
    def start(self, context: LoopContext) -> Symbols:
        """The symbols that enter step 0."""

    @abstractmethod
    def embed(self, symbols: Symbols, context: LoopContext) -> Float[Tensor, "batch pos d_model"]:
        """The state of these symbols."""

    @abstractmethod
    def oracle_step(self, symbols: Symbols, context: LoopContext, without: Collection[str] = ()) -> Symbols:
        """What a step makes of ``symbols``; ``without``: where all heads of these roles are ablated to 0."""

    @abstractmethod
    def scramble(self, context: LoopContext, generator: torch.Generator) -> Symbols:
        """Random symbols wherever a state may have any: states that no run need come to."""

    @abstractmethod
    def may_change(self, context: LoopContext) -> Bool[Tensor, "batch pos"]:
        """The positions whose symbols a step can write."""

    @abstractmethod
    def tokens(self, inputs: Any) -> list[list[str]]:
        """The text at every position, a list for every row."""

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> list[Any]:
        """``n`` random inputs."""

    @abstractmethod
    def n_steps(self, inputs: Any) -> int:
        """Steps after which these inputs are solved, at most."""

    # Helpers of programs ------------------------------------------------------------------------------------

    def blank(self, facts: Mapping[str, Tensor]) -> Float[Tensor, "batch pos d_model"]:
        """All zeros."""
        return torch.zeros(*facts["kind"].shape, self.cfg.d_model, device=facts["kind"].device)

    def put_one_hot(self, stream: Tensor, slot: str, symbols: Int[Tensor, "batch pos"]) -> None:
        """Write symbols into a slot; what is no dimension of it (-1, or as large as it is wide) writes nothing."""
        width = self.slots[slot].stop - self.slots[slot].start
        stream[..., self.slots[slot]] = (symbols[..., None] == torch.arange(width, device=symbols.device)).to(
            stream
        )


def nearest_integer(values: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [size, 1] and bias [size] of logits that are largest for the value nearest to a scalar; lead 1."""
    return 2 * values[:, None], -(values**2)


def integers(tensor: Int[Tensor, " n"]) -> list[int]:
    """A tensor of one axis as a list."""
    return cast(Any, tensor).tolist()


def padded(rows: Sequence[Sequence[int]], fill: int = -1) -> Int[Tensor, "batch pos"]:
    """Rows of different lengths as one tensor."""
    length = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows], dtype=torch.long)
