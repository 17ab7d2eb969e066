"""What all compiled loops have alike: how their activations are named, and what is read of a state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.compiled.circuit import Circuit
from models.config import RecurrentConfig

Symbols = Mapping[str, Tensor]
"""Factor -> int [batch, pos]; where a position has no such factor, the symbol that is none."""

Input = TypeVar("Input")

SITES: Final = {
    "resid_pre": "hook_resid_pre",
    "pattern": "attn.hook_pattern",
    "z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp_post": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
"""Activations of a block, and the hook points that hold them."""


class LoopInputError(ValueError):
    """An input of a compiled loop that is none; the message says what was given and what is allowed."""


class LoopForm(nn.Module, ABC):
    """A loop of blocks with hook points. Sites are named ``{layer}.{what}``; activations [batch, pos, ...]."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What one step does, in a sentence."""
    factors: ClassVar[tuple[str, ...]]
    """What the symbolic step needs of the symbols; a readout of another name is derived from these."""
    hooks_in: ClassVar[str]
    """The submodule of ``module`` that has the hook points of every block."""
    cfg: RecurrentConfig
    circuit: Circuit

    @abstractmethod
    def read(self, state: Float[Tensor, "batch pos d_model"], context: Any) -> dict[str, Tensor]:
        """Factor -> logits [batch, pos, size]."""

    @abstractmethod
    def changed(self, given: Any, generator: torch.Generator) -> Any:
        """One input with one thing changed that may matter, of the same tokens elsewhere.

        Raises:
            LoopInputError: there is nothing to change.
        """

    def parse(self, texts: Sequence[str]) -> list[Any]:
        """Inputs of their texts; here the texts themselves."""
        return list(texts)

    @property
    def n_heads(self) -> int:
        """Heads per layer."""
        return self.cfg.n_heads

    @property
    def sites(self) -> dict[str, str]:
        """``"0.pattern"`` -> ``"hooks.0.attn.hook_pattern"``, and so on, for every layer."""
        return {
            f"{layer}.{site}": f"{self.hooks_in}.{layer}.{hook}"
            for layer in range(self.cfg.n_layers)
            for site, hook in SITES.items()
        }

    def codes(self, state: Float[Tensor, "batch pos d_model"], context: Any) -> dict[str, Tensor]:
        """Factor -> int [batch, pos], the symbol that is read."""
        return {factor: logits.argmax(-1) for factor, logits in self.read(state, context).items()}

    def lens(self, hidden: Float[Tensor, "batch pos d_model"], context: Any) -> dict[str, Tensor]:
        """What :meth:`read` makes of a residual stream within a step."""
        return self.read(hidden, context)


def drawn(bound: int, generator: torch.Generator) -> int:
    """A number from 0 to ``bound`` - 1."""
    return int(torch.randint(0, bound, (), generator=generator))


def listed(inputs: Any, kind: type[Input]) -> list[Input]:
    """One input or several as a list.

    Raises:
        LoopInputError: anything that is no ``kind``, or nothing at all.
    """
    found: Sequence[Any] = [inputs] if isinstance(inputs, kind) else list(inputs)
    wrong = [given for given in found if not isinstance(given, kind)]
    if wrong or not found:
        given = type(wrong[0]).__name__ if wrong else "an empty list"
        raise LoopInputError(f"got {given}; allowed are {kind.__name__}s (models.compiled.{kind.__name__})")
    return cast("list[Input]", list(found))
